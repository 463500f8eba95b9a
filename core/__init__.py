"""Pixels and networks: everything that turns a file into a reading. Knows no database and no page."""
