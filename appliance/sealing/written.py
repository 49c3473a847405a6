"""Keys as people keep them: a line of text with a checksum, in a file that only its owner reads."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from pathlib import Path
from typing import NamedTuple

from appliance import faults
from appliance.backends.disk import sync_folder

KEY_SIZE = 32

_CHECK = 3
_GROUP = 8


class Written(NamedTuple):
    """How one kind of key is written: ``mark`` is what its line begins with, ``what`` its name for people."""

    mark: str
    what: str

    def text(self, key: bytes) -> str:
        """One line, with a checksum in it."""
        data = key + self.digest(b"check", key)[:_CHECK]
        letters = base64.b32encode(data).decode("ascii")
        return "-".join([self.mark, *(letters[at : at + _GROUP] for at in range(0, len(letters), _GROUP))])

    def read(self, text: str) -> bytes:
        """The key; spaces, hyphens and the case of letters do not matter.

        Raises:
            ValueError: it is none, with a clause that says why and quotes nothing.
        """
        letters = "".join(text.split()).replace("-", "").upper()
        if not letters.startswith(self.mark):
            raise ValueError(f"is no {self.what}; one begins with {self.mark}-")
        try:
            data = base64.b32decode(letters.removeprefix(self.mark))
        except binascii.Error:
            data = b""
        if len(data) != KEY_SIZE + _CHECK:
            raise ValueError(f"is no whole {self.what}; letters are missing, or there are too many")
        key, check = data[:KEY_SIZE], data[KEY_SIZE:]
        if check != self.digest(b"check", key)[:_CHECK]:
            raise ValueError("has a mistake in it: its last letters do not fit the others")
        return key

    def fingerprint(self, key: bytes) -> str:
        """16 hexadecimal digits, which name the key and tell nothing of it."""
        return self.digest(b"fingerprint", key)[:8].hex()

    def digest(self, purpose: bytes, key: bytes) -> bytes:
        """Of the key, for one purpose."""
        return hashlib.sha256(b"holdfast " + self.what.encode() + b" " + purpose + b"\0" + key).digest()


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
