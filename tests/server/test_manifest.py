"""The manifest of a file: chunk by chunk, with URLs from which any program puts it together.

The same client reads from S3 and from the server: what it needs to know is in the answer.
"""

from __future__ import annotations

import hashlib
import http.client
import json
from collections.abc import Iterator
from typing import Any

import pytest
import zstandard

from tests.server.conftest import Start
from tests.server.content import noise
from tests.server.dav_client import Dav
from tests.server.nodes import make_server
from tests.server.running import Server, until
from tests.support import s3
from tests.support.content import prose
from tests.support.fetching import fetch

PLACES = ("disk", "s3", "sealed")
_PRESIGNED = {"seal": "off", "s3_presigned": "true"}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3.Server]:
    """A real S3 server."""
    names = [name for name in s3.present() if name != "moto"]
    if not names:
        pytest.skip("there is no S3 server that looks at signatures")
    with s3.server(names[0], tmp_path_factory.mktemp("s3")) as running:
        yield running


def settings_of(kind: str, request: pytest.FixtureRequest) -> dict[str, object]:
    """Blobs on the disk; in S3, plain and with URLs; in S3 and sealed."""
    if kind == "disk":
        return {}
    store: s3.Server = request.getfixturevalue("store")
    place = store.place
    return {
        "blobs_url": f"s3://{place.bucket}/{place.prefix}{kind}?endpoint={place.endpoint}&region={place.region}",
        "s3_access_key": store.credentials.access_key,
        "s3_secret_key": store.credentials.secret_key,
        **({"seal": "on"} if kind == "sealed" else _PRESIGNED | {"s3_public_endpoint": _public(place.endpoint)}),
    }


def _public(endpoint: str) -> str:
    """Another address of the store, which is what clients are given."""
    return endpoint.replace("127.0.0.1", "localhost")


@pytest.fixture(scope="module", params=PLACES)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One for each place."""
    settings = settings_of(request.param, request)
    running = make_server(tmp_path_factory.mktemp("server"), settings=settings).start()
    yield running
    running.finish()


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> str:
    """Where the blobs of the server are."""
    found: str = request.node.callspec.params["server"]
    return found


def id_of(dav: Dav, path: str) -> int:
    """The file's id, as its ETag has it."""
    return int(dav.ok("HEAD", path).etag.strip('"').split("-")[1], 16)


def manifest(dav: Dav, node_id: int, query: str = "") -> dict[str, Any]:
    """A page."""
    found: dict[str, Any] = json.loads(dav.ok("GET", f"/api/v1/files/{node_id}/manifest{query}").body)
    return found


def pages(dav: Dav, node_id: int, query: str = "") -> list[dict[str, Any]]:
    """All of them."""
    found = [manifest(dav, node_id, f"?{query}")]
    while "nextCursor" in found[-1]:
        found.append(manifest(dav, node_id, f"?{query}&cursor={found[-1]['nextCursor']}"))
    return found


def content_of(found: list[dict[str, Any]]) -> bytes:
    """What a client puts together that knows of nothing but the answers: each run once, each chunk by its SHA-256."""
    content = bytearray()
    for page in found:
        runs = [fetch(run["url"], run["headers"]) for run in page["runs"]]
        assert {status for status, _ in runs} <= {206}
        assert [len(body) for _, body in runs] == [run["length"] for run in page["runs"]]
        for chunk in page["chunks"]:
            stored = runs[chunk["run"]][1][chunk["runOffset"] :][: chunk["storedLength"]]
            plain = {"raw": bytes, "zstd": zstandard.ZstdDecompressor().decompress}[chunk["codec"]](stored)
            assert hashlib.sha256(plain).hexdigest() == chunk["sha256"]
            assert (chunk["offset"], chunk["length"]) == (len(content), len(plain))
            content += plain
    assert {page["size"] for page in found} == {len(content)}
    return bytes(content)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty", b""),
        ("small", b"few bytes"),
        ("noise", noise(3_000_000)),
        ("text", prose(2_000_000)),
        ("zeros", bytes(2_000_000)),
        ("mixed", noise(700_000, 5) + prose(700_000) + bytes(700_000) + noise(700_000, 5)),
    ],
)
def test_file_is_put_together_from_its_manifest(dav: Dav, area: str, kind: str, name: str, content: bytes) -> None:
    """Of every kind, on one page and on many; from the store where it may be, else from here."""
    dav.ok("PUT", f"{area}{name}", content)
    node_id = id_of(dav, f"{area}{name}")
    found = pages(dav, node_id)
    assert len(found) == 1
    assert content_of(found) == content
    assert content_of(pages(dav, node_id, "limit=7")) == content
    expected = "s3" if kind == "s3" and len(content) > 32_768 else "storage"
    assert {run["source"] for run in found[0]["runs"]} == ({expected} if content else set())
    codecs = {chunk["codec"] for chunk in found[0]["chunks"]}
    assert ("zstd" in codecs) == (expected == "s3" and name in ("text", "zeros", "mixed"))


