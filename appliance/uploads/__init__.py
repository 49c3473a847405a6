"""Uploads: files that come in parts, over many requests and restarts, and are there once all of them is.

A part is stored and cut into chunks when it comes, whatever came before it. Where two parts meet the cuts are made as
if the content had come in one piece (``seams``), and what lies together without a gap is put together ahead
(``assembling``), so that completing an upload is a few rows, whatever its size. docs/design/uploads.md tells more.
"""
