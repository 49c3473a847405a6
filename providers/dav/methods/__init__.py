"""The methods of WebDAV: each takes a ``DavRequest`` and returns an ``Answer``."""
