"""tus against a real server: what becomes of bytes that break off, that come twice, in pieces, and into folders."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.server.content import noise
from tests.server.dav_client import Dav
from tests.server.running import Server, until
from tests.server.tus import BYTES, URL, Tus, checksum, metadata, path_of, problem, stored_bytes

MIB = 1_048_576
CONTENT = noise(3 * MIB + 17, seed=5)
Start = Callable[..., Server]


@pytest.fixture(scope="module")
def options() -> dict[str, Any]:
    """The disk's sync is not what is tested here."""
    return {"durability": "fast"}


@pytest.fixture
def tus(dav: Dav) -> Tus:
    """Signed in as the administrator."""
    return Tus(dav)


def test_body_that_breaks_off_keeps_what_came(tus: Tus) -> None:
    """HEAD tells how much; with a checksum it is nothing."""
    dav = tus.dav
    for name, sent, kept, line in (
        ("broken", 2 * MIB + 5, 2 * MIB + 5, ()),
        ("checked", 2 * MIB + 5, 0, (f"Upload-Checksum: {checksum('sha1', CONTENT)}",)),
    ):
        path = tus.begin(name, len(CONTENT))
        head = dav.head(
            "PATCH", path, "Tus-Resumable: 1.0.0", "Upload-Offset: 0", f"Content-Type: {BYTES}",
            f"Content-Length: {len(CONTENT)}", *line,
        )  # fmt: skip
        with dav.wire() as wire:
            wire.send(head + CONTENT[:sent])
        if kept:
            until(lambda path=path, kept=kept: tus.offset(path) == kept, what="the end of the broken request")
        assert tus.offset(path) == kept
        assert tus.patch(path, kept, CONTENT[kept:]).status == 204
        assert dav.ok("GET", f"/dav/{name}").body == CONTENT


