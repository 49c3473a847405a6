"""Where blobs lie in an S3 store, as one URL, and the keys that open it, which are never part of that URL.

``s3://BUCKET/PREFIX?endpoint=https://HOST:PORT&region=REGION&style=path&sse=AES256``; docs/s3.md explains each part.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple
from urllib.parse import parse_qsl, urlsplit

from appliance.errors import ConfigError

ACCESS_KEY = "HOLDFAST_S3_ACCESS_KEY"
SECRET_KEY = "HOLDFAST_S3_SECRET_KEY"
SESSION_TOKEN = "HOLDFAST_S3_SESSION_TOKEN"
"""The variables that hold the keys."""

# Tried if the own variables are not set: what every other S3 program reads.
OF_AWS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
_SETTING = "blobs_url"
PARAMETERS = ("endpoint", "region", "style", "sse", "sse_key")
# Names under which people put a key into the URL.
_SECRET = re.compile(r"(?i)(access|secret|session|security|password|credential|token|aws_|key_id)|^key$")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_NO_BUCKET = re.compile(r"\.\.|\.-|-\.|[0-9]+\.[0-9]+\.[0-9]+\.[0-9]+")
_REGION = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_PART = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|[0-9A-Fa-f:]+")
_DEFAULT_REGION = "us-east-1"
# With a key of 200 characters well below the 1,024 bytes that a name may have.
_LONGEST_PREFIX = 400

Style = Literal["path", "virtual"]


class Place(NamedTuple):
    """A bucket, and what of it is ours: names that begin with ``prefix``, which is empty or ends with a slash."""

    bucket: str
    prefix: str = ""
    endpoint: str = ""
    """Scheme, host and port; empty: AWS."""
    region: str = _DEFAULT_REGION
    style: Style = "path"
    """Whether the bucket stands in the path of a request or in its host."""
    sse: str = ""
    """How the store encrypts: ``AES256``, ``aws:kms``; empty: as it does by itself."""
    sse_key: str = ""
    """The name of the KMS key; empty: the bucket's own."""

    @property
    def store(self) -> str:
        """The store, for a person."""
        return self.endpoint or f"AWS S3 in {self.region}"

    @property
    def host(self) -> str:
        """Host and port of requests, without the bucket."""
        return self.endpoint.partition("://")[2] or "s3.amazonaws.com"

    @property
    def secure(self) -> bool:
        """Whether requests go over TLS."""
        return not self.endpoint.startswith("http://")


@dataclass(frozen=True, slots=True)
class Credentials:
    """What opens the store. Its text shows none of the secrets."""

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str = field(repr=False, default="")


def parse_place(url: str) -> Place:
    """
    Raises:
        ConfigError: no such place; never shows the URL, which may hold a key by mistake.
    """
    try:
        parts = urlsplit(url)
        parameters = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        # Its text shows what was given.
        raise _wrong("is no URL of the form s3://BUCKET/PREFIX?endpoint=…") from None
    if parts.scheme != "s3":
        raise _wrong("does not begin with s3://")
    if "@" in parts.netloc or any(_SECRET.search(name) for name, _ in parameters if name not in PARAMETERS):
        raise _wrong(f"may hold no keys; set {ACCESS_KEY} and {SECRET_KEY} in the environment")
    if parts.fragment or "#" in url:
        raise _wrong("may hold no '#'")
    given = _parameters(parameters)
    endpoint = _endpoint(given.get("endpoint", ""))
    sse, sse_key = _encryption(given)
    return Place(
        bucket=_bucket(parts.netloc),
        prefix=_prefix(parts.path),
        endpoint=endpoint,
        region=_region(given.get("region", _DEFAULT_REGION)),
        style=_style(given.get("style", "path" if endpoint else "virtual")),
        sse=sse,
        sse_key=sse_key,
    )


