"""`signed`: files of a mebibyte by signed URL, beside the same files by WebDAV, eight connections, in turns."""

from __future__ import annotations

import json
import os
import statistics
import urllib.request
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from benchmarks import holdfast
from benchmarks.compare import temporary_folder
from benchmarks.failures import WrongAnswer
from benchmarks.load import send_all
from benchmarks.measure import say
from benchmarks.servers import Place, Ports
from benchmarks.wire import Endpoint

LEAST = 0.95
"""Of WebDAV's rate."""

_SIZE = 1_048_576
_FILES = 16
_REQUESTS = 400
_CONNECTIONS = 8
_MOST_S = 60.0


class Signed(NamedTuple):
    """Requests a second of each run, by WebDAV and by signed URL."""

    dav: list[float]
    signed: list[float]

    @property
    def ratio(self) -> float:
        """The median of the runs' own ratios."""
        return statistics.median(one / other for one, other in zip(self.signed, self.dav, strict=True))

    @property
    def holds(self) -> bool:
        return self.ratio >= LEAST

    def __str__(self) -> str:
        return (
            f"GET of 1 MiB, {_CONNECTIONS} connections: {statistics.median(self.signed):.0f} requests/s by signed URL, "
            f"{statistics.median(self.dav):.0f} by WebDAV: {self.ratio:.2f}x (at least {LEAST})"
        )


def measure_signed(*, runs: int, first_port: int, scratch: Path | None) -> Signed:
    """Each run does both, once in this order and once in the other."""
    with temporary_folder(scratch) as within:
        place = Place(within / "holdfast", Ports(first_port).take())
        place.make()
        with holdfast.start(place) as server:
            endpoint = server.endpoint
            names = [f"file-{number}.bin" for number in range(_FILES)]
            content = {name: os.urandom(_SIZE) for name in names}
            etags = {name: _put(endpoint, name, body) for name, body in content.items()}
            plain = [endpoint.head("GET", name) for name in names]
            anybody = [_signed_head(endpoint, etags[name]) for name in names]
            found = Signed([], [])
            for number in range(runs):
                sides = [(plain, found.dav), (anybody, found.signed)]
                for heads, rates in sides if number % 2 else reversed(sides):
                    rates.append(_rate(endpoint, heads, list(content.values())))
                say(f"run {number + 1} of {runs}: {found.signed[-1]:.0f} and {found.dav[-1]:.0f} requests/s")
            return found


def _rate(endpoint: Endpoint, heads: list[bytes], contents: list[bytes]) -> float:
    requests = [heads[number % _FILES] for number in range(_REQUESTS)]
    outcome = send_all(endpoint, requests, connections=_CONNECTIONS, most_s=_MOST_S)
    for number, answer in enumerate(outcome.answers):
        answer.require("GET", 200)
        if answer.body != contents[number % _FILES]:
            raise WrongAnswer("GET: other bytes")
    return outcome.rate


def _put(endpoint: Endpoint, name: str, body: bytes) -> str:
    with urllib.request.urlopen(_asked(endpoint, endpoint.path(name), "PUT", body)) as answer:
        etag: str = answer.headers["ETag"]
        return etag


def _signed_head(endpoint: Endpoint, etag: str) -> bytes:
    """The request for what has this ETag, by a URL that needs no credentials."""
    node_id = int(etag.strip('"').split("-")[1], 16)
    with urllib.request.urlopen(_asked(endpoint, f"/api/v1/files/{node_id}", "GET")) as answer:
        url = json.load(answer)["downloadUrl"]
    return f"GET {urlsplit(url).path} HTTP/1.1\r\nHost: {endpoint.host}:{endpoint.port}\r\n\r\n".encode()


def _asked(endpoint: Endpoint, target: str, method: str, body: bytes | None = None) -> urllib.request.Request:
    request = urllib.request.Request(f"http://{endpoint.host}:{endpoint.port}{target}", data=body, method=method)
    head = endpoint.head("GET", "").decode()
    credentials = next(line for line in head.split("\r\n") if line.startswith("Authorization: "))
    request.add_header(*credentials.split(": ", 1))
    return request
