"""What no log may contain: passwords, tokens and signatures are replaced by ``***``.

Nothing of the product logs one on purpose. This is for texts that others made: paths of clients, messages of libraries.
"""

from __future__ import annotations

import re

MASK = "***"

_SECRETS = re.compile(
    r"""
      \b ((?:urn:uuid|opaquelocktoken):) [0-9a-z-]+                # a lock token
    | \b ((?:basic|bearer|digest|negotiate) [ ]+) [0-9a-z+/=._~-]{6,}  # the value of an Authorization header
    | \b HFMK (?:-? [a-z2-7]{8})+ \b                               # the master key of sealed blobs
    | \b [a-z2-7]{8} (?:-[a-z2-7]{8}){3} \b                        # an app password
    | \b hfp_ [a-z2-7]{16,}                                        # a bearer token, or most of one
    | ((?:password|passwd|token|secret|signature|credential|api_?key) [a-z0-9_-]* ["']? [=:] [ ]* ["']?) [^\s&"',;)]+
    | \b (DETAIL: [ ]+) [^\n]+                                     # PostgreSQL shows the whole row
    | (:// [^\s/:@]+ :) [^\s/@]+ (?=@)                             # the password of a URL
    """,
    re.VERBOSE | re.IGNORECASE,
)
# Without one of these there is none of the above; most texts have none.
_SUSPICIOUS = re.compile(r"[:=\- ]|HFMK|hfp_", re.IGNORECASE)
# Paths in which a name is the key to what it names: share links in this product's form and in the one of Nextcloud.
_TOKEN_PATH = re.compile(
    r"((?:/index\.php)?/s/|/public\.php/dav/files/|/remote\.php/dav/public-(?:files|calendars)/)[^/]+"
)
_SIGNED = "/api/v1/signed/"
# What is left of a signed URL may be its right signature, though another letter of it is wrong: where it does not read
# as one to the end, nothing is told of it.
_SIGNED_PARTS = re.compile(r"([0-9.ai]+/)[^/]+(/[^/]*)")
# The end of what is signed, and a signature: also where what stands before is wrong.
_SIGNATURE = re.compile(r"(\.[ia]\.[0-9]{1,12}/+)[A-Za-z0-9_-]{43}")
_QUERY_NAME = re.compile(r"[A-Za-z0-9_.:-]{1,40}")


def masked(text: str) -> str:
    """The text without what looks like a secret."""
    return _SECRETS.sub(_keep_the_name, text) if _SUSPICIOUS.search(text) else text


def masked_path(path: str) -> str:
    """The decoded path of a request without the tokens in it."""
    if path.startswith(_SIGNED):
        parts = _SIGNED_PARTS.fullmatch(path, len(_SIGNED))
        return masked(f"{_SIGNED}{parts[1]}{MASK}{parts[2]}" if parts else _SIGNED + MASK)
    if "." in path:
        path = _SIGNATURE.sub(rf"\g<1>{MASK}", path)
    found = _TOKEN_PATH.match(path)
    return masked(f"{found[1]}{MASK}{path[found.end() :]}" if found else path)


def masked_query(query: str) -> str:
    """Only the names of a query's fields. A part without a value may be a token by itself."""
    parts = query.split("&")
    return "&".join(_field(*part.partition("=")[:2]) for part in parts)


def _field(name: str, equals: str) -> str:
    if not equals or _QUERY_NAME.fullmatch(name) is None:
        return MASK
    return f"{name}={MASK}"


def _keep_the_name(found: re.Match[str]) -> str:
    return next((group for group in found.groups() if group is not None), "") + MASK
