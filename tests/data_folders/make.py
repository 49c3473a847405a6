"""Write a data folder with everything in it that this state of the program knows, and what is in it."""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
import tarfile
import tempfile
from pathlib import Path

from appliance import clock, config, retention
from appliance.accounts import app_passwords, users
from appliance.app import Appliance, open_appliance
from appliance.chunks import findings
from appliance.files import history, rules
from appliance.files.write import Announced
from appliance.jobs import runs, steering
from appliance.serve.folder import hold_folder
from appliance.serve.prepare import finish_store, prepare_store
from appliance.tree.paths import parse
from appliance.upkeep import expire, measure, scrub
from appliance.upkeep.expire import Rules
from appliance.uploads import begin, complete, concatenating, parts, stream
from appliance.uploads.begin import ALWAYS, PART_SIZE, Wanted
from appliance.uploads.rows import Upload
from tests.data_folders.inventory import inventory
from tests.files.person import Person
from tests.support.content import noise, prose

HERE = Path(__file__).parent


def main(name: str, *given: str) -> None:
    """Make ``NAME.tar.gz`` and ``NAME.json`` beside this file; settings are ``given`` as variables, without prefix."""
    os.umask(0o077)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "data"
        variables = dict(f"HOLDFAST_{each}".split("=", 1) for each in ("ADMIN_PASSWORD=a password for tests", *given))
        settings = config.load(None, variables, {"data": str(folder)})
        claim = hold_folder(folder)
        prepare_store(settings, tell=print)
        appliance = open_appliance(settings)
        fill(appliance)
        found = inventory(appliance)
        appliance.close()
        finish_store(settings)
        os.close(claim)
        with tarfile.open(HERE / f"{name}.tar.gz", "w:gz", compresslevel=9) as archive:
            archive.add(folder, arcname="data")
    (HERE / f"{name}.json").write_text(json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def fill(appliance: Appliance) -> None:
    """A bit of everything."""
    anna = Person.new(appliance.files, "anna", quota_bytes=100_000_000)
    ben = Person.new(appliance.files, "ben")
    gone = Person.new(appliance.files, "gone")
    gone.put("/kept until purged.txt", b"kept")
    users.remove(appliance.database, gone.user)
    _, secret = app_passwords.add(appliance.database, anna.user, "laptop")
    assert secret
    anna.mkdir("/docs", "/docs/2026", "/pictures")
    anna.put("/empty", b"")
    anna.put("/small.txt", b"small content", modified_at=1_000_000_000_000_000)
    anna.put("/docs/report.txt", prose(30_000))
    anna.put("/docs/report.txt", prose(31_000, seed=2))
    anna.put("/docs/ü é;?#%.txt", b"a name for every client")
    anna.put("/pictures/one.jpg", noise(150_000))
    anna.put("/pictures/same as one.jpg", noise(150_000))
    digest = hashlib.sha1(b"checked", usedforsecurity=False).hexdigest()
    anna.put(
        "/checked", b"checked", checksum=Announced({"SHA1": digest}, {"SHA1": hashlib.sha1(usedforsecurity=False)})
    )
    # Zeros become thousands of entries of one chunk: a segmented manifest in a few bytes.
    anna.put("/zeros", bytes(8_000_000))
    anna.copy("/docs", "/docs copied")
    anna.move("/docs/2026", "/pictures/2026")
    anna.put("/docs/draft", b"the new text")
    anna.move("/docs/draft", "/docs/report.txt", overwrite=True)
    anna.put("/removed.txt", b"restorable")
    anna.remove("/removed.txt")
    anna.patch("/docs/report.txt", [("{urn:example}colour", '<x:colour xmlns:x="urn:example">red</x:colour>')])
    anna.lock("/small.txt", timeout_s=86_400)
    ben.put("/shared chunk.jpg", noise(150_000))
    _upload(appliance, anna)
    # What nobody names, and the reason to look for it.
    visitor = Person.new(appliance.files, "visitor")
    visitor.put("/traces", noise(20_000, seed=9))
    visitor.put("/small traces", b"traces")
    users.purge_user(appliance.database, visitor.user)
    # What the panel keeps.
    assert appliance.sign_in.begin_session("anna", "correct horse battery", address="192.0.2.7", agent="a browser")
    measure.measure(appliance.database)
    _run_jobs(appliance)
    # What scrub keeps: how far it is, and a finding that is over.
    scrub.everything(appliance.database, appliance.backend)
    noted = [findings.Noted("frame", b"", 99, "is damaged")]
    appliance.database.write(lambda session: findings.note(session, noted, "scrub"))
    scrub.settle(appliance.database)
    # What is kept of the past: a version by its name, and one state of an hour that had several.
    ben.put("/letter", b"draft")
    ben.put("/letter", b"as sent")
    ben.put("/letter", b"afterthought")
    history.name_version(ben.files, ben.principal, parse("/letter"), str(ben.versions("/letter")[1].seq), "as sent")
    users.set_retention(appliance.database, ben.user, retention.parse("all 2d, daily"))
    _keep_in_folders(ben)
    ben.remove("/letter")
    later = clock.now() + 10 * clock.DAY
    expire.expire(appliance.database, Rules(retention.parse(retention.DEFAULT), 30 * clock.DAY), now=later)


def _upload(appliance: Appliance, who: Person) -> None:
    """One that is completed, with parts that met at seams, and one that has begun; so with streams."""
    for name, count in (("uploaded", 3), ("half", 1)):
        wanted = Wanted((), name, 2 * PART_SIZE + 1000, ALWAYS, "text/plain")
        upload = begin.begin(appliance.uploads, who.principal, wanted, part_size=PART_SIZE)
        for number in range(count, 0, -1):
            body = io.BytesIO(bytes(upload.size_of(number) - 900) + prose(900, seed=number))
            parts.put_part(appliance.uploads, who.principal, upload.token, number, body, length=upload.size_of(number))
        if count == upload.total:
            complete.complete(appliance.uploads, who.principal, upload.token)
    wanted = Wanted((), "stream", 90_000, metadata="filename c3RyZWFt")
    _append(appliance, who, begin.begin(appliance.uploads, who.principal, wanted, part_size=0), noise(60_000, seed=11))
    tokens = []
    for seed in (12, 13, 14):
        upload = begin.begin_partial(appliance.uploads, who.principal, 40_000, metadata="")
        _append(appliance, who, upload, noise(40_000, seed=seed))
        tokens.append(upload.token)
    wanted = Wanted((), "put together", 0, concat="final;" + " ".join(tokens[:2]))
    concatenating.concatenate(appliance.uploads, who.principal, wanted, tokens[:2])


def _append(appliance: Appliance, who: Person, upload: Upload, data: bytes) -> None:
    stream.append(appliance.uploads, who.principal, upload.token, 0, io.BytesIO(data), length=len(data))


def _run_jobs(appliance: Appliance) -> None:
    """What became of a job, one that is paused, and a run that goes on."""
    appliance.database.write(
        lambda session: runs.end(session, runs.begin(session, "sweep", "nas/1", 1), "sweep", "done", "")
    )
    steering.pause(appliance.database, "expire", None)
    appliance.database.write(lambda session: runs.begin(session, "prune", "nas/1", 2))


def _keep_in_folders(who: Person) -> None:
    """One keeps more than the rest, one keeps less; of a third the rule was taken away, and is still needed."""
    who.mkdir("/contracts", "/scratch", "/former")
    for folder, steps in (("contracts", "all"), ("scratch", "none"), ("former", "none")):
        who.put(f"/{folder}/a", b"one")
        who.put(f"/{folder}/a", b"two")
        rules.set_rule(who.files, who.principal, (folder,), retention.parse(steps))
    expire.expire(who.files.database, Rules(retention.parse("all"), 30 * clock.DAY))
    rules.set_rule(who.files, who.principal, ("former",), None)


if __name__ == "__main__":
    main(*sys.argv[1:])
