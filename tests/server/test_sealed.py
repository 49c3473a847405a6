"""A server that seals: what lies on the disk, all that is done with it, and what its owner is told."""

from __future__ import annotations

import hashlib
import re
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.server.conftest import Start
from tests.server.content import noise
from tests.server.running import Server, until

TEXT = b"a sentence that would be found if it lay there as it is, and again and again. " * 40_000
FILM = noise(3_000_000, 1)


def sealed(server: Server) -> list[Path]:
    """The sealed packs, the largest first."""
    found = (server.data / "blobs" / "sealed" / "packs").glob("*/*")
    return sorted(found, key=lambda path: -path.stat().st_size)


def chunk_ids(server: Server) -> list[bytes]:
    """Of all that is stored."""
    with closing(sqlite3.connect(server.data / "holdfast.db")) as database:
        return [bytes(row[0]) for row in database.execute("SELECT id FROM chunk")]


def flip(path: Path, offset: int) -> None:
    """Change one bit."""
    content = bytearray(path.read_bytes())
    content[offset] ^= 4
    path.write_bytes(content)


def test_nothing_of_what_is_stored_can_be_read_in_the_blobs(start: Start) -> None:
    """Neither content nor the digests of chunks; the same content is stored once all the same."""
    server = start(settings={"seal": "on"})
    blobs = server.data / "blobs"
    assert "The master key was made" in server.stdout
    with server.dav() as dav:
        dav.ok("PUT", "/dav/text", TEXT)
        dav.ok("PUT", "/dav/film", FILM)
        assert dav.ok("GET", "/dav/text").body == TEXT
        before = len(sealed(server))
        dav.ok("PUT", "/dav/again", FILM)
        assert len(sealed(server)) == before > 0
        for name, content in (("film", FILM), ("again", FILM)):
            assert dav.ok("GET", f"/dav/{name}").body == content
        ranged = dav("GET", "/dav/film", headers={"Range": "bytes=1500000-1700000"})
        assert ranged.status == 206
        assert ranged.body == FILM[1_500_000:1_700_001]
    assert not (blobs / "packs").exists()
    ids = chunk_ids(server)
    assert len(ids) > 20
    kept = b"".join(path.read_bytes() for path in blobs.rglob("*") if path.is_file())
    for needle in (TEXT[:40], FILM[:32], FILM[1_000_000:1_000_032], b"HFPK", b"HFPI", *ids):
        assert needle not in kept
    clean = server.holdfast("check", "--read-data")
    assert clean.stdout == "clean\n"
    server.restart()
    with server.dav() as dav:
        assert dav.ok("GET", "/dav/film").body == FILM
    assert server.stdout.count("The master key was made") == 1


def test_damage_is_told_healed_and_never_served(start: Start) -> None:
    """As that of a plain store: the file, the chunk; the others are read as ever."""
    server = start(settings={"seal": "on"}, workers=1)
    server.may_report_errors = True
    with server.dav() as dav:
        dav.ok("PUT", "/dav/film", FILM)
        dav.ok("PUT", "/dav/text", TEXT)
        flip(sealed(server)[0], 200_000)
        told = server.holdfast("check", "--read-data", succeeds=False)
        assert told.returncode == 1
        assert "chunk-damaged" in told.stdout
        assert "is not what was sealed" in told.stdout
        assert "pack-missing" not in told.stdout
        scrubbed = server.holdfast("scrub", "--now", succeeds=False)
        assert scrubbed.returncode == 1
        found = re.findall(r"^chunk [0-9a-f]{64} in pack \d+ .*$", scrubbed.stdout, re.MULTILINE)
        assert 1 <= len(found) <= 3
        assert dav("GET", "/dav/film", headers={"Range": "bytes=2500000-2500100"}).body == FILM[2_500_000:2_500_101]
        damaged = dav("GET", "/dav/film", headers={"Range": "bytes=200000-200100"})
        assert damaged.status == 500
        assert dav.ok("GET", "/dav/text").body == TEXT
        dav.ok("PUT", "/dav/film", FILM)
        assert dav.ok("GET", "/dav/film").body == FILM
    assert server.holdfast("scrub", "--now").returncode == 0


def test_cut_off_or_lost_blob_is_told_as_what_it_is(start: Start) -> None:
    """And what was in it is stored anew by an upload."""
    server = start(settings={"seal": "on"}, workers=1)
    server.may_report_errors = True
    with server.dav() as dav:
        dav.ok("PUT", "/dav/film", FILM)
        dav.ok("PUT", "/dav/text", TEXT)
        film, text = sealed(server)[:2]
        film.write_bytes(film.read_bytes()[:-1000])
        text.unlink()
        told = server.holdfast("check", "--read-data", succeeds=False)
        assert "pack-size" in told.stdout
        assert "pack-missing" in told.stdout
        assert server.holdfast("scrub", "--now", succeeds=False).returncode == 1
        assert dav("GET", "/dav/text").status == 500
        dav.ok("PUT", "/dav/film", FILM)
        dav.ok("PUT", "/dav/text", TEXT)
        assert dav.ok("GET", "/dav/film").body == FILM
        assert dav.ok("GET", "/dav/text").body == TEXT
    # What is left in the pack without an index moves to another one.
    server.holdfast("repair")
    server.holdfast("scrub", "--now")


