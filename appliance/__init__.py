"""Holdfast without HTTP and HTML: configuration, storage, the tree, accounts and use cases."""

__version__ = "0.1.0"
