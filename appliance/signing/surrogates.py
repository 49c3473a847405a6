"""Surrogate keys: by which a cache can be told to drop what it has of signed URLs.

An answer carries the keys of all that it depends on; whatever of it goes is dropped by one of them.
"""

from __future__ import annotations

EVERYTHING = "holdfast"
"""The key of all that signed URLs answer."""


def of_file(node_id: int) -> str:
    """Of whatever version."""
    return f"file-{node_id}"


def of_tree(tree_id: int) -> str:
    """Of all files of a user."""
    return f"tree-{tree_id}"


def of_signing_key(key_id: int) -> str:
    """Of all URLs that this key has signed."""
    return f"key-{key_id}"