def test_two_at_once_do_not_mix(tus: Tus, server: Server) -> None:
    """Each sends other bytes to the same offset: one is taken whole, the others are told the offset."""
    bodies = [noise(MIB, seed=seed) for seed in range(4)]
    path = tus.begin("at once", 2 * MIB)
    ready = threading.Barrier(len(bodies))

    def halves(body: bytes) -> Iterator[bytes]:
        yield body[: MIB // 2]
        ready.wait(20)
        yield body[MIB // 2 :]

    def send(body: bytes) -> int:
        with server.dav() as own:
            return Tus(own).patch(path, 0, halves(body)).status

    with ThreadPoolExecutor(len(bodies)) as pool:
        statuses = list(pool.map(send, bodies))
    assert sorted(statuses) == [204, 409, 409, 409]
    first = bodies[statuses.index(204)]
    assert tus.patch(path, MIB, bodies[0]).status == 204
    assert tus.dav.ok("GET", "/dav/at%20once").body == first + bodies[0]


def test_partial_uploads_become_one_file(tus: Tus, server: Server) -> None:
    """In their order, whatever it was when they came; nothing of them is to be seen before, and no byte moves."""
    dav = tus.dav
    contents = [noise(MIB + 11, seed=21), noise(5, seed=22), b"", noise(2 * MIB, seed=23)]
    paths = [tus.partial(each) for each in reversed(contents)][::-1]
    told = tus.ask("HEAD", paths[0])
    assert (told.headers["upload-concat"], told.headers["upload-length"]) == ("partial", str(MIB + 11))
    listed = dav.ok("PROPFIND", "/dav/", None, {"Depth": "1"}).text
    concat = "final;" + " ".join([paths[0], f"http://elsewhere{paths[1]}", *paths[2:]])
    asked = {"Upload_Concat": concat, "Upload_Metadata": metadata(filename="joined", filetype="x/own")}
    before = stored_bytes(server)
    answer = tus.ask("POST", URL, None, **asked)
    assert answer.status == 201, answer
    assert stored_bytes(server) - before < 600_000
    whole = b"".join(contents)
    assert dav.ok("GET", "/dav/joined").body == whole
    assert "joined" not in listed
    final = path_of(answer)
    told = tus.ask("HEAD", final)
    assert told.headers["upload-concat"] == concat
    assert (told.headers["upload-offset"], told.headers["upload-length"]) == (str(len(whole)), str(len(whole)))
    assert problem(tus.patch(final, len(whole), b""), 403) == "denied"
    # The answer was lost: the same again; and what was used up cannot be used for another file.
    again = tus.ask("POST", URL, None, **asked)
    assert (again.status, path_of(again)) == (201, final)
    other = {**asked, "Upload_Metadata": metadata(filename="other"), "Upload_Concat": f"final;{paths[0]}"}
    assert problem(tus.ask("POST", URL, None, **other), 409) == "upload-conflict"
    assert tus.offset(paths[0]) == MIB + 11
    assert tus.ask("DELETE", paths[0]).status == 204
    assert dav.ok("GET", "/dav/joined").body == whole


def test_concatenation_that_cannot_be_leaves_the_partial_uploads(tus: Tus) -> None:
    """Not whole, not partial, a name that is taken: refused, and it can be asked for again."""
    dav = tus.dav
    whole = tus.partial(b"whole ")
    answer = tus.ask("POST", URL, None, Upload_Length=5, Upload_Concat="partial")
    half = path_of(answer)
    file = tus.begin("a file", 3)
    asked = {"Upload_Metadata": metadata(filename="put together")}
    for bad in (half, file):
        refused = tus.ask("POST", URL, None, Upload_Concat=f"final;{whole} {bad}", **asked)
        assert problem(refused, 409) == "upload-conflict"
    assert tus.ask("POST", URL, None, Upload_Concat=f"final;{whole} {URL}{'0' * 32}", **asked).status == 404
    refused = tus.ask("POST", URL, None, Upload_Length=11, Upload_Concat=f"final;{whole}", **asked)
    assert problem(refused, 400) == "bad-request"
    assert tus.patch(half, 0, b"parts").status == 204
    dav.ok("PUT", "/dav/put%20together", b"there")
    both = f"final;{whole} {half} {whole}"
    assert problem(tus.ask("POST", URL, None, Upload_Concat=both, **asked), 409) == "name-taken"
    dav.ok("DELETE", "/dav/put%20together")
    assert tus.ask("POST", URL, None, Upload_Concat=both, **asked).status == 201
    assert dav.ok("GET", "/dav/put%20together").body == b"whole partswhole "


def test_posts_on_a_folder_begin_uploads_into_it(tus: Tus, area: str) -> None:
    """As ownCloud Infinite Scale takes them: what is there is replaced, unless a condition says otherwise."""
    dav = tus.dav
    told = dav.ok("OPTIONS", area)
    assert told.headers["tus-version"] == "1.0.0"
    assert "concatenation" in told.headers["tus-extension"]
    path = tus.begin("in folder", len(CONTENT), to=area, mtime="1580608922", filetype="x/own")
    assert path.startswith(URL)
    assert tus.patch(path, 0, CONTENT).status == 204
    got = dav.ok("GET", f"{area}in%20folder")
    assert got.body == CONTENT
    assert got.headers["last-modified"] == "Sun, 02 Feb 2020 02:02:02 GMT"
    asked = {"Upload_Length": 3, "Upload_Metadata": metadata(filename="in folder"), "Content_Type": BYTES}
    assert tus.ask("POST", area, b"new", **asked, If_None_Match="*").status == 409
    assert tus.ask("POST", area, b"new", **asked, If_Match='"other"').status == 412
    assert tus.ask("POST", area, b"new", **asked, If_Match='"a", "b"').status == 400
    assert dav.ok("GET", f"{area}in%20folder").body == CONTENT
    assert tus.ask("POST", area, b"new", **asked, If_Match=got.etag).status == 201
    assert tus.ask("POST", area, b"NEW", **asked).status == 201
    assert dav.ok("GET", f"{area}in%20folder").body == b"NEW"
    assert tus.ask("POST", area, b"NEU", **asked, Upload_Checksum=checksum("md5", b"NEW")).status == 460
    assert tus.ask("POST", f"{area}in%20folder", b"new", **asked).status == 409
    assert tus.ask("POST", f"{area}missing/", b"new", **asked).status == 409
    answer = tus.ask("POST", area, None, Tus_Resumable="0.1", Upload_Length=3)
    assert (answer.status, answer.headers["tus-version"]) == (412, "1.0.0")
    for where in (area, f"{area}in%20folder"):
        assert dav("POST", where, b"x").status == 405
    assert dav("POST", "/at/2020-01-01/", b"x", {"Tus-Resumable": "1.0.0"}).status == 403


def test_server_that_is_killed_in_a_request(start: Start) -> None:
    """What was kept is told, the rest is sent, and the file is what it was."""
    server = start(durability="safe")
    content = noise(80 * MIB, seed=31)
    with server.dav() as dav:
        tus = Tus(dav)
        path = tus.begin("killed", len(content))
        with dav.wire() as wire:
            wire.send(
                dav.head(
                    "PATCH", path, "Tus-Resumable: 1.0.0", "Upload-Offset: 0", f"Content-Type: {BYTES}",
                    f"Content-Length: {len(content)}",
                )
                + content[: 70 * MIB]
            )  # fmt: skip
            until(lambda: tus.offset(path) >= 32 * MIB, what="the first part")
            server.kill_all()
    server.start()
    with server.dav() as dav:
        tus = Tus(dav)
        offset = tus.offset(path)
        assert 32 * MIB <= offset <= 70 * MIB
        assert tus.patch(path, offset, content[offset:]).status == 204
        got = dav.ok("GET", "/dav/killed").body
        assert hashlib.sha256(got).digest() == hashlib.sha256(content).digest()


def test_client_that_falls_silent_is_told_how_far_it_came(start: Start) -> None:
    """A refusal would end its upload, where going on is all that it has to do."""
    server = start(settings={"body_stall_seconds": 1})
    with server.dav() as dav:
        tus = Tus(dav)
        path = tus.begin("silent", 10)
        with dav.wire() as wire:
            wire.send(
                dav.head(
                    "PATCH", path, "Tus-Resumable: 1.0.0", "Upload-Offset: 0", f"Content-Type: {BYTES}",
                    "Content-Length: 10",
                )
                + b"12345"
            )  # fmt: skip
            said = wire.answer("PATCH")
        assert (said.status, said.fields["upload-offset"]) == (204, "5")
        assert tus.patch(path, 5, b"67890").status == 204
        assert dav.ok("GET", "/dav/silent").body == b"1234567890"
