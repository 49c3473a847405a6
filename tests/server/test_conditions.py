"""Conditions: nothing changes unless what the client knew is still so."""

from __future__ import annotations

import time

import pytest

from tests.server.dav_client import Dav
from tests.server.listing import names
from tests.server.locking import lock
from tests.server.running import Server

OLD = "Sun, 09 Sep 2001 01:46:40 GMT"
LATER = "Fri, 01 Jan 2100 00:00:00 GMT"


@pytest.fixture
def file(dav: Dav, area: str) -> str:
    """The path of a file."""
    dav.ok("PUT", f"{area}file", b"as it was")
    return f"{area}file"


CHANGES = {
    "PUT": (b"new", {}),
    "DELETE": (None, {}),
    "MOVE": (None, {"Destination": "to"}),
    "COPY": (None, {"Destination": "to"}),
    "PROPPATCH": (
        b'<D:propertyupdate xmlns:D="DAV:"><D:set><D:prop><x xmlns="urn:x"/></D:prop></D:set></D:propertyupdate>',
        {},
    ),
}
FAILING = {
    "other etag": {"If-Match": '"other"'},
    "weak etag": {"If-Match": "W/{etag}"},
    "etag to avoid": {"If-None-Match": "{etag}"},
    "weak etag to avoid": {"If-None-Match": "W/{etag}"},
    "nothing may be there": {"If-None-Match": "*"},
    "changed since": {"If-Unmodified-Since": OLD},
    "If with another etag": {"If": '(["other"])'},
    "If with not this etag": {"If": "(Not [{etag}])"},
    "If with an unknown token": {"If": "(<urn:uuid:00000000-0000-0000-0000-000000000000>)"},
    "If with no lock": {"If": "(<DAV:no-lock>)"},
    "If about this URL": {"If": '<{url}> (["other"])'},
    "If about another URL": {"If": '<{url}-not-there> (["other"])'},
}


@pytest.mark.parametrize("condition", FAILING.values(), ids=FAILING)
@pytest.mark.parametrize("method", CHANGES)
def test_condition_that_fails_is_412_and_nothing_changes(
    dav: Dav, area: str, file: str, method: str, condition: dict[str, str]
) -> None:
    """For every method that changes something."""
    etag = dav("HEAD", file).etag
    body, more = CHANGES[method]
    url = f"http://127.0.0.1:{dav.port}{file}"
    headers = {name: value.replace("{etag}", etag).replace("{url}", url) for name, value in condition.items()}
    headers |= {name: area + value for name, value in more.items()}
    answer = dav(method, file, body, headers)
    assert answer.status == 412, answer.text
    found = dav.ok("GET", file)
    assert (found.body, found.etag) == (b"as it was", etag)
    assert names(dav, area) == {"file"}


HOLDING = {
    "its etag": {"If-Match": "{etag}"},
    "one of several": {"If-Match": '"a", {etag}, "b"'},
    "anything": {"If-Match": "*"},
    "not the other": {"If-None-Match": '"other"'},
    "unchanged since": {"If-Unmodified-Since": LATER},
    "If with its etag": {"If": "([{etag}])"},
    "If with either": {"If": '(["other"]) ([{etag}])'},
    "If with no other": {"If": '(Not ["other"])'},
    "If without a lock": {"If": "(Not <DAV:no-lock>)"},
    "If about this URL": {"If": "<{url}> ([{etag}])"},
    "If about this path": {"If": "<{path}> ([{etag}])"},
}


@pytest.mark.parametrize("condition", HOLDING.values(), ids=HOLDING)
def test_condition_that_holds_lets_the_change_through(
    dav: Dav, area: str, file: str, condition: dict[str, str]
) -> None:
    """In every form that clients write it."""
    etag = dav("HEAD", file).etag
    url = f"http://127.0.0.1:{dav.port}{file}"
    headers = {
        name: value.replace("{etag}", etag).replace("{url}", url).replace("{path}", file)
        for name, value in condition.items()
    }
    assert dav("PUT", file, b"new", headers).status == 204


@pytest.mark.parametrize("value", ["*", '"anything"'])
def test_if_match_on_what_is_not_there_is_412(dav: Dav, area: str, value: str) -> None:
    """Nothing is created."""
    assert dav("PUT", f"{area}new", b"x", {"If-Match": value}).status == 412
    assert names(dav, area) == set()