def read_credentials(variables: Mapping[str, str]) -> Credentials:
    """The keys in these environment variables.

    Raises:
        ConfigError: there are none, or one of a pair is missing.
    """
    for access, secret, token in ((ACCESS_KEY, SECRET_KEY, SESSION_TOKEN), OF_AWS):
        pair = (variables.get(access, ""), variables.get(secret, ""))
        if all(pair):
            _check_printable({access: pair[0], secret: pair[1], token: variables.get(token, "")})
            return Credentials(*pair, variables.get(token, ""))
        if any(pair):
            missing, there = (secret, access) if pair[0] else (access, secret)
            raise ConfigError(setting=missing, problem=f"is not set, and {there} is; both are needed")
    raise ConfigError(
        setting=ACCESS_KEY,
        problem=f"is not set; blobs in S3 need it and {SECRET_KEY} (or {OF_AWS[0]} and {OF_AWS[1]})",
    )


def _check_printable(values: Mapping[str, str]) -> None:
    """They become headers; a line break that came along from a file is the usual mistake."""
    for name, value in values.items():
        if not (value.isascii() and value.isprintable()) or value != value.strip():
            raise ConfigError(setting=name, problem="holds blanks, line breaks or characters that no key has")


def _parameters(pairs: list[tuple[str, str]]) -> dict[str, str]:
    given: dict[str, str] = {}
    for name, value in pairs:
        if name not in PARAMETERS:
            raise _wrong(f"has the unknown parameter {name[:40]!r}; there are {', '.join(PARAMETERS)}")
        if name in given:
            raise _wrong(f"has the parameter {name} twice")
        if not value:
            raise _wrong(f"has the parameter {name} without a value")
        given[name] = value
    return given


def _bucket(name: str) -> str:
    if not name:
        raise _wrong("names no bucket: s3://BUCKET/PREFIX")
    if not _BUCKET.fullmatch(name) or _NO_BUCKET.search(name):
        raise _wrong(
            f"names the bucket {name[:80]!r}, which cannot be one: 3 to 63 lower-case letters, digits, '-' and '.'"
        )
    return name


def _prefix(path: str) -> str:
    stripped = path.removeprefix("/").removesuffix("/")
    if not stripped:
        return ""
    if len(stripped) > _LONGEST_PREFIX or not all(_PART.fullmatch(part) for part in stripped.split("/")):
        raise _wrong(
            f"has the prefix {stripped[:80]!r}, which cannot be one: parts of letters, digits, '-', '_' and '.', "
            f"none beginning with '.', {_LONGEST_PREFIX} characters at most"
        )
    return stripped + "/"


def _endpoint(text: str) -> str:
    if not text:
        return ""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        raise _wrong("has an endpoint that is no URL") from None
    if "@" in text:
        raise _wrong(f"may hold no keys; set {ACCESS_KEY} and {SECRET_KEY} in the environment")
    if parts.scheme not in ("http", "https") or not _HOST.fullmatch(host):
        raise _wrong(f"has the endpoint {text[:80]!r}; it has to be http://HOST:PORT or https://HOST:PORT")
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise _wrong("has an endpoint with more than scheme, host and port; bucket and prefix stand in s3://…")
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}" + (f":{port}" if port else "")


def _region(text: str) -> str:
    if not _REGION.fullmatch(text):
        raise _wrong(f"has the region {text[:80]!r}, which cannot be one")
    return text


def _style(text: str) -> Style:
    if text == "path":
        return "path"
    if text == "virtual":
        return "virtual"
    raise _wrong(f"has the style {text[:40]!r}; there are path and virtual")


def _encryption(given: Mapping[str, str]) -> tuple[str, str]:
    sse, key = given.get("sse", ""), given.get("sse_key", "")
    if sse not in ("", "AES256", "aws:kms"):
        raise _wrong(f"has sse {sse[:40]!r}; there are AES256 and aws:kms")
    if key and sse != "aws:kms":
        raise _wrong("has sse_key, which is for sse=aws:kms")
    if not (key.isascii() and key.isprintable()):
        raise _wrong("has an sse_key that cannot be sent")
    return sse, key


def _wrong(problem: str) -> ConfigError:
    return ConfigError(setting=_SETTING, problem=problem)
