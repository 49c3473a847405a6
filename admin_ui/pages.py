"""Whole pages, rendered. A page is complete in itself: no script, no request for anything else."""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined

from admin_ui.mounting import dav_url, guides, mount_help

__all__ = ["LANDING_CSP", "LandingPage", "mount_help"]

_STYLE = (files("admin_ui") / "templates" / "landing.css").read_text(encoding="utf-8")
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

LANDING_CSP = (
    f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""The Content-Security-Policy to send with the landing page: it allows the page's own style and nothing else."""


class LandingPage:
    """The page at ``/``. One object may be used by all threads."""

    def __init__(self) -> None:
        environment = Environment(
            loader=PackageLoader("admin_ui"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
            lstrip_blocks=True,
        )  # fmt: skip
        self._template = environment.get_template("landing.html")

    def render(self, base_url: str, version: str) -> bytes:
        """The page in UTF-8. ``base_url`` (scheme, host, port) may come from a request: it is escaped."""
        return self._template.render(
            dav_url=dav_url(base_url), guides=guides(base_url), version=version, style=_STYLE
        ).encode()
