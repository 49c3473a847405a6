"""KIO: what Dolphin and KDE's programs use, driven with kioclient5."""

from __future__ import annotations

import random
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.server.dav_client import Dav
from tests.server.desktop import Desktop
from tests.server.listing import names, tree
from tests.server.local_files import ODD_NAMES, contents, real_files
from tests.server.programs import needs
from tests.server.running import ADMIN, PASSWORD, Server

pytestmark = [needs("kioclient5", "kde-cli-tools"), needs("dbus-daemon"), needs("dbus-send", "dbus-bin")]
LARGE = 50_000_000
REALM = "Holdfast"


@pytest.fixture(scope="module")
def options() -> dict[str, Any]:
    """The disk's sync is not what is tested here."""
    return {"durability": "fast"}


class _Kio:
    """kioclient in a session whose password service knows the administrator's password, as after KDE's dialogue."""

    def __init__(self, session: Desktop, server: Server) -> None:
        self._session = session
        self._address = server.url.removeprefix("http://")
        (session.home / ".config" / "kwalletrc").write_text("[Wallet]\nEnabled=false\nFirst Use=false\n")
        known = ",".join(map(str, _auth_info(f"webdav://{ADMIN}@{self._address}")))
        session(
            "dbus-send", "--session", "--print-reply", "--type=method_call", "--dest=org.kde.kpasswdserver",
            "/modules/kpasswdserver", "org.kde.KPasswdServer.addAuthInfo", f"array:byte:{known}", "int64:0",
        )  # fmt: skip

    def __call__(self, *command: str, succeeds: bool = True) -> str:
        return self._session("kioclient5", "--noninteractive", *command, succeeds=succeeds).decode()

    def url(self, path: str, password: str = "") -> str:
        """Of ``/dav/…``; with the password in it if one is given."""
        user = f"{ADMIN}:{quote(password)}" if password else ADMIN
        return f"webdav://{user}@{self._address}{quote(path.removeprefix('/dav/'))}"


def _auth_info(url: str) -> bytes:
    """KIO's record of a password, as Qt writes it."""

    def text(value: str) -> bytes:
        encoded = value.encode("utf-16-be")
        return struct.pack(">I", len(encoded)) + encoded

    nothing_asked = text("") * 4
    flags_and_extras = bytes(4) + struct.pack(">I", 0)
    challenge = f'Basic realm="{REALM}", charset="UTF-8"'
    return b"".join(
        (
            b"\x01", struct.pack(">I", len(url)), url.encode("ascii"), text(ADMIN), text(PASSWORD), nothing_asked,
            text(REALM), text(challenge), flags_and_extras,
        )
    )  # fmt: skip


@pytest.fixture(scope="module")
def kio(server: Server) -> Iterator[_Kio]:
    """A session of its own for the file."""
    with Desktop() as session:
        yield _Kio(session, server)


def test_kio_copies_both_ways_and_overwrites_when_told_only(kio: _Kio, dav: Dav, area: str, tmp_path: Path) -> None:
    """A file there, over the one that is there, and back."""
    (tmp_path / "file").write_bytes(b"first")
    kio("copy", f"file://{tmp_path}/file", kio.url(f"{area}file"))
    assert dav.ok("GET", f"{area}file").body == b"first"
    (tmp_path / "file").write_bytes(b"second")
    kio("copy", f"file://{tmp_path}/file", kio.url(f"{area}file"), succeeds=False)
    assert dav.ok("GET", f"{area}file").body == b"first"
    kio("--overwrite", "copy", f"file://{tmp_path}/file", kio.url(f"{area}file"))
    assert dav.ok("GET", f"{area}file").body == b"second"
    kio("copy", kio.url(f"{area}file"), f"file://{tmp_path}/back")
    assert (tmp_path / "back").read_bytes() == b"second"
    assert kio("cat", kio.url(f"{area}file")) == "second"


def test_kio_large_file_passes_though_its_first_try_is_not_signed_in(
    kio: _Kio, dav: Dav, area: str, tmp_path: Path
) -> None:
    """KIO sends a new file without credentials first, all of it, and looks at the answer only then."""
    body = random.Random(4).randbytes(LARGE)
    (tmp_path / "large").write_bytes(body)
    kio("copy", f"file://{tmp_path}/large", kio.url(f"{area}large"))
    assert dav.ok("GET", f"{area}large").body == body
    kio("copy", kio.url(f"{area}large"), f"file://{tmp_path}/back")
    assert (tmp_path / "back").read_bytes() == body


def test_kio_every_name_arrives_exactly(kio: _Kio, dav: Dav, area: str, tmp_path: Path) -> None:
    """Copied, listed, moved."""
    for name in ODD_NAMES:
        (tmp_path / name).write_bytes(name.encode())
        kio("copy", f"file://{quote(str(tmp_path / name))}", kio.url(area + name))
    assert names(dav, area) == set(ODD_NAMES)
    assert set(kio("ls", kio.url(area)).split("\n")) >= set(ODD_NAMES)
    for name in ODD_NAMES:
        kio("move", kio.url(area + name), kio.url(f"{area}to {name}"))
    assert tree(dav, area) == {f"to {name}": name.encode() for name in ODD_NAMES}


@pytest.mark.parametrize("password", ["", PASSWORD], ids=["password asked for", "password in the address"])
def test_kio_move_and_copy_at_the_server(kio: _Kio, dav: Dav, area: str, password: str) -> None:
    """MOVE and COPY, whose Destination has the user's name in it, and the password too if the address has."""
    dav.ok("MKCOL", f"{area}folder")
    dav.ok("PUT", f"{area}folder/a", b"a")
    dav.ok("PUT", f"{area}taken", b"taken")
    kio("move", kio.url(f"{area}folder/a", password), kio.url(f"{area}folder/b;c", password))
    kio("move", kio.url(f"{area}folder", password), kio.url(f"{area}moved", password))
    assert tree(dav, area) == {"moved/": b"", "moved/b;c": b"a", "taken": b"taken"}
    if not password:
        # With a password in the address KIO asks for it all the same, and waits for an answer.
        kio("copy", kio.url(f"{area}moved/b;c"), kio.url(f"{area}copied"))
        kio("move", kio.url(f"{area}copied"), kio.url(f"{area}taken"), succeeds=False)
        assert tree(dav, area) == {"moved/": b"", "moved/b;c": b"a", "copied": b"a", "taken": b"taken"}


def test_kio_carries_a_whole_tree_and_removes_it(kio: _Kio, dav: Dav, area: str, tmp_path: Path) -> None:
    """A folder of many files there and back, and away."""
    here = tmp_path / "here"
    real_files(here, 40)
    kio("copy", f"file://{here}", kio.url(f"{area}there"))
    found = tree(dav, f"{area}there/")
    assert {name: body for name, body in found.items() if not name.endswith("/")} == contents(here)
    kio("copy", kio.url(f"{area}there"), f"file://{tmp_path}/back")
    assert contents(tmp_path / "back") == contents(here)
    kio("remove", kio.url(f"{area}there"))
    assert tree(dav, area) == {}


def test_kio_says_what_is_not_there(kio: _Kio, area: str) -> None:
    """An error is an error."""
    kio("stat", kio.url(f"{area}missing"), succeeds=False)
    kio("move", kio.url(f"{area}missing"), kio.url(f"{area}other"), succeeds=False)
