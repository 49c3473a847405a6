"""Locks hold in every worker, over a restart, and against everybody who has no token."""

from __future__ import annotations

import time
import xml.etree.ElementTree as ET

import pytest

from tests.server.conftest import Start
from tests.server.dav_client import Dav
from tests.server.listing import names, properties, propfind_body
from tests.server.locking import lock, lockinfo, token_of
from tests.server.running import Server


def test_lock_lives_over_a_restart(start: Start) -> None:
    """Stopped in order or killed: the lock, its token and its owner are still there."""
    server = start(workers=2)
    with server.dav() as dav:
        dav.ok("PUT", "/dav/file", b"before")
        token = lock(dav, "/dav/file", {"Timeout": "Second-3600"}, owner="<D:href>me, myself</D:href>")
    for again in (server.restart, lambda: (server.kill_all(), server.start())):
        again()
        with server.dav() as dav:
            assert dav("PUT", "/dav/file", b"no token").status == 423
            told = properties(dav, "/dav/file", "D:lockdiscovery")["D:lockdiscovery"]
            assert token in told
            assert "me, myself" in told
    with server.dav() as dav:
        assert dav("PUT", "/dav/file", b"after", {"If": f"(<{token}>)"}).status == 204
        assert dav("UNLOCK", "/dav/file", headers={"Lock-Token": f"<{token}>"}).status == 204
        assert dav("PUT", "/dav/file", b"free again").status == 204


def test_lock_holds_in_every_worker(start: Start) -> None:
    """Taken through one process, it is known to all at once; so is its end."""
    server = start(workers=4)
    everywhere = server.connections_to_all()
    first = next(iter(everywhere.values()))
    first.ok("PUT", "/dav/file", b"x")
    token = lock(first, "/dav/file")
    assert {dav("PUT", "/dav/file", b"y").status for dav in everywhere.values()} == {423}
    assert {dav("PUT", "/dav/file", b"y", {"If": f"(<{token}>)"}).status for dav in everywhere.values()} == {204}
    first.ok("UNLOCK", "/dav/file", headers={"Lock-Token": f"<{token}>"})
    assert {dav("PUT", "/dav/file", b"y").status for dav in everywhere.values()} == {204}
    for dav in everywhere.values():
        dav.close()


def test_lock_ends_with_its_time(dav: Dav, area: str) -> None:
    """Not before, and without anybody doing anything."""
    dav.ok("PUT", f"{area}file", b"x")
    lock(dav, f"{area}file", {"Timeout": "Second-2"})
    assert dav("PUT", f"{area}file", b"y").status == 423
    time.sleep(2.2)
    assert dav("PUT", f"{area}file", b"y").status == 204


@pytest.mark.parametrize("asked", ["Infinite", "Second-4100000000", "Second-9999999999999", "Infinite, Second-1"])
def test_lock_lives_at_most_as_long_as_the_server_grants(dav: Dav, area: str, asked: str) -> None:
    """A client that asks for ever gets a day."""
    dav.ok("PUT", f"{area}file", b"x")
    answer = dav.ok("LOCK", f"{area}file", lockinfo(), {"Timeout": asked})
    assert "<D:timeout>Second-86400<" in answer.text


@pytest.mark.parametrize("seconds", [1, 3600])
def test_lock_is_told_with_the_time_that_was_granted(dav: Dav, area: str, seconds: int) -> None:
    """Not with a second less, nor with none while it is held."""
    dav.ok("PUT", f"{area}file", b"x")
    answer = dav.ok("LOCK", f"{area}file", lockinfo(), {"Timeout": f"Second-{seconds}"})
    assert f"<D:timeout>Second-{seconds}<" in answer.text


def test_locked_folder_protects_all_in_it(dav: Dav, area: str) -> None:
    """Depth infinity: no member changes, comes or goes without the token."""
    dav.ok("MKCOL", f"{area}folder")
    dav.ok("PUT", f"{area}folder/file", b"x")
    token = lock(dav, f"{area}folder", {"Depth": "infinity"})
    with_token = {"If": f"<{area}folder> (<{token}>)"}
    for headers, expected in (({}, 423), (with_token, 204)):
        assert dav("PUT", f"{area}folder/file", b"y", headers).status == expected
    assert dav("PUT", f"{area}folder/new", b"y").status == 423
    assert dav("MKCOL", f"{area}folder/new").status == 423
    assert dav("DELETE", f"{area}folder/file").status == 423
    assert dav("DELETE", f"{area}folder").status == 423
    assert dav("MOVE", f"{area}folder/file", headers={"Destination": f"{area}out"}).status == 423
    assert names(dav, f"{area}folder") == {"file"}
    assert dav("COPY", f"{area}folder/file", headers={"Destination": f"{area}out"}).status == 201


