"""What a write lock protects and what it does not, as RFC 4918 §6, §7, §9.10 and §9.11 say it."""

from __future__ import annotations

import pytest

from tests.server.dav_client import Dav
from tests.server.listing import names, properties
from tests.server.locking import XML, lock, lockinfo, token_of

PATCH = b'<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><x xmlns="urn:x">1</x></D:prop></D:set></D:propertyupdate>'
UNKNOWN = "urn:uuid:00000000-0000-0000-0000-000000000000"


@pytest.fixture
def folder(dav: Dav, area: str) -> str:
    """The path of a folder with a file ``a`` and a folder ``sub`` in it."""
    dav.ok("MKCOL", f"{area}folder")
    dav.ok("MKCOL", f"{area}folder/sub")
    dav.ok("PUT", f"{area}folder/a", b"x")
    return f"{area}folder"


def scoped(dav: Dav, path: str, scope: str) -> int:
    """The status of a LOCK of this scope."""
    return dav("LOCK", path, lockinfo(scope=scope), {"Content-Type": XML}).status


@pytest.mark.parametrize("held, wanted, status", [
    ("shared", "shared", 200),
    ("shared", "exclusive", 423),
    ("exclusive", "shared", 423),
    ("exclusive", "exclusive", 423),
])  # fmt: skip
def test_scopes_exclude_each_other_as_the_table_says(dav: Dav, area: str, held: str, wanted: str, status: int) -> None:
    """§9.10.5; a refusal says `no-conflicting-lock`, and which lock is in the way."""
    dav.ok("PUT", f"{area}file", b"x")
    assert scoped(dav, f"{area}file", held) == 200
    refused = dav("LOCK", f"{area}file", lockinfo(scope=wanted), {"Content-Type": XML})
    assert refused.status == status
    if status == 423:
        assert f"<D:no-conflicting-lock><D:href>{area}file</D:href></D:no-conflicting-lock>" in refused.text
    told = properties(dav, f"{area}file", "D:lockdiscovery").values["{DAV:}lockdiscovery"]
    assert len(told) == (2 if status == 200 else 1)


def test_any_holder_of_a_shared_lock_may_write(dav: Dav, area: str) -> None:
    """§6.2: with one of the tokens; without any it is 423, and so until the last of them is released."""
    dav.ok("PUT", f"{area}file", b"x")
    tokens = [token_of(dav.ok("LOCK", f"{area}file", lockinfo(scope="shared"), {"Content-Type": XML})) for _ in "ab"]
    assert tokens[0] != tokens[1]
    for token in tokens:
        assert dav("PUT", f"{area}file", b"y", {"If": f"(<{token}>)"}).status == 204
    for token in tokens:
        assert dav("PUT", f"{area}file", b"z").status == 423
        assert dav("UNLOCK", f"{area}file", headers={"Lock-Token": f"<{token}>"}).status == 204
    assert dav("PUT", f"{area}file", b"z").status == 204


def test_lock_protects_content_properties_and_place_but_not_reading(dav: Dav, folder: str) -> None:
    """§7, §7.1: every method that changes, with the submitted-token condition and the URL; GET, PROPFIND and COPY
    from it pass.
    """
    path = f"{folder}/a"
    token = lock(dav, path)
    moved = {"Destination": f"{folder}/b"}
    changes = [("PUT", b"y", {}), ("PROPPATCH", PATCH, {}), ("MOVE", None, moved), ("DELETE", None, {})]
    for method, body, headers in changes:
        refused = dav(method, path, body, headers)
        assert refused.status == 423, method
        wanted = f"<D:lock-token-submitted><D:href>{path}</D:href></D:lock-token-submitted>"
        assert wanted in refused.text
    assert dav("GET", path).body == b"x"
    assert dav("PROPFIND", path, b"", {"Depth": "0"}).status == 207
    assert dav("COPY", path, headers={"Destination": f"{folder}/copy"}).status == 201
    assert dav("PUT", f"{folder}/copy", b"free").status == 204
    for method, body, headers in changes[:2]:
        assert dav(method, path, body, {**headers, "If": f"(<{token}>)"}).status in (204, 207)


def test_lock_on_a_free_name_is_an_empty_file(dav: Dav, area: str) -> None:
    """§7.3, §9.10.4: it is there for everybody, can be written with the token only, and stays when it is released."""
    path = f"{area}new"
    taken = dav("LOCK", path, lockinfo(), {"Content-Type": XML})
    assert (taken.status, dav("GET", path).body) == (201, b"")
    token = token_of(taken)
    assert names(dav, area) == {"new"}
    assert properties(dav, path, "D:getcontentlength")["D:getcontentlength"] == "0"
    assert dav("MKCOL", path, headers={"If": f"(<{token}>)"}).status == 405
    assert dav("PUT", path, b"x").status == 423
    etag = dav("HEAD", path).etag
    assert dav("PUT", path, b"x", {"If-Match": etag, "If": f"<{path}> (<{token}>)"}).status == 204
    assert dav("UNLOCK", path, headers={"Lock-Token": f"<{token}>"}).status == 204
    assert dav("GET", path).body == b"x"
    assert dav("LOCK", f"{area}missing/new", lockinfo(), {"Content-Type": XML}).status == 409
    assert names(dav, area) == {"new"}


