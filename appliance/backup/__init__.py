"""Backups: a folder with snapshots of the store, taken while it is served, and a new store made of one of them.

docs/design/backup.md says what is in such a folder, in which order it is written, and why that order is right.
"""
