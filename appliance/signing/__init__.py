"""URLs that need no credentials: each names one version of one file, and holds for a while.

What is signed is a canonical text, with a key that the store keeps (``keys``). A URL lives as long as its issuer may
read the file: that is looked at when it is used.
"""
