"""The benchmark of scale, in small: every step over a real PostgreSQL and a real S3 store."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import scale, scale_report
from benchmarks.report import insert
from benchmarks.scale import Measured, Plan, constants, load, measure_scale
from benchmarks.scale_model import POPULATIONS, Machines, loads
from benchmarks.scale_requests import GET_MIB, KINDS, PUT_MIB
from tests.server.nodes import new_database
from tests.support import s3
from tests.support.postgres import NotInstalled, private_server

# It starts ten programs; on a machine that does other things as well that takes a minute.
pytestmark = pytest.mark.timeout(300)

TINY = replace(Plan.quick(), users=2, uploads=8, connections=(1, 2), seconds=0.05, nodes=1500, requests=10, rounds=0)


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """The URLs of a PostgreSQL server and of a place in a bucket; the keys are in the environment."""
    if not {"minio", "versitygw"} & set(s3.present()):
        pytest.skip("there is no S3 server")
    scratch = tmp_path_factory.mktemp("scale")
    with ExitStack() as closing:
        try:
            server = closing.enter_context(private_server())
        except NotInstalled as reason:
            pytest.skip(str(reason))
        blobs = closing.enter_context(s3.Running(s3.present()[0], scratch / "objects"))
        variables = closing.enter_context(pytest.MonkeyPatch.context())
        variables.setenv("HOLDFAST_S3_ACCESS_KEY", blobs.credentials.access_key)
        variables.setenv("HOLDFAST_S3_SECRET_KEY", blobs.credentials.secret_key)
        url = f"s3://{blobs.place.bucket}/below?endpoint={blobs.place.endpoint}"
        yield server.url, url


@pytest.fixture(scope="module")
def measured(services: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """One run, without requests in generated stores: their nodes take as long as all else."""
    database, blobs = services
    scratch = tmp_path_factory.mktemp("nodes")
    return measure_scale(new_database(database), blobs, TINY, first_port=18_950, scratch=scratch)


@pytest.mark.soak
def test_requests_to_s3_and_statements_are_those_that_the_product_sends(measured: Measured) -> None:
    """Small files cause none to S3, larger ones one; a read has no transaction, and an upload writes log."""
    found = measured.requests
    assert set(found) == {*(kind.name for kind in KINDS), PUT_MIB, GET_MIB}
    assert found["PUT 4 KiB, new"].s3_requests == found["GET 4 KiB"].s3_requests == 0
    assert found["PUT 128 KiB"].s3 == {"PUT": 1}
    assert found["GET 128 KiB"].s3 == {"GET": 1}
    assert found[PUT_MIB].s3 == {"PUT": 1 / TINY.large_mib}
    assert 2 <= found["GET 4 KiB"].statements < found["PUT 4 KiB, new"].statements < 40
    assert found["PUT 4 KiB, new"].wal_bytes > 1000


@pytest.mark.soak
def test_commits_are_measured_for_every_number_of_connections(measured: Measured) -> None:
    """Through nodes and of PostgreSQL alone, with nobody left out."""
    it = measured.commits
    for rates in (it.one_node, it.two_nodes, it.one_tree, it.database, it.database_one_tree, it.log, it.log_delayed):
        assert list(rates) == [1, 2]
        assert min(rates.values()) > 1
    assert it.connections >= 1
    assert len(measured.shared) == 3


@pytest.mark.soak
def test_larger_store_is_the_first_one_so_many_times(measured: Measured) -> None:
    """Users, nodes, and rows of every large table."""
    small, large = measured.sizes
    assert (large.users, large.nodes) == (2 * small.users, 2 * small.nodes)
    assert large.tables["version"].rows == 2 * small.tables["version"].rows
    assert large.tables["chunk"].rows == 2 * small.tables["chunk"].rows
    assert min(measured.jobs.values()) > 1


@pytest.mark.soak
def test_use_cases_run_over_tables_that_are_cut(measured: Measured) -> None:
    """Lookups of names meet every partition; what asks by a tree or by a digest meets one.

    What is joined to a path meets one as well, but not in tables that are so small that all of it is read.
    """
    found = measured.partitions
    assert found["PUT of chunks"].statements > found["PUT of chunks"].several >= 1
    cut = {name for touched in found.values() for name in touched.tables}
    assert {"node", "placement"} <= cut <= {"node", "placement", "version", "small"}
    assert found["a path, as it is asked for"].several == 1
    assert found["a path, with the tree named"].several == 0


@pytest.mark.soak
def test_results_are_read_back_and_written_down(measured: Measured, tmp_path: Path) -> None:
    """The page has every limit, and the same text from the file as from the run."""
    measured.save(tmp_path / "found.json")
    assert load(tmp_path / "found.json") == measured
    docs = Path(scale.__file__).parents[1] / "docs"
    (tmp_path / "pictures").mkdir()
    shutil.copy(docs / "scale.md", tmp_path / "scale.md")
    scale_report.write_docs(load(tmp_path / "found.json"), tmp_path)
    page = (tmp_path / "scale.md").read_text(encoding="utf-8")
    assert all(name in page for name in scale_report.NAMES.values())
    again = insert(page, scale_report.report(measured), begin=scale_report.BEGIN, end=scale_report.END)
    assert again == page
    assert (tmp_path / "pictures" / scale_report.PICTURE).stat().st_size > 2000


@pytest.mark.soak
def test_model_takes_what_was_measured(measured: Measured) -> None:
    """Every need is a number, and none is nothing."""
    for by in POPULATIONS.values():
        for each in loads(constants(measured), by, Machines()):
            assert math.isfinite(each.share)
            assert each.share >= 0


@pytest.mark.soak
def test_requests_are_measured_in_each_generated_store(services: tuple[str, str], tmp_path: Path) -> None:
    """The whole of a quick run, with another prefix in the bucket."""
    database, blobs = services
    place = blobs.replace("/below?", "/whole?")
    found = measure_scale(new_database(database), place, Plan.quick(), first_port=18_950, scratch=tmp_path)
    for size in found.sizes:
        assert set(size.ms) == {"GET", "PROPFIND 0", "PROPFIND 1", "PUT"}
        assert min(size.ms.values()) > 0
    assert "(1.00x)" in scale_report.report(found)
