"""WebDAV locks as clients take them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from tests.server.dav_client import Answer, Dav

XML = 'text/xml; charset="utf-8"'
_TOKEN = re.compile(r"<([^<>\s]+)>")


def lockinfo(owner: str = "<D:href>a test</D:href>", scope: str = "exclusive") -> bytes:
    """The body of a LOCK; ``owner`` is XML."""
    return (
        '<?xml version="1.0" encoding="utf-8" ?><D:lockinfo xmlns:D="DAV:">'
        f"<D:lockscope><D:{scope}/></D:lockscope><D:locktype><D:write/></D:locktype>"
        f"<D:owner>{owner}</D:owner></D:lockinfo>"
    ).encode()


def token_of(answer: Answer) -> str:
    """The token in the Lock-Token header of an answer."""
    found = _TOKEN.fullmatch(answer.headers["lock-token"])
    assert found is not None, answer.headers["lock-token"]
    return found[1]


def lock(dav: Dav, path: str, headers: Mapping[str, str] | None = None, owner: str = "<D:href>a test</D:href>") -> str:
    """Take an exclusive lock; its token."""
    return token_of(dav.ok("LOCK", path, lockinfo(owner), {"Content-Type": XML, **(headers or {})}))
