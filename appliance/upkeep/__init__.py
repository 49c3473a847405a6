"""Upkeep: looking for damage (``check``), clearing what dead writers left (``sweep``), getting over an unclean stop."""
