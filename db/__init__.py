"""Records: the case log and the image store. Knows the vocabulary of core.labels and nothing else of core."""