def test_large_file_comes_in_pages(dav: Dav, area: str, kind: str) -> None:
    """Each bounded, and there is one run for what lies together."""
    if kind == "sealed":
        pytest.skip("as on the disk, since all comes from the server")
    content = noise(100_000_000, 8)
    dav.ok("PUT", f"{area}large", content)
    found = pages(dav, id_of(dav, f"{area}large"))
    chunks = sum(len(page["chunks"]) for page in found)
    assert chunks > 1000
    assert [len(page["chunks"]) for page in found[:-1]] == [1000] * (len(found) - 1)
    runs = [run for page in found for run in page["runs"]]
    assert max(run["length"] for run in runs) <= 18 * 1_048_576
    assert len(runs) <= len(content) // (16 * 1_048_576) + 1 + 2 * len(found)
    assert content_of(found) == content
    if kind == "s3":
        assert {run["source"] for run in runs} == {"s3"}


def test_pages_are_of_one_version(dav: Dav, area: str) -> None:
    """Also if the file changes between two of them; an earlier one is told as long as it is kept."""
    first, second = noise(1_500_000, 11), noise(1_200_000, 12)
    dav.ok("PUT", f"{area}file", first)
    node_id = id_of(dav, f"{area}file")
    page = manifest(dav, node_id, "?limit=5")
    dav.ok("PUT", f"{area}file", second)
    assert id_of(dav, f"{area}file") == node_id
    found = [page]
    while "nextCursor" in found[-1]:
        found.append(manifest(dav, node_id, f"?limit=5&cursor={found[-1]['nextCursor']}"))
    assert content_of(found) == first
    assert {each["version"] for each in found} == {page["version"]}
    assert content_of(pages(dav, node_id)) == second
    assert content_of(pages(dav, node_id, f"version={page['version']}&limit=9")) == first
    assert dav("GET", f"/api/v1/files/{node_id}/manifest?version=999999999").status == 404
    current = manifest(dav, node_id)["version"]
    refused = dav("GET", f"/api/v1/files/{node_id}/manifest?version={current}&cursor={page['nextCursor']}")
    assert refused.status == 400


def test_nobody_is_told_of_what_is_not_theirs(server: Server, dav: Dav, area: str) -> None:
    """The same answer as of what does not exist, also with the version's number; and of what is in the trash."""
    dav.ok("PUT", f"{area}file", noise(100_000))
    dav.ok("MKCOL", f"{area}folder")
    node_id = id_of(dav, f"{area}file")
    version = manifest(dav, node_id)["version"]
    with server.add_user("carla") as carla:
        answers = [
            carla("GET", f"/api/v1/files/{each}/manifest{query}")
            for each in (node_id, 99_999_999, "0", "-1", "x")
            for query in ("", f"?version={version}", f"?cursor={version}-65536")
        ]
    assert {answer.status for answer in answers} == {404}
    assert len({answer.body for answer in answers}) == 1
    assert dav("GET", f"/api/v1/files/{node_id}/manifest", signed_in=False).status == 401
    dav.ok("DELETE", f"{area}file")
    assert dav("GET", f"/api/v1/files/{node_id}/manifest").status == 404
    assert dav("GET", f"/api/v1/files/{node_id}/manifest?version={version}").status == 404


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=1001", "limit=x", "limit=1&limit=1", "a=b", "cursor=", "cursor=5", "cursor=1-0",
              "cursor=x-1", "cursor={version}-1", "cursor={version}-999999999"],
)  # fmt: skip
def test_parameter_that_is_none_is_refused(dav: Dav, area: str, query: str) -> None:
    """And never taken for something else."""
    dav.ok("PUT", f"{area}file", noise(100_000))
    node_id = id_of(dav, f"{area}file")
    version = manifest(dav, node_id)["version"]
    answer = dav("GET", f"/api/v1/files/{node_id}/manifest?{query.format(version=version)}")
    assert (answer.status, answer.headers["content-type"]) == (400, "application/problem+json")


