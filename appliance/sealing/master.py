"""The master key: 32 random bytes that only the person who runs the server has. Everything sealed hangs on it."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from pathlib import Path

from appliance.errors import ConfigError
from appliance.sealing import written
from appliance.sealing.written import KEY_SIZE, Written

_WRITTEN = Written("HFMK", "master key")


@dataclass(frozen=True, slots=True)
class MasterKey:
    """``fingerprint`` names it and tells nothing of it."""

    secret: bytes = field(repr=False)

    @classmethod
    def new(cls) -> MasterKey:
        """One that nobody has yet."""
        return cls(secrets.token_bytes(KEY_SIZE))

    @classmethod
    def parse(cls, text: str) -> MasterKey:
        """From its text; spaces, hyphens and the case of letters do not matter.

        Raises:
            ValueError: it is none, with a clause that says why and quotes nothing.
        """
        return cls(_WRITTEN.read(text))

    @property
    def text(self) -> str:
        """One line, with a checksum in it."""
        return _WRITTEN.text(self.secret)

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits."""
        return _WRITTEN.fingerprint(self.secret)


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
    key = MasterKey.new()
    written.make_file(path, key.text)
    return key
