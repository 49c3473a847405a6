"""OPTIONS."""

from __future__ import annotations

from providers.dav import answer
from providers.dav.request import DavRequest
from providers.front.messages import Answer, Headers
from providers.tus import protocol as tus

ALLOW = "OPTIONS, GET, HEAD, PUT, DELETE, PROPFIND, PROPPATCH, MKCOL, COPY, MOVE, LOCK, UNLOCK, REPORT"

# Windows looks for MS-Author-Via before it writes; Finder mounts read-only without class 2.
COMPLIANCE: Headers = [("DAV", "1, 2, 3, extended-mkcol"), ("MS-Author-Via", "DAV"), ("Allow", ALLOW)]

# The past: without class 2 clients mount it read-only.
READING = "OPTIONS, GET, HEAD, PROPFIND"
PAST_COMPLIANCE: Headers = [("DAV", "1, 3"), ("MS-Author-Via", "DAV"), ("Allow", READING)]


def options(request: DavRequest) -> Answer:
    """What the server can do; the same for every path, whether something is there or not."""
    compliance = PAST_COMPLIANCE
    if request.face.moment is None:
        compliance = [*COMPLIANCE, *tus.capabilities(request.files.max_file_bytes)]
    return answer.empty(200, [*compliance, ("Accept-Ranges", "bytes")])
