"""Serving the description: without signing in, and the same for everybody."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from appliance import __version__
from providers.api import answers
from providers.api.openapi import page
from providers.api.openapi.operations import responses
from providers.api.openapi.paths import PATHS
from providers.api.openapi.shapes import SCHEMAS
from providers.front.messages import Answer


# The base is what a client calls the server.
@lru_cache(maxsize=16)
def description(base: str) -> dict[str, Any]:
    """The OpenAPI document of a server whose API is at ``base``."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Holdfast",
            "version": __version__,
            "description": "Files, their versions and what changes, by id. Errors are problem details (RFC 9457);"
            " what is somebody else's is 404, as if it were not there. Below /tus/ the server speaks tus 1.0"
            " (https://tus.io/protocols/resumable-upload), which is described there.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": base}],
        "security": [{"basic": []}, {"bearer": []}],
        "paths": PATHS,
        "components": {
            "schemas": SCHEMAS,
            "responses": responses(),
            "securitySchemes": {
                "basic": {"type": "http", "scheme": "basic", "description": "a user's name and an app password"},
                "bearer": {"type": "http", "scheme": "bearer", "description": "a token that was made at /tokens"},
            },
        },
    }


def get_description(base: str) -> Answer:
    """``/openapi.json``."""
    return answers.document(200, description(base))


def get_page(base: str) -> Answer:
    """``/docs``."""
    data = page.render(description(base)).encode()
    headers = [
        ("Content-Type", "text/html; charset=utf-8"),
        ("Content-Security-Policy", page.POLICY),
        ("Cache-Control", "private, no-cache"),
        ("X-Content-Type-Options", "nosniff"),
        ("Referrer-Policy", "no-referrer"),
        ("Content-Length", str(len(data))),
    ]
    return Answer(200, headers, [data])
