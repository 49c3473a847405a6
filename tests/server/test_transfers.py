"""COPY and MOVE: what arrives, under which name, and what stays."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from tests.server.dav_client import Dav
from tests.server.listing import names, tree
from tests.server.local_files import ODD_NAMES


@pytest.fixture
def folder(dav: Dav, area: str) -> str:
    """The path of a folder with a file and a folder that has another."""
    for path in ("from", "from/inner"):
        dav.ok("MKCOL", area + path)
    dav.ok("PUT", f"{area}from/a", b"a")
    dav.ok("PUT", f"{area}from/inner/b", b"b")
    return f"{area}from"


WHOLE = {"a": b"a", "inner/": b"", "inner/b": b"b"}


def test_copy_of_depth_0_copies_only_the_folder(dav: Dav, area: str, folder: str) -> None:
    """RFC 4918 §9.8.3: no member comes along; what was at the target is replaced."""
    assert dav("COPY", folder, headers={"Destination": f"{area}to", "Depth": "0"}).status == 201
    assert tree(dav, f"{area}to") == {}
    assert tree(dav, folder) == WHOLE
    dav.ok("PUT", f"{area}to/old", b"old")
    assert dav("COPY", folder, headers={"Destination": f"{area}to", "Depth": "0"}).status == 204
    assert tree(dav, f"{area}to") == {}


def test_copy_of_depth_0_takes_properties_along_and_obeys_overwrite(dav: Dav, area: str, folder: str) -> None:
    """As litmus 0.18 asks (`copy_shallow`), and what RFC 4918 §9.8.2 says of dead properties."""
    prop = "<D:prop><c xmlns='urn:x'>blue</c></D:prop>"
    changed = f"<D:propertyupdate xmlns:D='DAV:'><D:set>{prop}</D:set></D:propertyupdate>".encode()
    assert dav("PROPPATCH", folder, changed).status == 207
    headers = {"Destination": f"{area}to/", "Depth": "0", "Overwrite": "F"}
    assert dav("COPY", f"{folder}/", headers=headers).status == 201
    assert tree(dav, f"{area}to") == {}
    asked = b"<D:propfind xmlns:D='DAV:'><D:prop><c xmlns='urn:x'/></D:prop></D:propfind>"
    assert ">blue<" in dav.ok("PROPFIND", f"{area}to", asked, {"Depth": "0"}).text
    dav.ok("PUT", f"{area}to/kept", b"kept")
    assert dav("COPY", f"{folder}/", headers=headers).status == 412
    assert tree(dav, f"{area}to") == {"kept": b"kept"}
    assert dav("COPY", f"{folder}/", headers={**headers, "Overwrite": "T"}).status == 204
    assert tree(dav, f"{area}to") == {}
    assert dav("COPY", f"{folder}/", headers={"Destination": f"{area}none/to/", "Depth": "0"}).status == 409
    assert tree(dav, folder) == WHOLE


def test_copy_of_depth_0_may_go_below_the_folder(dav: Dav, area: str, folder: str) -> None:
    """Nothing is in it that could be copied into itself; what holds the folder still cannot be replaced by it."""
    assert dav("COPY", folder, headers={"Destination": f"{folder}/inner/new", "Depth": "0"}).status == 201
    assert dav("COPY", folder, headers={"Destination": f"{folder}/inner", "Depth": "0"}).status == 204
    assert tree(dav, folder) == {"a": b"a", "inner/": b""}
    for target in (folder, area):
        assert dav("COPY", folder, headers={"Destination": target, "Depth": "0"}).status == 403
    assert dav("COPY", folder, headers={"Destination": f"{folder}/inner/new"}).status == 403


@pytest.mark.parametrize("depth", [None, "infinity"])
@pytest.mark.parametrize("slash", ["", "/"])
def test_copy_of_a_folder_copies_all_in_it(dav: Dav, area: str, folder: str, depth: str | None, slash: str) -> None:
    """With and without a Depth header and a slash at the end of either URL."""
    headers = {"Destination": f"{area}to{slash}", **({"Depth": depth} if depth else {})}
    assert dav("COPY", folder + slash, headers=headers).status == 201
    assert tree(dav, f"{area}to") == WHOLE
    dav.ok("PUT", f"{area}to/a", b"changed")
    assert tree(dav, folder) == WHOLE


@pytest.mark.parametrize("name", ODD_NAMES)
@pytest.mark.parametrize("method", ["MOVE", "COPY"])
def test_destination_name_arrives_exactly(dav: Dav, area: str, method: str, name: str) -> None:
    """Whatever is in it, as an absolute path and as a URL; nothing is cut at ``;``, ``?`` or ``#``."""
    dav.ok("PUT", f"{area}from", b"here")
    encoded = quote(name, safe="")
    encoded = encoded.replace("%2F", "%252F") if "%252F" not in encoded else encoded
    assert dav(method, f"{area}from", headers={"Destination": area + encoded}).status == 201
    left = {"from"} if method == "COPY" else set()
    assert names(dav, area) == {name} | left
    url = f"http://127.0.0.1:{dav.port}{area}{encoded}%20again"
    assert dav(method, area + encoded, headers={"Destination": url}).status == 201
    assert f"{name} again" in names(dav, area)
    assert dav.ok("GET", f"{area}{encoded}%20again").body == b"here"


