"""Keys as people keep them: a line of text with a checksum, in a file that only its owner reads."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Self

from appliance import faults
from appliance.backends.disk import sync_folder

KEY_SIZE = 32

_CHECK = 3
_GROUP = 8


@dataclass(frozen=True, slots=True)
class WrittenKey:
    """``mark`` is what the line of such a key begins with, ``what`` its name for people; a kind of key says both."""

    secret: bytes = field(repr=False)
    mark: ClassVar[str]
    what: ClassVar[str]

    @classmethod
    def new(cls) -> Self:
        """One that nobody has yet."""
        return cls(secrets.token_bytes(KEY_SIZE))

    @classmethod
    def parse(cls, text: str) -> Self:
        """From its text; spaces, hyphens and the case of letters do not matter.

        Raises:
            ValueError: it is none, with a clause that says why and quotes nothing.
        """
        letters = "".join(text.split()).replace("-", "").upper()
        if not letters.startswith(cls.mark):
            raise ValueError(f"is no {cls.what}; one begins with {cls.mark}-")
        try:
            data = base64.b32decode(letters.removeprefix(cls.mark))
        except binascii.Error:
            data = b""
        if len(data) != KEY_SIZE + _CHECK:
            raise ValueError(f"is no whole {cls.what}; letters are missing, or there are too many")
        key = cls(data[:KEY_SIZE])
        if data[KEY_SIZE:] != key._digest(b"check")[:_CHECK]:
            raise ValueError("has a mistake in it: its last letters do not fit the others")
        return key

    @property
    def text(self) -> str:
        """One line, with a checksum in it."""
        data = self.secret + self._digest(b"check")[:_CHECK]
        letters = base64.b32encode(data).decode("ascii")
        return "-".join([self.mark, *(letters[at : at + _GROUP] for at in range(0, len(letters), _GROUP))])

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits, which name the key and tell nothing of it."""
        return self._digest(b"fingerprint")[:8].hex()

    def _digest(self, purpose: bytes) -> bytes:
        """Of the key, for one purpose."""
        return hashlib.sha256(b"holdfast " + self.what.encode() + b" " + purpose + b"\0" + self.secret).digest()


def make_file(path: Path, line: str) -> None:
    """Write a new key into a new file with mode 0600; durable on return. One that is there is never replaced.

    Raises:
        FileExistsError: there is such a file.
    """
    if os.path.lexists(path):
        raise FileExistsError(17, "there is such a file already, and it is not replaced", str(path))
    # Under another name until it is whole, so that nobody ever reads a part; what a kill leaves there is used again.
    partial = path.with_name(f".{path.name}.partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            os.fchmod(descriptor, 0o600)
            file.write(f"{line}\n")
            file.flush()
            faults.point("key.written")
            os.fsync(descriptor)
        os.rename(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    faults.point("key.named")
    sync_folder(path.parent)
    faults.point("key.made")
