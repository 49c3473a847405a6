"""The master key: 32 random bytes that only the person who runs the server has. Everything sealed hangs on it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from appliance import faults
from appliance.backends.disk import sync_folder
from appliance.errors import ConfigError

_MARK = "HFMK"
_SIZE = 32
_CHECK = 3
_GROUP = 8


@dataclass(frozen=True, slots=True)
class MasterKey:
    """``fingerprint`` names it and tells nothing of it."""

    secret: bytes = field(repr=False)

    @classmethod
    def new(cls) -> MasterKey:
        """One that nobody has yet."""
        return cls(secrets.token_bytes(_SIZE))

    @classmethod
    def parse(cls, text: str) -> MasterKey:
        """From its text; spaces, hyphens and the case of letters do not matter.

        Raises:
            ValueError: it is none, with a clause that says why and quotes nothing.
        """
        letters = "".join(text.split()).replace("-", "").upper()
        if not letters.startswith(_MARK):
            raise ValueError(f"is no master key; one begins with {_MARK}-")
        try:
            data = base64.b32decode(letters.removeprefix(_MARK))
        except binascii.Error:
            data = b""
        if len(data) != _SIZE + _CHECK:
            raise ValueError("is no whole master key; letters are missing, or there are too many")
        key, check = data[:_SIZE], data[_SIZE:]
        if check != _digest(b"check", key)[:_CHECK]:
            raise ValueError("has a mistake in it: its last letters do not fit the others")
        return cls(key)

    @property
    def text(self) -> str:
        """One line, with a checksum in it."""
        data = self.secret + _digest(b"check", self.secret)[:_CHECK]
        letters = base64.b32encode(data).decode("ascii")
        return "-".join([_MARK, *(letters[at : at + _GROUP] for at in range(0, len(letters), _GROUP))])

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits."""
        return _digest(b"fingerprint", self.secret)[:8].hex()


def _digest(purpose: bytes, key: bytes) -> bytes:
    return hashlib.sha256(b"holdfast master key " + purpose + b"\0" + key).digest()


def read_file(path: Path, *, setting: str = "master_key_file") -> MasterKey:
    """The key in a file.

    Raises:
        ConfigError: of ``setting``.
    """
    try:
        return MasterKey.parse(path.read_text(encoding="ascii"))
    except FileNotFoundError:
        problem = (
            f"there is no file {path}; put the master key of this store there (`holdfast key make` makes new ones)"
        )
    except OSError as error:
        problem = f"{path} cannot be read ({error.strerror})"
    except UnicodeDecodeError:
        problem = f"what is in {path} is no master key"
    except ValueError as error:
        problem = f"what is in {path} {error}"
    raise ConfigError(setting=setting, problem=problem)


def make_file(path: Path) -> MasterKey:
    """Write a new key into a new file with mode 0600; durable on return. One that is there is never replaced.

    Raises:
        FileExistsError: there is such a file.
    """
    if os.path.lexists(path):
        raise FileExistsError(17, "there is such a file already, and it is not replaced", str(path))
    key = MasterKey.new()
    # Under another name until it is whole, so that nobody ever reads a part; what a kill leaves there is used again.
    partial = path.with_name(f".{path.name}.partial")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            os.fchmod(descriptor, 0o600)
            file.write(f"{key.text}\n")
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
    return key
