"""REPORT sync-collection (RFC 6578) over HTTP: its questions, its answers, and what it refuses."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.server.dav_client import Dav
from tests.server.listing import parse, properties, propfind
from tests.server.locking import lock
from tests.server.running import Server
from tests.server.syncing import PREFIXES, XML, Follower, body, etags, read, sync


@pytest.fixture(scope="module")
def options() -> dict[str, Any]:
    """A small bound of bodies, to be able to exceed it."""
    return {"settings": {"max_xml_size": 65536}}


@pytest.fixture
def folder(dav: Dav, area: str) -> str:
    """Holds a, sub/ and sub/b."""
    dav.ok("PUT", f"{area}a", b"a")
    dav.ok("MKCOL", f"{area}sub/")
    dav.ok("PUT", f"{area}sub/b", b"b")
    return area


def refused(dav: Dav, path: str, content: bytes | None, status: int, condition: str = "", **headers: str) -> None:
    """The status, with this precondition in the body."""
    answer = dav("REPORT", path, content, {**XML, **headers})
    assert (answer.status, f"<D:{condition}/>" in answer.text) == (status, bool(condition)), answer.text


def test_first_answer_has_everything_and_the_next_what_changed(dav: Dav, folder: str) -> None:
    """With the properties asked for; RFC 6578 §3.2, §3.4, §3.5."""
    first = sync(dav, folder)
    assert list(first.entries) == [f"{folder}a", f"{folder}sub/", f"{folder}sub/b"]
    assert (first.gone, first.cut) == ([], False)
    assert {href: entry["D:getetag"] for href, entry in first.entries.items()} == etags(dav, folder)
    dav.ok("PUT", f"{folder}sub/new%20%23", b"x")
    dav.ok("DELETE", f"{folder}a")
    second = sync(dav, folder, first.token)
    assert list(second.entries) == [f"{folder}sub/", f"{folder}sub/new%20%23"]
    assert second.gone == [f"{folder}a"]
    dav.ok("DELETE", f"{folder}sub/")
    third = sync(dav, folder, second.token)
    assert (third.entries, third.gone) == ({}, [f"{folder}sub/"])
    assert sync(dav, folder, third.token) == ({}, [], False, third.token)


def test_level_1_tells_of_members_only(dav: Dav, folder: str) -> None:
    """A folder in which something changed is one of them."""
    first = sync(dav, folder, level="1")
    assert list(first.entries) == [f"{folder}a", f"{folder}sub/"]
    dav.ok("PUT", f"{folder}sub/b", b"changed")
    assert list(sync(dav, folder, first.token, level="1").entries) == [f"{folder}sub/"]


def test_every_property_of_propfind_can_be_asked_for(dav: Dav, folder: str) -> None:
    """And is told alike, the missing ones and a lock of a folder above included."""
    patch = f"<D:propertyupdate {PREFIXES}><D:set><D:prop><A:x>1</A:x></D:prop></D:set></D:propertyupdate>".encode()
    assert dav("PROPPATCH", f"{folder}sub/b", patch).status == 207
    lock(dav, f"{folder}sub/")
    names = (
        "D:getetag", "D:getcontentlength", "D:getcontenttype", "D:getlastmodified", "D:creationdate", "D:displayname",
        "D:resourcetype", "D:supportedlock", "D:lockdiscovery", "D:quota-used-bytes", "D:quota-available-bytes",
        "D:sync-token", "D:supported-report-set", "oc:size", "oc:checksums", "A:x",
    )  # fmt: skip
    told = sync(dav, folder, "", *names).entries
    listed = propfind(dav, folder, *names, depth="1") | propfind(dav, f"{folder}sub/", *names, depth="1")
    volatile = {"{DAV:}quota-available-bytes", "{DAV:}lockdiscovery"}
    for href, entry in told.items():
        same = listed[href]
        assert set(entry.values) == set(same.values)
        assert entry.refused == same.refused
        texts = [{name: "".join(each[name].itertext()) for name in each} for each in (entry.values, same.values)]
        assert all(texts[0][name] == texts[1][name] for name in set(texts[0]) - volatile)
    assert told[f"{folder}sub/b"]["A:x"] == "1"
    assert f"{folder}sub/" in told[f"{folder}sub/b"]["D:lockdiscovery"]
    assert told[f"{folder}a"]["D:lockdiscovery"] == ""


def test_change_of_properties_alone_is_a_change(dav: Dav, folder: str) -> None:
    """Of a file, whose ETag stays, and of a folder."""
    patch = f"<D:propertyupdate {PREFIXES}><D:set><D:prop><A:x>1</A:x></D:prop></D:set></D:propertyupdate>".encode()
    token = sync(dav, folder).token
    for name in ("sub/b", "sub/"):
        etag = properties(dav, f"{folder}sub/b", "D:getetag")["D:getetag"]
        dav.ok("PROPPATCH", folder + name, patch, {"Prefer": "return=minimal"})
        told = sync(dav, folder, token, "A:x")
        assert told.entries[folder + name]["A:x"] == "1"
        assert properties(dav, f"{folder}sub/b", "D:getetag")["D:getetag"] == etag
        token = told.token


def test_answer_is_cut_where_the_client_wishes(dav: Dav, folder: str) -> None:
    """RFC 6578 §3.6, §3.7: a 507 for the folder itself, and a token that goes on."""
    told = sync(dav, folder, limit=2)
    assert list(told.entries) == [f"{folder}a", f"{folder}sub/"]
    assert told.cut
    rest = sync(dav, folder, told.token, limit=2)
    assert list(rest.entries) == [f"{folder}sub/b"]
    assert not rest.cut
    assert sync(dav, folder, limit=3).cut is False
    # No answer is short enough, unless there is nothing to tell.
    refused(dav, folder, body("", limit=0), 507, "number-of-matches-within-limits")
    assert sync(dav, folder, rest.token, limit=0) == ({}, [], False, rest.token)


def test_answer_of_the_server_is_bounded(dav: Dav, area: str) -> None:
    """10,000 entries, without a wish of the client."""
    dav.ok("MKCOL", f"{area}0/")
    for number in range(10):
        dav.ok("PUT", f"{area}0/{number}", b"x")
    for level in range(1, 4):
        dav.ok("MKCOL", f"{area}{level}/")
        for number in range(10):
            dav.ok("COPY", f"{area}{level - 1}/", headers={"Destination": f"{area}{level}/{number}/"})
    whole = etags(dav, area)
    assert len(whole) > 10_000
    told = sync(dav, area)
    assert (len(told.entries), told.cut) == (10_000, True)
    rest = sync(dav, area, told.token)
    assert not rest.cut
    assert {href: entry["D:getetag"] for href, entry in (told.entries | rest.entries).items()} == whole


def test_token_property_is_the_one_that_sync_would_give(dav: Dav, folder: str) -> None:
    """RFC 6578 §4: on folders, and only if asked for by name; so is the set of reports."""
    names = ("D:sync-token", "D:supported-report-set")
    entry = properties(dav, folder, *names)
    assert entry["D:sync-token"] == sync(dav, folder).token
    assert entry.values["{DAV:}supported-report-set"].find(
        "{DAV:}supported-report/{DAV:}report/{DAV:}sync-collection"
    ) is not None  # fmt: skip
    assert set(properties(dav, f"{folder}a", *names).refused.values()) == {404}
    assert not any(name in properties(dav, folder) for name in names)
    dav.ok("PUT", f"{folder}sub/b", b"changed")
    assert properties(dav, folder, *names)["D:sync-token"] == sync(dav, folder, entry["D:sync-token"]).token
    patch = f"<D:propertyupdate {PREFIXES}><D:set><D:prop><D:sync-token/></D:prop></D:set></D:propertyupdate>".encode()
    (answer,) = parse(dav("PROPPATCH", folder, patch)).values()
    assert answer.refused == {"{DAV:}sync-token": 403}


def test_tokens_that_are_none_of_this_folder_are_refused(server: Server, dav: Dav, folder: str) -> None:
    """RFC 6578 §3.2: with the precondition, upon which a client begins anew."""
    token = sync(dav, folder).token
    cut = sync(dav, folder, limit=1).token
    assert token.startswith("urn:holdfast:sync:")
    with server.add_user(f"other{folder.strip('/').rpartition('-')[2]}") as other:
        foreign = sync(other, "/dav/").token
    below = sync(dav, f"{folder}sub/").token
    for wrong in (
        foreign, below, "nonsense", "http://example.com/1", token + "0", token.rpartition(":")[0], cut + "!", cut[:-3],
        token.replace("sync:", "sync:x"), "x" * 60_000, f"{token}:0:0:i:p:W10", f"{token}:0:0:i:p:WyIuLiJd",
        f"{token}\n1",
    ):  # fmt: skip
        refused(dav, folder, body(wrong), 403, "valid-sync-token")
    refused(dav, folder, body(cut, level="1"), 403, "valid-sync-token")
    assert sync(dav, folder, f"\n {token} ").entries == {}
    dav.ok("DELETE", f"{folder}sub/")
    dav.ok("MKCOL", f"{folder}sub/")
    refused(dav, f"{folder}sub/", body(below), 403, "valid-sync-token")


def test_depth_other_than_0_is_refused(dav: Dav, folder: str) -> None:
    """RFC 6578 §3.2; a missing one is 0."""
    for depth in ("1", "infinity", "2"):
        refused(dav, folder, body(), 400, Depth=depth)
    assert not read(folder, dav("REPORT", folder, body(), XML)).cut


def test_reports_that_there_are_not_are_told_so(dav: Dav, folder: str) -> None:
    """RFC 3253 §3.6: others, and any of a file; nothing there is 404."""
    refused(dav, folder, b'<D:expand-property xmlns:D="DAV:"/>', 403, "supported-report")
    refused(dav, folder, b'<sync-collection xmlns="urn:x"/>', 403, "supported-report")
    refused(dav, f"{folder}a", body(), 403, "supported-report")
    refused(dav, f"{folder}missing", body(), 404)


SKETCH = '<D:sync-collection xmlns:D="DAV:">{}</D:sync-collection>'
TOKEN, LEVEL, PROP = "<D:sync-token/>", "<D:sync-level>1</D:sync-level>", "<D:prop/>"


@pytest.mark.parametrize(
    "content",
    [
        None, b"", b" ", b"text", b"<a", b'<!DOCTYPE x><D:sync-collection xmlns:D="DAV:"/>',
        *(
            SKETCH.format(inner).encode()
            for inner in (
                "", TOKEN + LEVEL, TOKEN + PROP, LEVEL + PROP, TOKEN * 2 + LEVEL + PROP,
                TOKEN + "<D:sync-level>2</D:sync-level>" + PROP, TOKEN + "<D:sync-level/>" + PROP,
                TOKEN + LEVEL + PROP + "<D:limit/>",
                *(
                    f"{TOKEN}{LEVEL}{PROP}<D:limit><D:nresults>{number}</D:nresults></D:limit>"
                    for number in ("", "-1", "x", "1.5", "9" * 30, "\u0661")
                ),
            )
        ),
    ],
)  # fmt: skip
def test_body_that_asks_nothing_is_refused(dav: Dav, area: str, content: bytes | None) -> None:
    """As with PROPFIND."""
    refused(dav, area, content, 400)


def test_body_that_is_too_large_is_refused(dav: Dav, area: str) -> None:
    """Announced or not."""
    large = body() + b" " * 65536
    refused(dav, area, large, 413)
    assert dav("REPORT", area, iter([large]), XML).status == 413


def test_report_is_among_the_methods(dav: Dav, area: str) -> None:
    """In Allow; RFC 6578 has no compliance class."""
    answer = dav("OPTIONS", area)
    assert "REPORT" in answer.headers["allow"].split(", ")
    assert answer.headers["dav"] == "1, 2, 3, extended-mkcol"


def test_sync_token_is_a_condition(dav: Dav, folder: str) -> None:
    """RFC 6578 §5: a change only if the folder is as the client knows it."""
    token = sync(dav, folder).token
    condition = {"If": f"<{folder}> (<{token}>)"}
    dav.ok("PUT", f"{folder}new", b"x", condition)
    assert dav("PUT", f"{folder}new", b"y", condition).status == 412
    assert dav("PUT", f"{folder}new", b"y", {"If": f"<{folder}> (Not <{token}>)"}).status == 204
    assert dav("REPORT", folder, body(), {**XML, "If": f"(<{token}>)"}).status == 412
    assert dav("REPORT", folder, body(), {**XML, "If": f"(<{sync(dav, folder).token}>)"}).status == 207


def test_followers_end_with_the_tree_while_others_change_it(dav: Dav, area: str) -> None:
    """Over HTTP, with a limit and between the parts of its answers."""
    dice = random.Random(6578)
    names = [f"{first}{second}" for first in "ab" for second in ("", "/x", "/y", "/x/z")]
    followers = [Follower(dav, area), Follower(dav, area, limit=2)]

    def change() -> None:
        path, other = (area + dice.choice(names) for _ in range(2))
        method = dice.choice(["PUT", "MKCOL", "DELETE", "MOVE", "COPY"])
        overwrite = {"Destination": other, "Overwrite": dice.choice("TF")}
        answer = dav(method, path, b"x" if method == "PUT" else None, overwrite if method in ("MOVE", "COPY") else {})
        assert answer.status < 500

    for _ in range(40):
        for _ in range(8):
            change()
        left = [change] * 4
        followers[1].follow(lambda left=left: left and left.pop()())  # type: ignore[misc]
        followers[0].follow()
        now = etags(dav, area)
        assert followers[0].known == now
        assert followers[1].known == now
