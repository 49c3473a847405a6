"""Running servers while their blobs move, to S3, back, and between two S3 services: nobody notices anything."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.backends.s3_place import Credentials
from appliance.sealing.master import MasterKey
from tests.server.conftest import Start
from tests.server.mixed_load import workers_of
from tests.server.nodes import VARIABLE, Nodes
from tests.server.running import Server, until
from tests.server.steady_load import SteadyLoad, fill
from tests.support import s3

_OTHER = {"MINIO_ROOT_USER": "another-owner", "MINIO_ROOT_PASSWORD": "not-a-secret-either"}


def url(store: s3.Server, prefix: str) -> str:
    """As `blobs_url` names it."""
    place = store.place
    return f"s3://{place.bucket}/{place.prefix}{prefix}?endpoint={place.endpoint}&region={place.region}&style=path"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3.Server]:
    """A real S3 server."""
    names = s3.present()
    if not names:
        pytest.skip("there is no S3 server")
    with s3.server(names[0], tmp_path_factory.mktemp("s3")) as running:
        yield running


def keys(store: s3.Server, kind: str = "s3") -> dict[str, object]:
    """The settings that open it."""
    return {f"{kind}_access_key": store.credentials.access_key, f"{kind}_secret_key": store.credentials.secret_key}


def blobs_in(store: s3.Server, prefix: str) -> list[str]:
    """The names of everything there."""
    return [blob.key for blob in store.backend(prefix).list("")]


def files_in(folder: Path) -> list[str]:
    """The names of blobs in a folder."""
    return [str(path) for path in (folder / "blobs").rglob("*") if path.is_file()]


def move(server: Server, to: str, *options: str) -> dict[str, object]:
    """What the command tells."""
    told: dict[str, object] = json.loads(
        server.holdfast("migrate", "blobs", "--to", to, "--json", *options, seconds=900).stdout
    )
    return told


def require_clean(server: Server) -> None:
    """Every byte of the store is read."""
    report = server.holdfast("check", "--read-data", succeeds=False, seconds=1200)
    assert report.stdout.endswith("clean\n"), report.stdout + report.stderr


def require_known(server: Server, known: dict[str, bytes]) -> None:
    """Every byte of what was there before, as a client gets it."""
    with server.dav(timeout=120) as dav:
        for path, body in known.items():
            answer = dav("GET", path)
            assert (answer.status, answer.body) == (200, body), path


def there_and_back(server: Server, data: Path, store: s3.Server, prefix: str, *, files: int, size: int) -> None:
    """From a folder to S3 and back, under a load to which nothing is refused."""
    known = fill(server, files, size)
    at = url(store, prefix)
    with SteadyLoad(server, known) as load:
        until(lambda: load.answers.total() > 40, what="the load")
        told = move(server, at)
        print("moved", told)
        assert told["to"] == at
        assert told["blobs"] >= 10
        load.require_well()
        assert files_in(data) == []
        before = load.answers.total()
        until(lambda: load.answers.total() > before + 40, what="the load at the new place")
    require_clean(server)
    assert "store" in blobs_in(store, prefix)
    with SteadyLoad(server, known) as load:
        until(lambda: load.answers.total() > 40, what="the load")
        assert move(server, f"file://{data}")["to"] == f"file://{data}"
        load.require_well()
        assert blobs_in(store, prefix) == []
        before = load.answers.total()
        until(lambda: load.answers.total() > before + 40, what="the load at the old place")
    require_clean(server)
    require_known(server, known)
    assert files_in(data)


@pytest.mark.timeout(400)
def test_blobs_move_to_s3_and_back_while_clients_work(start: Start, store: s3.Server) -> None:
    """One machine: two workers, whose blobs lie in the data folder."""
    server = start(settings=keys(store))
    there_and_back(server, server.data, store, "one", files=80, size=60_000)


def test_configuration_has_to_name_the_new_place_at_the_next_start(start: Start, store: s3.Server) -> None:
    """It says which one; until then everything goes on, also what the supervisor starts anew."""
    server = start(settings=keys(store))
    # Two nodes have no folder that blobs could come from: they are sealed at S3 from the beginning.
    data = server.data
    known = fill(server, 6, 90_000)
    at = url(store, "named")
    said = server.holdfast("migrate", "blobs", "--to", at, seconds=100)
    assert "set blobs_url to it" in said.stdout
    assert "not sealed, as they were" in said.stdout
    server.may_report_errors = True
    for pid in workers_of(server):
        os.kill(pid, signal.SIGKILL)
    until(lambda: _answers(server), what="the new workers")
    require_known(server, known)
    assert server.stop() == 0
    refused = server.holdfast("serve", "--listen", "127.0.0.1:0", succeeds=False)
    assert (refused.returncode, f"set blobs_url to {at}" in refused.stderr) == (2, True), refused.stderr
    server.settings["blobs_url"] = at
    server.start()
    require_known(server, known)
    with server.dav() as dav:
        dav.ok("PUT", "/dav/sealed", os.urandom(200_000))
    assert [key for key in blobs_in(store, "named") if key.startswith("sealed/packs/")]
    server.holdfast("migrate", "blobs", "--to", f"file://{data}", seconds=100)
    del server.settings["blobs_url"]
    server.restart()
    require_known(server, known)


def _answers(server: Server) -> bool:
    try:
        with server.dav() as dav:
            return dav("GET", "/readyz").status == 200
    except OSError:
        return False


@pytest.fixture
def other(store: s3.Server, tmp_path: Path) -> Iterator[s3.Server]:
    """Another one, which the keys of the first do not open."""
    if store.name != "minio":
        pytest.skip("of MinIO")
    running = s3.Running("minio", tmp_path / "other", variables=_OTHER)
    running.credentials = Credentials(_OTHER["MINIO_ROOT_USER"], _OTHER["MINIO_ROOT_PASSWORD"])
    with running:
        yield running


def test_blobs_move_between_two_services_with_keys_of_their_own(
    other: s3.Server, store: s3.Server, start: Start
) -> None:
    """The second pair of keys is for the one that `blobs_url` does not name."""
    both = {**keys(store), **keys(other, "s3_other")}
    server = start(settings={**both, "blobs_url": url(store, "here"), "master_key": MasterKey.new().text})
    known = fill(server, 20, 90_000)
    with SteadyLoad(server, known, clients=2) as load:
        until(lambda: load.answers.total() > 20, what="the load")
        assert move(server, url(other, "there"))["not_sealed"] == 0
        load.require_well()
    assert blobs_in(store, "here") == []
    server.settings |= {"blobs_url": url(other, "there"), **keys(other)}
    server.restart()
    require_known(server, known)


@pytest.mark.parametrize(
    ("to", "said"),
    [
        ("s3://nowhere-at-all/x?endpoint={endpoint}", "has no bucket"),
        ("s3://{bucket}/x?endpoint=http://127.0.0.1:1", "does not answer"),
        ("s3://key:secret@{bucket}/x", "may hold no keys"),
        ("ftp://{bucket}/x", "no place which Holdfast knows"),
        ("", "where to?"),
    ],
)
def test_command_says_what_is_wrong_with_a_place(server: Server, store: s3.Server, to: str, said: str) -> None:
    """In a line, before anything is changed."""
    named = to.format(bucket=store.place.bucket, endpoint=store.place.endpoint)
    keys_of = {f"HOLDFAST_{name.upper()}": str(value) for name, value in keys(store).items()}
    arguments = ("--to", named) if named else ()
    done = server.holdfast("migrate", "blobs", *arguments, succeeds=False, environment=keys_of)
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    assert done.stderr.count("\n") == 1
    assert "secret" not in done.stderr.replace("secret_key", "")
    assert "nothing was under way" in server.holdfast("migrate", "blobs", "--abort").stdout
    with server.dav() as dav:
        assert dav("PUT", "/dav/still", b"x" * 90_000).status in (201, 204)


@pytest.mark.soak
def test_blobs_of_two_nodes_move_to_s3_and_back(
    tmp_path: Path, store: s3.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL, and a folder that both of them mount."""
    monkeypatch.setenv(VARIABLE, "files")
    scratch = tmp_path / "nodes"
    nodes = Nodes(scratch, settings={**keys(store), "seal": "off"})
    nodes.start()
    there_and_back(nodes, scratch / "blobs", store, "two", files=120, size=60_000)
    nodes.finish()


@pytest.mark.soak
def test_five_gigabytes_move_to_s3_and_back(start: Start, store: s3.Server) -> None:
    """20,000 files; less if HOLDFAST_TEST_MOVED says how many."""
    files = int(os.environ.get("HOLDFAST_TEST_MOVED", "20000"))
    server = start(settings=keys(store))
    there_and_back(server, server.data, store, "many", files=files, size=380_000)