def test_token_of_another_resource_does_not_unlock(dav: Dav, area: str, file: str) -> None:
    """A tagged list is about what it names: the condition has to hold there, and the lock's token be sent."""
    dav.ok("PUT", f"{area}other", b"x")
    token = lock(dav, file)
    other = f"http://127.0.0.1:{dav.port}{area}other"
    assert dav("PUT", file, b"new", {"If": f"<{other}> (<{token}>)"}).status in (412, 423)
    assert dav("PUT", file, b"new", {"If": "(<urn:uuid:11111111-1111-1111-1111-111111111111>)"}).status in (412, 423)
    assert dav.ok("GET", file).body == b"as it was"


def test_get_with_conditions_follows_the_rfc(dav: Dav, file: str) -> None:
    """RFC 9110 §13.2.2; 304 carries the validators, and If does not get into the way of If-None-Match."""
    first = dav.ok("GET", file)
    etag, date = first.etag, first.headers["last-modified"]
    not_modified = dav("GET", file, headers={"If-None-Match": etag})
    assert (not_modified.status, not_modified.etag, not_modified.body) == (304, etag, b"")
    assert dav("GET", file, headers={"If-None-Match": f"W/{etag}"}).status == 304
    assert dav("GET", file, headers={"If-None-Match": '"other"', "If-Modified-Since": date}).status == 200
    assert dav("GET", file, headers={"If-Modified-Since": date}).status == 304
    assert dav("GET", file, headers={"If-Modified-Since": OLD}).status == 200
    assert dav("GET", file, headers={"If-Match": '"other"'}).status == 412
    assert dav("GET", file, headers={"If-Unmodified-Since": OLD}).status == 412
    token = lock(dav, file)
    assert dav("GET", file, headers={"If": f"(<{token}>)", "If-None-Match": etag}).status == 304
    assert dav("GET", file, headers={"If": f"(<{token}>)"}).status == 200


def test_content_that_came_later_with_an_older_date_is_new(dav: Dav, area: str, file: str) -> None:
    """Clients set times, and a move brings old content: a date that only lies before is no proof."""
    date = dav("HEAD", file).headers["last-modified"]
    dav.ok("PUT", f"{area}before", b"older", {"X-OC-Mtime": "1000000000"})
    time.sleep(1.1)
    dav.ok("PUT", file, b"with an old date", {"X-OC-Mtime": "1000000000"})
    dav.ok("MOVE", f"{area}before", headers={"Destination": f"{area}moved"})
    for path in (file, f"{area}moved"):
        assert dav("GET", path, headers={"If-Modified-Since": date}).status == 200
        assert dav("GET", path, headers={"If-Unmodified-Since": date}).status == 412
        assert dav("PUT", path, b"x", {"If-Unmodified-Since": date}).status == 412
        told = dav("HEAD", path).headers["last-modified"]
        assert told == OLD
        for known in (told, LATER):
            assert dav("GET", path, headers={"If-Modified-Since": known}).status == 304
            assert dav("GET", path, headers={"If-Unmodified-Since": known}).status == 200


def test_page_of_a_folder_is_new_when_a_member_has_changed(dav: Dav, area: str, file: str) -> None:
    """Its date tells of members that come and go, not of what is in them."""
    date = dav("HEAD", area).headers["last-modified"]
    assert dav("GET", area, headers={"If-Modified-Since": date}).status == 304
    time.sleep(1.1)
    dav.ok("PUT", file, b"longer than it was")
    assert dav("HEAD", area).headers["last-modified"] == date
    assert dav("GET", area, headers={"If-Modified-Since": date}).status == 200


def test_rights_are_checked_before_not_modified(server: Server, dav: Dav, file: str) -> None:
    """Who may not see a file does not learn that it is still the same."""
    etag = dav("HEAD", file).etag
    assert dav("GET", file, headers={"If-None-Match": etag}, signed_in=False).status == 401
    with server.add_user("curious") as curious:
        assert curious("GET", file, headers={"If-None-Match": etag}).status == 404
        assert curious("GET", file, headers={"If-None-Match": "*"}).status == 404
