"""A client of tus that sends what a test says."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable

from tests.server.dav_client import Answer, Dav
from tests.server.running import Server

URL = "/api/v1/tus/"
BYTES = "application/offset+octet-stream"


def metadata(**texts: str) -> str:
    """Upload-Metadata."""
    return ",".join(f"{key} {base64.b64encode(text.encode()).decode()}" for key, text in texts.items())


def path_of(answer: Answer) -> str:
    """Where to go on."""
    return "/" + answer.headers["location"].split("/", 3)[3]


def problem(answer: Answer, status: int) -> str:
    """The type of a problem that was answered with this status."""
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "application/problem+json"
    found = json.loads(answer.body)
    assert found["status"] == status
    return str(found["type"]).removeprefix("urn:holdfast:problem:")


def checksum(algorithm: str, data: bytes) -> str:
    """Upload-Checksum."""
    return f"{algorithm} {base64.b64encode(hashlib.new(algorithm, data).digest()).decode()}"


def stored_bytes(server: Server) -> int:
    """Of all packs."""
    return sum(path.stat().st_size for path in (server.data / "blobs" / "packs").rglob("*") if path.is_file())


class Tus:
    """Asks over a connection; every answer tells the version."""

    def __init__(self, dav: Dav) -> None:
        self.dav = dav

    def ask(
        self, method: str, path: str, body: bytes | Iterable[bytes] | None = None, /, **headers: str | int
    ) -> Answer:
        """Underlines in the names of headers are hyphens; Tus-Resumable is sent unless it is given as ""."""
        sent = {"Tus-Resumable": "1.0.0", **{name.replace("_", "-"): str(value) for name, value in headers.items()}}
        if sent["Tus-Resumable"] == "":
            del sent["Tus-Resumable"]
        answer = self.dav(method, path, body, sent)
        assert answer.headers["tus-resumable"] == "1.0.0", (method, path, answer)
        return answer

    def begin(self, name: str, size: int, /, *, to: str = URL, **texts: str) -> str:
        """The path of a new upload."""
        answer = self.ask("POST", to, None, Upload_Length=size, Upload_Metadata=metadata(filename=name, **texts))
        assert answer.status == 201, answer
        assert answer.headers["upload-offset"] == "0" or not size
        return path_of(answer)

    def partial(self, content: bytes) -> str:
        """The path of a partial upload, which is whole."""
        answer = self.ask("POST", URL, content, Upload_Length=len(content), Upload_Concat="partial", Content_Type=BYTES)
        assert (answer.status, answer.headers["upload-offset"]) == (201, str(len(content)))
        return path_of(answer)

    def patch(self, path: str, offset: int, body: bytes | Iterable[bytes], /, **headers: str) -> Answer:
        """Go on."""
        return self.ask("PATCH", path, body, Upload_Offset=offset, Content_Type=BYTES, **headers)

    def offset(self, path: str) -> int:
        """As HEAD tells it."""
        answer = self.ask("HEAD", path)
        assert answer.status == 200, answer
        assert answer.headers["cache-control"] == "no-store"
        return int(answer.headers["upload-offset"])