def test_lock_of_depth_0_protects_which_members_there_are(dav: Dav, area: str, folder: str) -> None:
    """§7.4: none comes or goes without the token; what is in those that are there can change."""
    token = lock(dav, folder, {"Depth": "0"})
    dav.ok("PUT", f"{area}outside", b"x")
    changes = [
        ("PUT", f"{folder}/new", b"x", {}, 201),
        ("MKCOL", f"{folder}/more", None, {}, 201),
        ("MOVE", f"{area}outside", None, {"Destination": f"{folder}/came"}, 201),
        ("MOVE", f"{folder}/came", None, {"Destination": f"{folder}/other"}, 201),
        ("COPY", f"{folder}/a", None, {"Destination": f"{folder}/copied"}, 201),
        ("DELETE", f"{folder}/new", None, {}, 204),
        ("LOCK", f"{folder}/locked", lockinfo(), {"Content-Type": XML}, 201),
    ]
    for method, path, body, headers, status in changes:
        assert dav(method, path, body, headers).status == 423, method
        assert dav(method, path, body, {**headers, "If": f"<{folder}/> (<{token}>)"}).status == status, method
    assert dav("PUT", f"{folder}/a", b"changed").status == 204
    assert dav("PUT", f"{folder}/sub/new", b"x").status == 201
    assert dav("PROPPATCH", f"{folder}/a", PATCH).status == 207
    assert dav("PROPPATCH", folder, PATCH).status == 423


def test_locks_stay_where_they_are_taken(dav: Dav, area: str, folder: str) -> None:
    """§7.6: a copy is not locked, what is moved is not, what comes below a lock of infinite depth is; §9.6.1: with
    what is removed its locks end.
    """
    token = lock(dav, folder, {"Depth": "infinity"})
    given = {"If": f"<{folder}/> (<{token}>)"}
    assert dav("COPY", folder, headers={"Destination": f"{area}copy"}).status == 201
    assert dav("PUT", f"{area}copy/a", b"free").status == 204
    dav.ok("PUT", f"{area}outside", b"x")
    assert dav("MOVE", f"{area}outside", headers={**given, "Destination": f"{folder}/came"}).status == 201
    assert dav("PUT", f"{folder}/came", b"y").status == 423
    assert dav("MOVE", f"{folder}/came", headers={**given, "Destination": f"{area}out"}).status == 201
    assert dav("PUT", f"{area}out", b"free").status == 204
    assert dav("DELETE", folder, headers=given).status == 204
    assert dav("MKCOL", folder).status == 201
    assert dav("PUT", f"{folder}/a", b"free").status == 201


def test_refresh_names_its_lock_in_if_from_anywhere_below_it(dav: Dav, folder: str) -> None:
    """§9.10.2: no body, one token, a Depth that is ignored; the answer is the lock, without a Lock-Token header."""
    token = lock(dav, folder, {"Depth": "infinity", "Timeout": "Second-60"})
    for path in (folder, f"{folder}/a", f"{folder}/sub"):
        headers = {"If": f"(<{token}>)", "Timeout": "Second-600", "Depth": "0"}
        refreshed = dav("LOCK", path, headers=headers)
        assert refreshed.status == 200
        assert "lock-token" not in refreshed.headers
        assert "<D:timeout>Second-600<" in refreshed.text
        assert "<D:depth>infinity</D:depth>" in refreshed.text
    for headers in ({}, {"If": f"(<{UNKNOWN}>)"}, {"If": f"(Not <{UNKNOWN}>)"}):
        assert dav("LOCK", folder, headers=headers).status == 412
    assert dav("LOCK", f"{folder}/missing", headers={"If": f"(<{token}>)"}).status in (404, 412)
    assert names(dav, folder) == {"a", "sub/"}


def test_unlock_from_anywhere_below_releases_the_whole_lock(dav: Dav, area: str, folder: str) -> None:
    """§9.11: the token says which; no token 400, an unknown one or one of elsewhere 409, and nothing is released."""
    token = lock(dav, folder, {"Depth": "infinity"})
    dav.ok("PUT", f"{area}other", b"x")
    elsewhere = lock(dav, f"{area}other")
    assert dav("UNLOCK", folder).status == 400
    for wrong in (UNKNOWN, elsewhere):
        refused = dav("UNLOCK", folder, headers={"Lock-Token": f"<{wrong}>"})
        assert (refused.status, "lock-token-matches-request-uri" in refused.text) == (409, True)
    assert dav("UNLOCK", f"{area}missing", headers={"Lock-Token": f"<{token}>"}).status == 404
    assert dav("PUT", f"{folder}/a", b"y").status == 423
    assert dav("PUT", f"{area}other", b"y").status == 423
    assert dav("UNLOCK", f"{folder}/a", headers={"Lock-Token": f"<{token}>"}).status == 204
    assert dav("PUT", f"{folder}/a", b"y").status == 204
    assert properties(dav, folder, "D:lockdiscovery")["D:lockdiscovery"] == ""


def test_what_locks_there_can_be_is_told(dav: Dav, folder: str) -> None:
    """§6.7, §15.10: exclusive and shared write locks, on files and folders, when asked for by name."""
    for path in (folder, f"{folder}/a"):
        entries = properties(dav, path, "D:supportedlock").values["{DAV:}supportedlock"].findall("{DAV:}lockentry")
        scopes = {child.tag for entry in entries for child in entry.iterfind("{DAV:}lockscope/*")}
        assert scopes == {"{DAV:}exclusive", "{DAV:}shared"}
        assert {child.tag for entry in entries for child in entry.iterfind("{DAV:}locktype/*")} == {"{DAV:}write"}
