"""The HTTP face: one noun a file; it only translates."""
