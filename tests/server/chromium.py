"""A real Chromium, driven by playwright; where one of them is missing the tests are skipped, and say so."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 800}

_PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
_missing = None
if _PROGRAM is None:
    _missing = "chromium is not installed (Debian: chromium)"
elif importlib.util.find_spec("playwright") is None:
    _missing = "playwright is not installed (pip)"

needs_chromium = pytest.mark.skipif(_missing is not None, reason=str(_missing))
"""Marks tests that need both."""


@contextmanager
def chromium() -> Iterator[Any]:
    """The program, running; its pages come from ``Visit``."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - it may be missing

    with sync_playwright() as playwright:
        # Its own sandbox refuses to start for root.
        running = playwright.chromium.launch(executable_path=_PROGRAM, args=["--no-sandbox"])
        try:
            yield running
        finally:
            running.close()


class Visit:
    """A browser window of its own, which notes whatever a page complains of."""

    def __init__(self, running: Any, base: str, viewport: dict[str, int], *, scripts: bool, dark: bool = False) -> None:
        self.base = base
        self._context = running.new_context(
            viewport=viewport, java_script_enabled=scripts, color_scheme="dark" if dark else "light"
        )
        self.page = self._context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        self.page.on("requestfailed", self._note_failure)
        self.page.on("request", self._note_request)

    def __enter__(self) -> Visit:
        return self

    def __exit__(self, *_: object) -> None:
        self._context.close()

    def _note_failure(self, request: Any) -> None:
        # What a page still loads when the next one is opened is given up.
        if request.failure != "net::ERR_ABORTED":
            self.complaints.append(f"failed: {request.url} ({request.failure})")

    def _note_request(self, request: Any) -> None:
        if not request.url.startswith(self.base):
            self.complaints.append(f"elsewhere: {request.url}")

    def go(self, path: str) -> None:
        """Open a page, which has to be there."""
        answer = self.page.goto(f"{self.base}{path}")
        assert answer.status == 200, path

    def fill(self, **values: str) -> None:
        """Type into the fields with these names."""
        for name, value in values.items():
            self.page.locator(f"input[name={name}]:visible").fill(value)

    def press(self, button: str) -> None:
        """Press the button that says so, and wait for the next page."""
        self.page.get_by_role("button", name=button, exact=True).click()

    @property
    def path(self) -> str:
        """Where the window is."""
        return str(self.page.url).removeprefix(self.base)

    def says(self, text: str) -> bool:
        """Whether somebody can read this in the page."""
        return bool(self.page.get_by_text(text).first.is_visible())

    def require_it_fits(self) -> None:
        """Nothing sticks out to the right: whoever reads with one hand does not push pages around."""
        widths = self.page.locator("html").evaluate(
            "root => [root.scrollWidth, root.clientWidth, ...[...document.querySelectorAll('main *')]"
            # On a narrow screen the heads of tables are there for screen readers only.
            ".filter(each => !each.closest('thead')).map(each => each.getBoundingClientRect().right)]"
        )
        assert max(widths[0], *widths[2:]) <= widths[1] + 0.5, (self.path, widths[:2], max(widths[2:]))

    def sign_in(self, name: str, password: str) -> None:
        """With the mouse and the keyboard."""
        self.go("/account/sign-in")
        self.fill(name=name, password=password)
        self.press("Sign in")
        assert self.path == "/account/"
