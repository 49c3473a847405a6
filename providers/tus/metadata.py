"""Upload-Metadata: pairs of a key and a text in base64. A few say what file it will be; all are told again."""

from __future__ import annotations

import base64
import binascii
import math
import re
from decimal import Decimal
from typing import Final

from appliance.accounts.policy import Action
from appliance.errors import BadRequest, TooLarge
from appliance.files import read
from appliance.files.context import Files
from appliance.principal import Principal
from appliance.tree.paths import Path, parse
from appliance.uploads.begin import ALWAYS, NEVER, Wanted
from providers.front.dates import MAX_EPOCH_S, MIN_EPOCH_S

_MOST = 16_384
_TYPE_MOST = 255
_HIGHEST_ID: Final = (1 << 63) - 1
_SWITCH: Final = {"": False, "false": False, "0": False, "true": True, "1": True}
_epoch = re.compile(r"[+-]?[0-9]{1,12}(?:\.[0-9]{1,20})?").fullmatch


class Metadata:
    """What a client notes about an upload; ``text`` is as it was sent."""

    def __init__(self, text: str) -> None:
        """Read it.

        Raises:
            BadRequest: it is no such list.
            TooLarge
        """
        if len(text) > _MOST:
            raise TooLarge(what="Upload-Metadata", limit_bytes=_MOST)
        if not (text.isascii() and text.isprintable()):
            raise BadRequest(reason="Upload-Metadata contains other than printable ASCII characters")
        self.text = text
        self._values: dict[str, bytes] = {}
        for pair in filter(None, map(str.strip, text.split(","))):
            key, _, value = pair.partition(" ")
            if key in self._values:
                raise BadRequest(reason=f"Upload-Metadata has {key[:40]} twice")
            try:
                self._values[key] = base64.b64decode(value.strip(), validate=True)
            except (binascii.Error, ValueError) as error:
                raise BadRequest(reason=f"{key[:40]} in Upload-Metadata is no text in base64") from error

    def told(self, *keys: str) -> str:
        """The first of ``keys`` that says something; else "".

        Raises:
            BadRequest: it is no text.
        """
        for key in keys:
            try:
                found = self._values.get(key, b"").decode()
            except UnicodeDecodeError as error:
                raise BadRequest(reason=f"{key} in Upload-Metadata is no text in UTF-8") from error
            if found:
                return found
        return ""

    def wanted(self, files: Files, principal: Principal, size: int, *, folder: Path | None, replaces: str) -> Wanted:
        """The file that it describes, in ``folder``; None: where it says itself. ``replaces``, unless it says that.

        Raises:
            BadRequest: it has no name, or one of the others is not what it has to be.
            BadName
        """
        *above, name = parse(self.told("filename", "name")) or ("",)
        if not name:
            raise BadRequest(reason="Upload-Metadata has to tell a filename")
        parent = self._parent()
        relative = parse(self.told("relativePath").removeprefix("null"))
        within = (*above, *(relative[:-1] if relative[-1:] == (name,) else relative))
        where: Path | int = () if folder is None else folder
        if folder is None:
            where = parent if parent is not None else self._path(files, principal, name)
        if within and not isinstance(where, tuple):
            raise BadRequest(reason="a name with folders goes with a path, not with the id of a folder")
        if isinstance(where, tuple):
            where = (*where, *within)
        if "overwrite" in self._values:
            replaces = ALWAYS if self._switch("overwrite") else NEVER
        return Wanted(
            where, name, size, replaces, self._media_type(), modified_at=self._moment("mtime"), metadata=self.text
        )

    def _parent(self) -> int | None:
        text = self.told("parentId")
        if not text:
            return None
        if self.told("path"):
            raise BadRequest(reason="give parentId or path in Upload-Metadata, not both")
        if not (text.isascii() and text.isdigit()):
            raise BadRequest(reason="parentId in Upload-Metadata is no id of a folder")
        return min(int(text[:20]), _HIGHEST_ID)

    def _path(self, files: Files, principal: Principal, name: str) -> Path:
        """The folder; it may end with the file's own name."""
        path = parse(self.told("path"))
        if path[-1:] == (name,) and not read.is_folder(files, principal, path, Action.WRITE):
            return path[:-1]
        return path

    def _media_type(self) -> str:
        found = self.told("filetype", "type")
        if len(found) > _TYPE_MOST or not found.isprintable():
            raise BadRequest(reason="filetype in Upload-Metadata is no media type")
        return found

    def _switch(self, key: str) -> bool:
        found = _SWITCH.get(self.told(key).lower())
        if found is None:
            raise BadRequest(reason=f"{key} in Upload-Metadata has to be true or false")
        return found

    def _moment(self, key: str) -> int | None:
        """Seconds since 1970, as microseconds."""
        text = self.told(key)
        if not text:
            return None
        if not _epoch(text) or not MIN_EPOCH_S <= Decimal(text) <= MAX_EPOCH_S:
            raise BadRequest(reason=f"{key} in Upload-Metadata has to be a number of seconds since 1970")
        return math.floor(Decimal(text) * 1_000_000)
