"""Style sheet and icon: in memory, each under a name with a digest of its content, so that browsers keep it."""

from __future__ import annotations

import hashlib
from importlib.resources import files

from admin_ui.answers import Answer, static

PREFIX = "/static/"

_TYPES = {"css": "text/css; charset=utf-8", "svg": "image/svg+xml"}


class StaticFiles:
    """The files of the folder ``static``. One object may be used by all threads."""

    def __init__(self) -> None:
        self._answers: dict[str, Answer] = {}
        self._urls: dict[str, str] = {}
        for each in (files("admin_ui") / "static").iterdir():
            stem, _, extension = each.name.rpartition(".")
            if extension in _TYPES:
                body = each.read_bytes()
                name = f"{stem}-{hashlib.sha256(body).hexdigest()[:12]}.{extension}"
                self._answers[name] = static(body, _TYPES[extension])
                self._urls[each.name] = PREFIX + name

    def url(self, name: str) -> str:
        """Where the file is."""
        return self._urls[name]

    def find(self, path: str) -> Answer | None:
        """What is at a path that begins with ``PREFIX``."""
        return self._answers.get(path.removeprefix(PREFIX))
