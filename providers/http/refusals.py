"""Answers to what is no request, and their lines in the access log."""

from __future__ import annotations

import time
from http import HTTPStatus

from providers.http.access import Ended, Entry
from providers.http.head import HeadError


def refusal_answer(refusal: HeadError, request_id: str, stamp: str) -> tuple[bytes, int]:
    """All of it, and how many bytes of it are the body. ``stamp``: the lines that every answer has."""
    text = f"{refusal.reason}\n".encode("latin-1")
    ident = f"X-Request-Id: {request_id}\r\n" if refusal.status >= 500 else ""
    head = (
        f"HTTP/1.1 {refusal.status} {HTTPStatus(refusal.status).phrase}\r\n"
        f"Content-Type: text/plain; charset=utf-8\r\nCache-Control: no-store\r\n"
        f"Content-Length: {len(text)}\r\n{ident}Connection: close\r\n{stamp}\r\n"
    )
    return head.encode("latin-1") + text, len(text)


def refusal_entry(address: str, request_id: str, status: int, sent: int, ended: Ended) -> Entry:
    """Nothing of the head: nobody knows what in it was meant as a secret."""
    return Entry(time.time(), request_id, address, None, None, None, "", "", "", status, 0, sent, 0.0, "", ended)