def test_unclean_stop_is_recovered_from(start: Start) -> None:
    """A pack lost its end with the machine: what is intact of it is kept, and the file shows the version before."""
    server = start(settings={"seal": "on"}, durability="fast", workers=1)
    server.may_report_errors = True
    with server.dav() as dav:
        dav.ok("PUT", "/dav/text", TEXT)
        dav.ok("PUT", "/dav/film", b"the first version")
        dav.ok("PUT", "/dav/film", FILM)
    server.kill_all()
    with closing(sqlite3.connect(server.data / "holdfast.db")) as database, database:
        database.execute("UPDATE pack SET synced = 0")
    film = sealed(server)[0]
    film.write_bytes(film.read_bytes()[:-200_000])
    server.start()
    assert "1 packs were damaged, 1 files set back" in server.stdout
    with server.dav() as dav:
        assert dav.ok("GET", "/dav/film").body == b"the first version"
        assert dav.ok("GET", "/dav/text").body == TEXT
        dav.ok("PUT", "/dav/film", FILM)
        assert dav.ok("GET", "/dav/film").body == FILM


def test_pruned_content_leaves_the_disk(start: Start) -> None:
    """Sealed packs are counted, written anew and removed as plain ones are."""
    server = start(settings={"seal": "on", "quarantine_hours": 0, "retention": "none", "trash_days": 0}, workers=1)
    with server.dav() as dav:
        dav.ok("PUT", "/dav/film", FILM)
        dav.ok("PUT", "/dav/text", TEXT)
        dav.ok("DELETE", "/dav/film")
        dav.ok("PUT", "/dav/small", noise(300_000, 5))
    size = sum(path.stat().st_size for path in sealed(server))
    server.holdfast("expire", succeeds=False)
    server.stop()
    server.holdfast("prune")
    server.start()
    until(lambda: sum(path.stat().st_size for path in sealed(server)) < size - 2_500_000, what="pruning")
    with server.dav() as dav:
        assert dav.ok("GET", "/dav/text").body == TEXT
    assert server.holdfast("check", "--read-data").stdout == "clean\n"


def test_sealing_is_switched_on_and_off_again(start: Start) -> None:
    """Everything stays readable; each kind of blob lies where it belongs."""
    server = start(workers=1)
    packs = server.data / "blobs" / "packs"
    assert "Nothing is encrypted" in server.holdfast("key", "backup").stdout
    refused = server.holdfast("key", "rotate", succeeds=False)
    assert refused.returncode == 2
    assert "there is no data key" in refused.stderr
    contents = {}
    for turn, seal in enumerate(["off", "on", "off"]):
        server.settings["seal"] = seal
        server.restart()
        contents[f"/dav/{turn}"] = noise(500_000, seed=turn)
        with server.dav() as dav:
            dav.ok("PUT", f"/dav/{turn}", contents[f"/dav/{turn}"])
            for path, content in contents.items():
                assert dav.ok("GET", path).body == content
    assert len(sealed(server)) == 1
    assert len(list(packs.glob("*/*"))) == 2
    assert server.holdfast("check", "--read-data").stdout == "clean\n"


def test_server_without_its_master_key_does_not_start(start: Start) -> None:
    """One line with both fingerprints and what to do; commands say the same, and nothing is made in its place."""
    server = start(settings={"seal": "on"}, workers=1)
    with server.dav() as dav:
        dav.ok("PUT", "/dav/film", FILM)
    assert server.stop() == 0
    told = server.holdfast("key", "backup").stdout
    text = re.search(r"HFMK(-[A-Z2-7]{8}){7}", told)
    fingerprint = re.search(r"fingerprint  ([0-9a-f]{16})", told)
    assert text is not None
    assert fingerprint is not None
    own = server.data / "master.key"
    shutil.move(own, server.scratch / "kept")
    for command in ("serve", "check", "scrub --now", "prune", "key backup", "key rotate"):
        refused = server.holdfast(*command.split(), succeeds=False)
        assert refused.returncode == 2, command
        assert refused.stderr.count("\n") == 1
        assert f"the master key {fingerprint[1]} is needed" in refused.stderr
    assert not own.exists()
    server.holdfast("key", "make", str(server.scratch / "other"))
    server.settings["master_key_file"] = str(server.scratch / "other")
    refused = server.holdfast("serve", succeeds=False)
    assert refused.returncode == 2
    assert f"the master key {fingerprint[1]} is needed" in refused.stderr
    assert server.holdfast("key", "list").stdout.count(fingerprint[1]) == 1
    del server.settings["master_key_file"]
    server.settings["master_key"] = text[0]
    server.start()
    with server.dav() as dav:
        assert dav.ok("GET", "/dav/film").body == FILM