@pytest.mark.parametrize("authority", ["user:secret@127.0.0.1:{port}", "user@127.0.0.1:{port}"])
def test_destination_with_a_user_in_it_is_ours(dav: Dav, area: str, authority: str) -> None:
    """KDE's clients send it so."""
    dav.ok("PUT", f"{area}from", b"here")
    url = f"http://{authority.format(port=dav.port)}{area}to"
    assert dav("MOVE", f"{area}from", headers={"Destination": url, "Overwrite": "F"}).status == 201
    assert names(dav, area) == {"to"}


def test_destination_behind_a_proxy_that_ends_tls_is_ours(dav: Dav, area: str) -> None:
    """The client speaks https to the proxy, which passes the Host on."""
    dav.ok("PUT", f"{area}from", b"here")
    headers = {"Host": "files.example.com", "Destination": f"https://files.example.com{area}to"}
    assert dav("MOVE", f"{area}from", headers=headers).status == 201
    assert names(dav, area) == {"to"}


@pytest.mark.parametrize("method", ["MOVE", "COPY"])
def test_target_that_exists_is_replaced_or_kept_as_told(dav: Dav, area: str, folder: str, method: str) -> None:
    """``Overwrite: F`` 412 and nothing changed; else 204, and a folder replaces as a whole, never merges."""
    dav.ok("MKCOL", f"{area}to")
    dav.ok("PUT", f"{area}to/old", b"old")
    before = tree(dav, area)
    assert dav(method, folder, headers={"Destination": f"{area}to", "Overwrite": "F"}).status == 412
    assert tree(dav, area) == before
    assert dav(method, folder, headers={"Destination": f"{area}to", "Overwrite": "T"}).status == 204
    assert tree(dav, f"{area}to") == WHOLE


@pytest.mark.parametrize(
    "source, target, status",
    [
        ("from", "from", 403),
        ("from", "from/inner/deeper", 403),
        ("from/inner", "from", 403),
        ("from", "missing/to", 409),
        ("from", "from/a/below", 403),
        ("missing", "to", 404),
        ("", "from/root", 403),
    ],
)
@pytest.mark.parametrize("method", ["MOVE", "COPY"])
def test_transfer_that_cannot_be_changes_nothing(
    dav: Dav, area: str, folder: str, method: str, source: str, target: str, status: int
) -> None:
    """Onto itself, into itself, over what holds it, below nothing or a file."""
    before = tree(dav, area)
    answer = dav(method, area + source, headers={"Destination": area + target})
    assert answer.status in ({status, 409} if target == "from/a/below" else {status}), answer.text
    assert tree(dav, area) == before


def test_folder_with_an_odd_name_moves_with_what_is_in_it_at_once(dav: Dav, area: str, folder: str) -> None:
    """All members are below the new name, none below the old one."""
    assert dav("MOVE", folder, headers={"Destination": f"{area}a%3Bb%3Fc%23d"}).status == 201
    assert tree(dav, area) == {"a;b?c#d/": b""} | {f"a;b?c#d/{name}": body for name, body in WHOLE.items()}
    assert dav("PROPFIND", folder, headers={"Depth": "0"}).status == 404
