"""One function per use case. Joins core and db; knows no page."""