def test_locked_folders_token_makes_a_new_member(dav: Dav, area: str) -> None:
    """RFC 4918 §10.4.4: an If without a tag, about a name that is free and already covered by the lock."""
    dav.ok("MKCOL", f"{area}folder")
    token = lock(dav, f"{area}folder", {"Depth": "infinity"})
    given = {"If": f"(<{token}>)"}
    assert dav("PUT", f"{area}folder/new", b"y", given).status == 201
    assert dav("MKCOL", f"{area}folder/inner", headers=given).status == 201
    assert dav("PUT", f"{area}folder/missing/new", b"y", given).status == 409
    assert dav("PUT", f"{area}outside", b"y", given).status == 412
    assert names(dav, f"{area}folder") == {"new", "inner/"}


def test_root_of_a_folders_lock_ends_in_a_slash(dav: Dav, area: str) -> None:
    """RFC 4918 §5.2: in the answer to LOCK, in lockdiscovery of folder and member, and where it stops a change."""
    folder = f"{area}folder"
    dav.ok("MKCOL", folder)
    dav.ok("PUT", f"{folder}/file", b"x")
    taken = dav.ok("LOCK", folder, lockinfo(), {"Depth": "infinity"})
    given = {"If": f"<{folder}> (<{token_of(taken)}>)"}
    root = f"<D:lockroot><D:href>{folder}/</D:href></D:lockroot>"
    assert root in taken.text
    assert root in dav.ok("LOCK", f"{folder}/file", headers={"If": f"(<{token_of(taken)}>)"}).text
    asked = propfind_body("D:lockdiscovery")
    for depth in ("0", "1"):
        told = dav.ok("PROPFIND", folder, asked, {"Depth": depth}).text
        assert told.count(root) == told.count("<D:response>")
    assert f"<D:href>{folder}/</D:href>" in dav("PUT", f"{folder}/file", b"y").text
    dav.ok("UNLOCK", folder, headers={"Lock-Token": f"<{token_of(taken)}>", **given})
    alone = dav.ok("LOCK", f"{folder}/file", lockinfo())
    assert f"<D:lockroot><D:href>{folder}/file</D:href></D:lockroot>" in alone.text
    assert f"<D:href>{folder}/file</D:href>" in dav("PUT", f"{folder}/file", b"y").text


def test_unlock_asks_its_conditions(dav: Dav, area: str) -> None:
    """What If says has to hold (RFC 4918 §10.4), and has to be readable."""
    etag = dav.ok("PUT", f"{area}file", b"x").etag
    token = lock(dav, f"{area}file")
    for value, status in (("garbage", 400), ('(["other"])', 412), ("(<urn:x>)", 412)):
        headers = {"Lock-Token": f"<{token}>", "If": value}
        assert dav("UNLOCK", f"{area}file", headers=headers).status == status
        assert dav("PUT", f"{area}file", b"y").status == 423
    headers = {"Lock-Token": f"<{token}>", "If": f"(<{token}> [{etag}])"}
    assert dav("UNLOCK", f"{area}file", headers=headers).status == 204


def test_locked_member_keeps_its_folder_from_going(dav: Dav, area: str) -> None:
    """DELETE and MOVE of the folder are refused as a whole, naming the member."""
    dav.ok("MKCOL", f"{area}folder")
    for name in ("a", "b"):
        dav.ok("PUT", f"{area}folder/{name}", b"x")
    lock(dav, f"{area}folder/b")
    for method, headers in (("DELETE", {}), ("MOVE", {"Destination": f"{area}to"})):
        answer = dav(method, f"{area}folder", headers=headers)
        assert answer.status == 423
        assert f"{area}folder/b" in answer.text
    assert names(dav, f"{area}folder") == {"a", "b"}


def test_locks_stay_behind_when_a_file_moves(dav: Dav, area: str) -> None:
    """RFC 4918 §9.9: neither the new name is locked nor the old one."""
    dav.ok("PUT", f"{area}file", b"x")
    token = lock(dav, f"{area}file")
    headers = {"Destination": f"{area}moved", "If": f"(<{token}>)"}
    assert dav("MOVE", f"{area}file", headers=headers).status == 201
    assert dav("PUT", f"{area}moved", b"y").status == 204
    assert dav("PUT", f"{area}file", b"y").status == 201


