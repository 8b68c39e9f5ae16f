"""Outside services, one a file: how things are handed over to each."""
