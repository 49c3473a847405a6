"""The master key: 32 random bytes that only the person who runs the server has. Everything sealed hangs on it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from appliance.errors import ConfigError
from appliance.sealing import written
from appliance.sealing.written import WrittenKey


@dataclass(frozen=True, slots=True)
class MasterKey(WrittenKey):
    """The key of keys."""

    mark = "HFMK"
    what = "master key"


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
