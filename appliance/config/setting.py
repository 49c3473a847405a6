"""What a setting is: a row of the table, and the values that are more than a text or a number."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias
from urllib.parse import urlsplit, urlunsplit

PREFIX = "HOLDFAST_"

Kind = Literal[
    "path",
    "file",
    "log",
    "address",
    "url",
    "urls",
    "origins",
    "networks",
    "user",
    "password",
    "choice",
    "switch",
    "integer",
    "bytes",
    "retention",
    "database",
    "blobs",
    "secret",
]
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network


class Address(NamedTuple):
    """Where to listen. ``host`` has no brackets; port 0 lets the system choose."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class DatabasePlace(NamedTuple):
    """Where the metadata is: a SQLite file, or a PostgreSQL database by its URL, which may hold a password."""

    path: Path | None
    url: str

    def __repr__(self) -> str:
        return f"DatabasePlace({self.shown})"

    @property
    def shown(self) -> str:
        """For people: without the password."""
        return str(self.path) if self.path is not None else without_password(self.url)


class BlobPlace(NamedTuple):
    """Where blobs are: a folder, or a bucket of an S3 service by its URL, which holds no secret."""

    path: Path | None
    url: str

    @property
    def shown(self) -> str:
        """For people."""
        return str(self.path) if self.path is not None else self.url


def without_password(url: str) -> str:
    """A URL for people."""
    parts = urlsplit(url)
    at = parts.netloc.rpartition("@")
    user = at[0].partition(":")[0]
    query = "&".join(each for each in parts.query.split("&") if not each.lower().startswith("password="))
    return urlunsplit(parts._replace(netloc=f"{user}@{at[2]}" if user else at[2], query=query))


def usable_cores() -> int:
    """Cores that this process may run on, which can be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One row of the table.

    ``default`` is a value as it may be written in the file, or a function where it depends on the machine; None
    means that the setting may stay unset. ``low`` and ``high`` include their ends.
    """

    name: str
    type: Kind
    default: str | int | Callable[[], int] | None
    unit: str
    help: str
    low: int | None = None
    high: int | None = None
    choices: tuple[str, ...] = ()

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return PREFIX + self.name.upper()

    def default_value(self) -> str | int | None:
        """The default for this machine, as it might stand in the file."""
        if not callable(self.default):
            return self.default
        return max(self.low or 1, min(self.default(), self.high or 1))

    @property
    def default_text(self) -> str:
        """The default as documentation shows it."""
        if callable(self.default):
            return "the number of usable cores"
        return "none" if self.default in (None, "") else str(self.default)

    @property
    def bounds_text(self) -> str:
        """The allowed values as documentation shows them, or an empty text."""
        if self.type == "switch":
            return "true | false"
        if self.choices:
            return " | ".join((*self.choices, "PATH") if self.type == "log" else self.choices)
        if self.low is None:
            return ""
        what = {"address": "port ", "user": "length ", "password": "length "}.get(self.type, "")
        return f"{what}{self.low} to {self.high}"
