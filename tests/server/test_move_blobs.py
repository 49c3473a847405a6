"""Running servers while their blobs move, to S3, back, and between two S3 services: nobody notices anything."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server.conftest import Start
from tests.server.nodes import VARIABLE, Nodes
from tests.server.running import Server, until
from tests.server.steady_load import SteadyLoad, fill
from tests.support import s3

KEYS = ("s3_access_key", "s3_secret_key")


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
    require_known(server, known)
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
    there_and_back(server, server.data, store, "one", files=120, size=60_000)


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