def test_lock_on_a_free_name_that_is_refused_makes_nothing(dav: Dav, area: str) -> None:
    """A second LOCK is refused, and leaves no empty file behind."""
    dav.ok("MKCOL", f"{area}folder")
    lock(dav, f"{area}folder", {"Depth": "infinity"})
    assert dav("LOCK", f"{area}folder/new", lockinfo()).status == 423
    assert names(dav, f"{area}folder") == set()


def test_lock_and_proppatch_leave_the_etag_as_it_is(dav: Dav, area: str) -> None:
    """They change no byte; a client that compares ETags would load the file again."""
    etag = dav.ok("PUT", f"{area}file", b"x").etag
    token = token_of(dav.ok("LOCK", f"{area}file", lockinfo()))
    assert dav("HEAD", f"{area}file").etag == etag
    patch = b'<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><x xmlns="urn:x"/></D:prop></D:set></D:propertyupdate>'
    dav.ok("PROPPATCH", f"{area}file", patch, {"If": f"(<{token}>)"})
    dav.ok("UNLOCK", f"{area}file", headers={"Lock-Token": f"<{token}>"})
    assert dav("HEAD", f"{area}file").etag == etag


def test_another_user_with_the_token_gets_nowhere(server: Server, dav: Dav, area: str) -> None:
    """A token is no key to another one's tree."""
    dav.ok("PUT", f"{area}file", b"x")
    token = lock(dav, f"{area}file")
    with server.add_user("stranger") as stranger:
        for method in ("UNLOCK", "LOCK", "PUT", "DELETE"):
            answer = stranger(method, f"{area}file", b"" if method == "PUT" else None,
                              {"Lock-Token": f"<{token}>", "If": f"(<{token}>)"})  # fmt: skip
            assert answer.status in (404, 409, 412), f"{method}: {answer.status}"
    assert dav("PUT", f"{area}file", b"y").status == 423


def test_folder_that_cannot_be_locked_for_what_is_below_names_it(dav: Dav, area: str) -> None:
    """RFC 4918 §9.10.3: a Multi-Status with the member at fault, and 424 for the folder; nothing is locked."""
    dav.ok("MKCOL", f"{area}sub/")
    dav.ok("PUT", f"{area}sub/file", b"x")
    lock(dav, f"{area}sub/file")
    refused = dav("LOCK", area, lockinfo(), {"Content-Type": "text/xml"})
    assert refused.status == 207
    told = {
        response.findtext("{DAV:}href"): response.findtext("{DAV:}status")
        for response in ET.fromstring(refused.body).iterfind("{DAV:}response")
    }
    assert told == {f"{area}sub/file": "HTTP/1.1 423 Locked", area: "HTTP/1.1 424 Failed Dependency"}
    assert "no-conflicting-lock" in refused.text
    assert "lock-token" not in refused.headers
    assert dav("PUT", f"{area}free", b"x").status == 201
    assert dav("LOCK", f"{area}sub/file", lockinfo(), {"Content-Type": "text/xml"}).status == 423
    assert dav("LOCK", area, lockinfo(), {"Content-Type": "text/xml", "Depth": "0"}).status == 200


def test_no_more_shared_locks_than_anybody_works_with(dav: Dav, area: str) -> None:
    """Each change of the tree looks at all of them."""
    dav.ok("PUT", f"{area}file", b"x")
    for _ in range(64):
        assert dav("LOCK", f"{area}file", lockinfo(scope="shared"), {"Timeout": "Second-60"}).status == 200
    refused = dav("LOCK", f"{area}file", lockinfo(scope="shared"), {"Timeout": "Second-60"})
    assert (refused.status, "more than 64 locks" in refused.text) == (403, True)


def test_listing_with_long_owners_is_sent_in_pieces(dav: Dav, area: str) -> None:
    """Each member repeats the locks that cover it: a small question has a large answer, which is never whole in
    memory.
    """
    for number in range(50):
        dav.ok("PUT", f"{area}{number}", b"")
    for _ in range(20):
        dav.ok("LOCK", area, lockinfo(owner="漢" * 8000, scope="shared"), {"Timeout": "Second-60"})
    answer = dav("PROPFIND", area, propfind_body("D:lockdiscovery"), {"Depth": "1"})
    assert answer.status == 207
    assert answer.headers["transfer-encoding"] == "chunked"
    assert answer.body.count(b"<D:activelock>") == 51 * 20