def test_answer_is_nobody_elses(dav: Dav, area: str) -> None:
    """The URLs in it need no credentials."""
    dav.ok("PUT", f"{area}file", noise(100_000))
    path = f"/api/v1/files/{id_of(dav, f'{area}file')}/manifest"
    assert dav.ok("GET", path).headers["cache-control"] == "private, no-cache"
    head = dav.ok("HEAD", path)
    assert (head.body, head.headers["content-type"]) == (b"", "application/json")
    assert dav("POST", path, b"").status == 405


def test_url_at_the_store_gives_just_the_run(dav: Dav, area: str, kind: str, store: s3.Server) -> None:
    """The S3 server refuses every other byte of the pack, in which content of others may lie."""
    if kind != "s3":
        pytest.skip("only there are URLs of the store")
    dav.ok("PUT", f"{area}before", noise(40_000, 21))
    content = noise(1_000_000, 22)
    dav.ok("PUT", f"{area}file", content)
    (run,) = manifest(dav, id_of(dav, f"{area}file"))["runs"]
    assert run["url"].startswith(f"{_public(store.place.endpoint)}/{store.place.bucket}/")
    assert fetch(run["url"], run["headers"]) == (206, content)
    first, last = map(int, run["headers"]["Range"].removeprefix("bytes=").split("-"))
    assert last - first + 1 == run["length"] == len(content)
    for headers in ({}, {"Range": f"bytes={first}-{last + 1}"}, {"Range": f"bytes=0-{last}"}, {"Range": "bytes=-10"}):
        status, body = fetch(run["url"], headers)
        # MinIO says 400 if a signed header is missing altogether.
        assert status in (400, 403)
        assert b"AccessDenied" in body or b"SignatureDoesNotMatch" in body

    def told() -> list[int]:
        document = json.loads(dav.ok("GET", f"/api/v1/activity?fileId={id_of(dav, f'{area}file')}").body)
        return [each["bytes"] for each in document["activities"] if each["action"] == "download"]

    until(lambda: told() == [len(content)], what="the download in the trail")


def test_chunk_that_is_damaged_is_told_and_its_bytes_are_not(start: Start) -> None:
    """The others can be had one by one, by ranges of their own."""
    server = start(workers=1)
    server.may_report_errors = True
    content = noise(1_500_000, 31)
    with server.dav() as dav:
        dav.ok("PUT", "/dav/file", content)
        (pack,) = (server.data / "blobs" / "packs").glob("*/*")
        stored = bytearray(pack.read_bytes())
        stored[700_000] ^= 1
        pack.write_bytes(stored)
        found = manifest(dav, id_of(dav, "/dav/file"))
        url, wrong = found["runs"][0]["url"], 0
        for chunk in found["chunks"]:
            at, end = chunk["offset"], chunk["offset"] + chunk["length"]
            try:
                status, body = fetch(url, {"Range": f"bytes={at}-{end - 1}"})
            except (http.client.HTTPException, OSError):
                status, body = 500, b""
            if status != 206:
                wrong += 1
                continue
            assert hashlib.sha256(body).hexdigest() == chunk["sha256"]
        assert wrong == 1
        assert len(found["chunks"]) > 10
        assert manifest(dav, id_of(dav, "/dav/file"))["chunks"] == found["chunks"]
        dav.ok("PUT", "/dav/again", content)
        assert content_of(pages(dav, id_of(dav, "/dav/file"))) == content
