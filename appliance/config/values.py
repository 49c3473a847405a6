"""Turns what a person wrote for one setting into its value, or says in one clause what to write instead.

All sources go through the same parsers, so that a value means the same wherever it stands.
"""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from appliance import retention, sizes
from appliance.config.credentials import canonical, name_problem, password_problem
from appliance.config.setting import Address, BlobPlace, DatabasePlace, Kind, Network, Setting
from appliance.config.table import BY_NAME
from appliance.errors import BadRequest, ConfigError
from appliance.retention import Retention

T = TypeVar("T")

# Longer numbers are out of every bound, and int() refuses the longest ones with an error of its own.
_INTEGER = re.compile(r"-?[0-9]{1,30}")
_PORT = re.compile(r"[0-9]{1,9}")
_HOST_NAME = re.compile(r"(?![-.])[A-Za-z0-9_.-]{1,253}(?<![-.])")
_URL_PATH = re.compile(r"[A-Za-z0-9._~/-]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Given:
    """A value as it was written, where, and the folder at which its relative path would start."""

    value: object
    origin: str
    folder: Path


class _Wrong(Exception):
    """Carries the clause of a ConfigError to ``parse``, which knows the setting and the origin."""


def parse(setting: Setting, given: Given) -> object:
    """The checked value; None where the setting may stay unset. Raises: ConfigError."""
    if given.value is None:
        return None
    try:
        return _PARSERS[setting.type](setting, given)
    except _Wrong as wrong:
        origin = f" (from {given.origin})" if given.origin else ""
        raise ConfigError(setting=setting.name, problem=f"{wrong}{origin}") from None


def database_place(text: str) -> DatabasePlace:
    """What ``database_url`` would be, given at the command line.

    Raises:
        ConfigError: that is none.
    """
    return _typed("database_url", text, DatabasePlace)


def blob_place(text: str) -> BlobPlace:
    """What ``blobs_url`` would be, given at the command line.

    Raises:
        ConfigError: that is none.
    """
    return _typed("blobs_url", text, BlobPlace)


def _typed(name: str, text: str, kind: type[T]) -> T:
    found = parse(BY_NAME[name], Given(text, "", Path.cwd()))
    assert isinstance(found, kind)
    return found


def _shown(value: object) -> str:
    """For messages. What lies inside a list or mapping stays out: a wrong indentation can put a password there."""
    if isinstance(value, (list, tuple, dict)):
        return "a mapping" if isinstance(value, dict) else "a list"
    text = repr(str(value)) if isinstance(value, (str, Path)) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _line(value: object, wanted: str) -> str:
    text = value.strip() if isinstance(value, str) else value
    if not isinstance(text, str) or _CONTROL.search(text):
        raise _Wrong(f"{_shown(value)} is not {wanted}")
    return text


def _bounded(setting: Setting, number: int) -> int:
    if setting.low is not None and setting.high is not None and not setting.low <= number <= setting.high:
        what = "port " if setting.type == "address" else ""
        raise _Wrong(f"{what}{number} is out of bounds; write {setting.bounds_text}")
    return number


def _integer(setting: Setting, given: Given) -> int:
    if isinstance(given.value, int) and not isinstance(given.value, bool):
        return _bounded(setting, given.value)
    wanted = f"a whole number; write {setting.bounds_text}"
    text = _line(given.value, wanted)
    if not _INTEGER.fullmatch(text):
        raise _Wrong(f"{_shown(text)} is not {wanted}")
    return _bounded(setting, int(text))


def _bytes(setting: Setting, given: Given) -> int:
    if isinstance(given.value, int) and not isinstance(given.value, bool):
        return _bounded(setting, given.value)
    wanted = "a size; write a whole number of bytes, or one with a unit as in 64 MiB or 10 GB"
    text = _line(given.value, wanted)
    size = sizes.read(text)
    if size is None:
        raise _Wrong(f"{_shown(text)} is not {wanted}")
    return _bounded(setting, size)


def _choice(setting: Setting, given: Given) -> str:
    wanted = f"one of its values; write {' or '.join(setting.choices)}"
    text = _line(given.value, wanted)
    if text not in setting.choices:
        raise _Wrong(f"{_shown(text)} is not {wanted}")
    return text


def _switch(setting: Setting, given: Given) -> bool:
    if isinstance(given.value, bool):
        return given.value
    wanted = "one of its values; write true or false"
    text = _line(given.value, wanted)
    if text not in ("true", "false"):
        raise _Wrong(f"{_shown(text)} is not {wanted}")
    return text == "true"


def _user(setting: Setting, given: Given) -> str:
    name = canonical(_line(given.value, "a user name"))
    problem = name_problem(name)
    if problem is not None:
        raise _Wrong(f"{_shown(name)} cannot be one; {problem}")
    return name


def _password(setting: Setting, given: Given) -> str:
    if not isinstance(given.value, str):
        raise _Wrong("its value is not one line of text; write one, in quotes")
    problem = password_problem(given.value)
    if problem is not None:
        raise _Wrong(problem)
    return given.value


def _secret(setting: Setting, given: Given) -> str:
    """Nothing of it is ever shown."""
    text = given.value.strip() if isinstance(given.value, str) else ""
    if not text or _CONTROL.search(text):
        raise _Wrong("its value is not one line of text; write one, in quotes")
    return text


def _path(setting: Setting, given: Given) -> Path:
    text = str(given.value) if isinstance(given.value, Path) else given.value
    if not isinstance(text, str) or not text or "\0" in text:
        raise _Wrong(
            f"{_shown(text)} is not a path; write the path of a {'file' if setting.type == 'file' else 'folder'}"
        )
    try:
        return Path(os.path.abspath(given.folder / Path(text).expanduser()))
    except RuntimeError:
        raise _Wrong(f"{_shown(text)} names a home folder that is not known; write the whole path") from None


def _log(setting: Setting, given: Given) -> Path | str:
    text = given.value.strip() if isinstance(given.value, str) else given.value
    return text if isinstance(text, str) and text in setting.choices else _path(setting, given)


def _address(setting: Setting, given: Given) -> Address:
    wanted = "HOST:PORT; write for example 127.0.0.1:8080 or [::1]:8080"
    text = _line(str(given.value) if isinstance(given.value, Address) else given.value, wanted)
    host, _, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    if not _PORT.fullmatch(port) or not (_is_ipv6(host) if bracketed else _is_host(host)):
        raise _Wrong(f"{_shown(text)} is not {wanted}")
    return Address(host, _bounded(setting, int(port)))


def _is_ipv6(host: str) -> bool:
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        return False
    return True


def _is_host(host: str) -> bool:
    """A host name or an IPv4 address; what is digits and dots only must be a good address."""
    if not re.fullmatch(r"[0-9.]*", host):
        return _HOST_NAME.fullmatch(host) is not None
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True


def _urls(setting: Setting, given: Given) -> tuple[str, ...]:
    items = given.value.split(",") if isinstance(given.value, str) else given.value
    if not isinstance(items, (list, tuple)):
        raise _Wrong(f"{_shown(items)} is not a list of URLs; write for example [https://files.example.com]")
    wanted = "an address of this server; write scheme, host and port only, as in https://files.example.com"
    texts = [_line(item, wanted) for item in items]
    return tuple(dict.fromkeys(_origin(text, wanted) for text in texts if text))


def _url(setting: Setting, given: Given) -> str:
    """Scheme, host, port and a path, without a slash at its end."""
    wanted = "the address of a server; write it as in https://cdn.example.com"
    text = _line(given.value, wanted).rstrip("/")
    origin, slash, path = text.partition("://")[2].partition("/")
    base = _origin(f"{text.partition('://')[0]}://{origin}", wanted)
    if not _URL_PATH.fullmatch(path):
        raise _Wrong(f"{_shown(text)} is not {wanted}")
    return f"{base}{slash}{path}"


def _origins(setting: Setting, given: Given) -> tuple[str, ...]:
    items = given.value.split(",") if isinstance(given.value, str) else given.value
    if not isinstance(items, (list, tuple)):
        raise _Wrong(f"{_shown(items)} is not a list of origins; write for example [https://app.example.com]")
    wanted = "the origin of a web site; write scheme, host and port only, as in https://app.example.com, or *"
    texts = [_line(item, wanted) for item in items]
    return tuple(dict.fromkeys(text if text == "*" else _origin(text, wanted) for text in texts if text))


def _networks(setting: Setting, given: Given) -> tuple[Network, ...]:
    items = given.value.split(",") if isinstance(given.value, str) else given.value
    if not isinstance(items, (list, tuple)):
        raise _Wrong(f"{_shown(items)} is not a list of addresses; write for example [10.0.0.2, 172.16.0.0/12]")
    wanted = "an address or a network; write for example 10.0.0.2, 172.16.0.0/12 or fd00::/8"
    texts = [_line(item, wanted) for item in items]
    return tuple(dict.fromkeys(_network(text, wanted) for text in texts if text))


def _network(text: str, wanted: str) -> Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        pass
    try:
        meant = ipaddress.ip_network(text, strict=False)
    except ValueError:
        raise _Wrong(f"{_shown(text)} is not {wanted}") from None
    raise _Wrong(f"{_shown(text)} is an address within a network; write {meant} for all of it")


def _origin(text: str, wanted: str) -> str:
    """The URL in the one form that can be compared: lower case, no default port, no slash at its end."""
    try:
        url = urlsplit(text)
        host, port = url.hostname or "", url.port
    except ValueError:
        raise _Wrong(f"{_shown(text)} is not {wanted}") from None
    more = url.path.strip("/") or "?" in text or "#" in text or "@" in url.netloc
    if url.scheme not in ("http", "https") or more or not (_is_ipv6(host) if ":" in host else _is_host(host)):
        raise _Wrong(f"{_shown(text)} is not {wanted}")
    default = {"http": 80, "https": 443}[url.scheme]
    return f"{url.scheme}://" + (f"[{host}]" if ":" in host else host) + ("" if port in (None, default) else f":{port}")


def _retention(setting: Setting, given: Given) -> Retention:
    if isinstance(given.value, Retention):
        return given.value
    text = _line(given.value, "a list of steps in one line; write it in quotes")
    try:
        return retention.parse(text)
    except BadRequest as error:
        raise _Wrong(str(error)) from None


def _database(setting: Setting, given: Given) -> DatabasePlace:
    if isinstance(given.value, DatabasePlace):
        return given.value
    # Never shown: it may hold a password.
    wanted = "write sqlite:///PATH or postgresql://USER:PASSWORD@HOST:PORT/NAME"
    text = _hidden_line(given.value, wanted)
    scheme = text.partition(":")[0].lower()
    if scheme == "sqlite":
        return DatabasePlace(_url_path(text, given, wanted), text)
    if scheme not in ("postgresql", "postgres"):
        raise _Wrong(f"that is no database which Holdfast knows; {wanted}")
    try:
        url = urlsplit(text)
        name, _ = url.path.removeprefix("/"), url.port
    except ValueError:
        raise _Wrong(f"that is no URL; {wanted}") from None
    if not name or "/" in name:
        raise _Wrong(f"it names no database; {wanted}")
    return DatabasePlace(None, f"postgresql{text[len(scheme) :]}")


def _blobs(setting: Setting, given: Given) -> BlobPlace:
    if isinstance(given.value, BlobPlace):
        return given.value
    wanted = "write file:///PATH or s3://BUCKET/PREFIX?endpoint=http://HOST:PORT"
    text = _hidden_line(given.value, wanted)
    scheme = text.partition(":")[0].lower()
    if scheme == "file":
        return BlobPlace(_url_path(text, given, wanted), text)
    if scheme != "s3":
        raise _Wrong(f"that is no place which Holdfast knows; {wanted}")
    return BlobPlace(None, text)


def _hidden_line(value: object, wanted: str) -> str:
    text = value.strip() if isinstance(value, str) else value
    if not isinstance(text, str) or _CONTROL.search(text) or "://" not in text:
        raise _Wrong(f"that is no URL; {wanted}")
    return text


def _url_path(text: str, given: Given, wanted: str) -> Path:
    """``sqlite:///relative`` and ``sqlite:////absolute``, as SQLAlchemy reads them; ``file:///absolute`` is that."""
    scheme, _, rest = text.partition("://")
    rest = unquote(rest)
    if not rest.startswith("/") or rest == "/" or "?" in rest:
        raise _Wrong(f"{_shown(text)} names no path; {wanted}")
    if scheme.lower() == "sqlite":
        return Path(os.path.abspath(given.folder / Path(rest[1:]).expanduser()))
    return Path(os.path.abspath(rest))


_PARSERS: Mapping[Kind, Callable[[Setting, Given], object]] = {
    "path": _path,
    "file": _path,
    "log": _log,
    "address": _address,
    "url": _url,
    "urls": _urls,
    "origins": _origins,
    "networks": _networks,
    "user": _user,
    "password": _password,
    "secret": _secret,
    "choice": _choice,
    "switch": _switch,
    "integer": _integer,
    "bytes": _bytes,
    "retention": _retention,
    "database": _database,
    "blobs": _blobs,
}
