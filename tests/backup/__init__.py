"""Backups, and stores that are restored from them."""