def test_keys_are_rotated_and_rewrapped_beside_a_running_server(start: Start) -> None:
    """It goes on; after the new master key is given it reads everything."""
    server = start(settings={"seal": "on"})
    with server.dav() as dav:
        dav.ok("PUT", "/dav/film", FILM)
        assert "encrypted with the data key" in server.holdfast("key", "rotate").stdout
        # A command seals with the new one at once, and workers read it.
        dav.ok("PUT", "/dav/text", TEXT)
        new = server.scratch / "new.key"
        server.holdfast("key", "make", str(new))
        assert server.holdfast("key", "make", str(new), succeeds=False).returncode != 0
        assert "2 data keys are opened" in server.holdfast("key", "rewrap", "--new-master", str(new)).stdout
        assert dav.ok("GET", "/dav/film").body == FILM
        assert dav.ok("GET", "/dav/text").body == TEXT
    server.configure(master_key=None, master_key_file=new)
    server.restart()
    with server.dav() as dav:
        assert dav.ok("GET", "/dav/film").body == FILM
        dav.ok("PUT", "/dav/more", noise(200_000, 9))
    assert server.holdfast("key", "list").stdout.count("\n") == 3
    if len(server.turns()) == 1:
        assert len({path.read_bytes()[8:16] for path in sealed(server)}) == 2


@pytest.mark.parametrize("fault", ["key.named:1:kill", "keys.put:1:kill", "keys.noted:1:kill"])
def test_server_killed_while_it_makes_its_keys_starts_again(tmp_path: Path, fault: str) -> None:
    """With what was made."""
    server = Server(tmp_path, workers=1, settings={"seal": "on", "fault": fault, "test_faults": "allowed"})
    assert server.holdfast("serve", "--listen", "127.0.0.1:0", succeeds=False).returncode == -9
    del server.settings["fault"]
    server.start()
    with server.dav() as dav:
        dav.ok("PUT", "/dav/film", FILM)
        assert dav.ok("GET", "/dav/film").body == FILM
    server.finish()
    assert {path.name for path in server.data.glob("*.key")} == {"master.key", "audit.key"}


def test_backup_of_a_sealed_store_is_restored_sealed_or_plain(start: Start, tmp_path: Path) -> None:
    """The folder of a backup is plain and needs no key; a store that is made of it is as its own settings say."""
    server = start(settings={"seal": "on"}, workers=1)
    with server.dav() as dav:
        dav.ok("PUT", "/dav/film", FILM)
        dav.ok("PUT", "/dav/text", TEXT)
    folder = tmp_path / "backup"
    server.holdfast("backup", str(folder))
    assert not list(folder.rglob("*keys*"))
    server.holdfast("check-backup", str(folder))
    kept = b"".join(path.read_bytes() for path in folder.rglob("*") if path.is_file())
    assert FILM[:32] in kept
    for seal in ("off", "on"):
        scratch = tmp_path / seal
        scratch.mkdir()
        other = Server(scratch, workers=1, settings={"seal": seal})
        other.holdfast("restore-backup", str(folder))
        other.start()
        with other.dav() as dav:
            assert hashlib.sha256(dav.ok("GET", "/dav/film").body).digest() == hashlib.sha256(FILM).digest()
            assert dav.ok("GET", "/dav/text").body == TEXT
        assert bool(sealed(other)) == (seal == "on")
        assert (other.data / "master.key").exists() == (seal == "on")
        other.finish()


def test_lost_database_is_restored_over_the_sealed_blobs(start: Start, tmp_path: Path) -> None:
    """They are opened with the master key, verified, and stay; a damaged one is put anew."""
    server = start(settings={"seal": "on"}, workers=1)
    with server.dav() as dav:
        dav.ok("PUT", "/dav/film", FILM)
        dav.ok("PUT", "/dav/text", TEXT)
    folder = tmp_path / "backup"
    server.holdfast("backup", str(folder))
    assert server.stop() == 0
    before = {path: path.read_bytes() for path in sealed(server)}
    for path in server.data.glob("holdfast.db*"):
        path.unlink()
    flip(sealed(server)[1], 1000)
    own = server.data / "master.key"
    own.rename(tmp_path / "kept")
    assert "is needed" in server.holdfast("restore-backup", str(folder), succeeds=False).stderr
    (tmp_path / "kept").rename(own)
    server.holdfast("restore-backup", str(folder))
    after = {path: path.read_bytes() for path in sealed(server)}
    assert set(after) == set(before)
    assert sum(after[path] != before[path] for path in before) == 1
    server.start()
    with server.dav() as dav:
        assert dav.ok("GET", "/dav/film").body == FILM
        assert dav.ok("GET", "/dav/text").body == TEXT
    assert server.holdfast("check", "--read-data").stdout == "clean\n"
