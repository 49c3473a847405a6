"""The keys that the audit trail is sealed with. They are never in the database."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from appliance.config import Settings
from appliance.errors import ConfigError
from appliance.sealing import written
from appliance.sealing.written import WrittenKey


@dataclass(frozen=True, slots=True)
class AuditKey(WrittenKey):
    """What the trail is sealed with."""

    mark = "HFAK"
    what = "audit key"

    def start(self, purpose: bytes) -> hmac.HMAC:
        """An HMAC-SHA256 for one purpose, to be fed."""
        return hmac.new(self.secret, b"holdfast audit " + purpose + b"\0", "sha256")


@dataclass(frozen=True, slots=True)
class AuditKeys:
    """``newest`` seals, all of them verify."""

    newest: AuditKey
    by_fingerprint: dict[str, AuditKey]

    @classmethod
    def of(cls, keys: Iterable[AuditKey]) -> AuditKeys:
        """The first one is the newest."""
        first, *others = keys
        return cls(first, {key.fingerprint: key for key in (first, *others)})


def own_file(settings: Settings) -> Path:
    """Where a key is made if none is given."""
    return settings.data / "audit.key"


def load(settings: Settings) -> AuditKeys | None:
    """All keys that are given, or lie in the data folder; None if there is none.

    Raises:
        ConfigError: what is given is none, or cannot be read.
    """
    found: list[AuditKey] = []
    if settings.audit_key is not None:
        try:
            found.append(AuditKey.parse(settings.audit_key))
        except ValueError as error:
            raise ConfigError(setting="audit_key", problem=f"what is given {error}") from None
    own = own_file(settings)
    if settings.audit_key_file is not None:
        found += _read(settings.audit_key_file)
    # What was sealed before a key was given is verified with the one that was made.
    if settings.audit_key_file != own and own.exists():
        found += _read(own)
    return AuditKeys.of(found) if found else None


def establish(settings: Settings, tell: Callable[[str], None]) -> AuditKeys:
    """``load`` for a server: makes the file in the data folder if no key is given.

    Raises:
        ConfigError: as ``load``.
    """
    found = load(settings)
    if found is not None:
        return found
    # Another process of this node may be making it.
    with suppress(FileExistsError):
        written.make_file(own_file(settings), AuditKey.new().text)
        if settings.is_shared:
            tell(
                f"This node seals the audit trail with a key of its own, {own_file(settings)}; give all nodes the same "
                "one (audit_key_file)"
            )
    made = load(settings)
    assert made is not None
    return made


def _read(path: Path) -> list[AuditKey]:
    """A key a line; what begins with # is a remark."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="ascii").splitlines()]
        keys = [AuditKey.parse(line) for line in lines if line and not line.startswith("#")]
    except FileNotFoundError:
        problem = f"there is no file {path}; put the audit key of this store there, or name none"
    except OSError as error:
        problem = f"{path} cannot be read ({error.strerror})"
    except UnicodeDecodeError:
        problem = f"what is in {path} is no audit key"
    except ValueError as error:
        problem = f"what is in {path} {error}"
    else:
        if keys:
            return keys
        problem = f"there is no audit key in {path}"
    raise ConfigError(setting="audit_key_file", problem=problem)
