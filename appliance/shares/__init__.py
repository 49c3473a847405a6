"""Which tree a principal's path leads into."""
