"""Certificates: those that the server shows, and a small authority that makes them for a home network.

The only importer of cryptography. Nothing here knows of connections.
"""
