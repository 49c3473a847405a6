"""The model of how far a store goes, against cases computed by hand."""

from __future__ import annotations

import pytest

from benchmarks import scale_model
from benchmarks.scale_model import DAY, MIB, POPULATIONS, Constants, Machines, Population

OF = Constants(
    node_put_us=1000, node_get_us=500, node_poll_us=100, node_put_mib_us=4000, node_get_mib_us=2000,
    database_put_us=800, database_get_us=200, database_poll_us=50, database_put_mib_us=400, database_get_mib_us=100,
    put_wal_bytes=5000, commits_per_s=2000, tree_commits_per_s=500,
    node_bytes=200, node_index_bytes=100, version_bytes=150, version_index_bytes=40, journal_bytes=160,
    journal_index_bytes=30, chunk_bytes=180, chunk_index_bytes=70, small_bytes=200, small_index_bytes=90,
    s3_puts_a_file=1, s3_gets_a_file=3, prune_versions_per_s=100_000, check_rows_per_s=50_000,
    scrub_bytes_per_s=512 * MIB,
)  # fmt: skip

BY = Population(
    users=36_000, files_per_user=1000, versions_per_file=2, version_share=0.5, folders_per_file=0.5, small_share=0.75,
    small_bytes=1000, large_bytes=4 * MIB, active_share=0.1, requests_per_hour=100, polls_per_hour=300, write_share=0.2,
)  # fmt: skip
"""100 requests a second, of which 20 write, and 300 polls; 36 million files."""

ON = Machines(node_cores=2, used=0.5, database_cores=10, chunk_bytes=64 * 1024)


def share(key: str) -> float:
    """Of a limit, for the population above."""
    return scale_model.share_of(OF, BY, ON, key)


def test_rates_follow_from_who_is_at_work() -> None:
    """3,600 users with 100 requests and 300 polls an hour each."""
    assert (BY.requests_per_s, BY.puts_per_s, BY.gets_per_s, BY.polls_per_s) == pytest.approx((100, 20, 80, 300))
    assert BY.large_mib == 1


def test_stored_bytes_follow_from_files_and_versions() -> None:
    """A quarter of 36 million files has 4 MiB, and half as much again in its earlier version."""
    assert BY.blob_bytes == 36e6 * 0.25 * 1.5 * 4 * MIB
    assert scale_model.chunks(BY, ON) == 36e6 * 0.25 * 1.5 * 64
    assert BY.small_contents == 72e6 * 0.75


def test_processor_time_is_that_of_all_requests() -> None:
    """20 · (1 + 4) ms, 80 · (0.5 + 2) ms and 300 · 0.1 ms on nodes; less in PostgreSQL."""
    assert scale_model.node_cores(OF, BY) == pytest.approx(0.1 + 0.2 + 0.03)
    assert scale_model.database_cores(OF, BY) == pytest.approx(0.024 + 0.024 + 0.015)
    assert share("database cores") == pytest.approx(0.063 / 5)


def test_connections_come_with_the_nodes() -> None:
    """0.33 cores are one node of two; 100 times as many users need 33 nodes, with 48 connections each."""
    assert scale_model.connections(OF, BY, ON) == 2 * 32 / 2 + 16 + 19
    crowd = Population(**{**BY.__dict__, "users": BY.users * 100})
    assert scale_model.nodes(OF, crowd, ON) == 33
    assert scale_model.connections(OF, crowd, ON) == 33 * 48 + 19


def test_commits_and_log_are_those_of_uploads() -> None:
    """20 a second, of 5,000 bytes each; one user's is a share of 3,600 of them."""
    assert share("commits") == pytest.approx(20 / 2000)
    assert share("commits of a tree") == pytest.approx(20 / 3600 / 500)
    assert share("log") == pytest.approx(100_000 / (200 * MIB))


def test_database_has_rows_of_every_table() -> None:
    """Half as many folders as files; a journal row for each version."""
    nodes, versions, small, chunks = 54e6, 72e6, 54e6, 864e6
    assert scale_model.rows(BY, ON) == nodes + 2 * versions + small + chunks
    expected = nodes * 200 + versions * (150 + 160) + small * (200 + 1000) + chunks * 180
    assert scale_model.database_bytes(OF, BY, ON) == pytest.approx(expected)


def test_indexes_of_content_are_hot_as_a_whole() -> None:
    """Of names and versions those of a tenth of the users are."""
    expected = 0.1 * (54e6 * 100 + 72e6 * 70) + 54e6 * 90 + 864e6 * 70
    assert scale_model.hot_bytes(OF, BY, ON) == pytest.approx(expected)


def test_prune_reads_all_manifests_once_for_each_four_million_chunks() -> None:
    """864 million chunks are 217 parts; 72 million versions take 720 s in each."""
    assert scale_model.prune_s(OF, BY, ON) == 217 * 720
    assert share("prune") == pytest.approx(217 * 720 / DAY)


def test_requests_to_s3_are_those_of_large_files() -> None:
    """A quarter of the requests; a large file is put with one and read with three."""
    assert share("S3 puts") == pytest.approx(20 * 0.25 * 1 / 3500)
    assert share("S3 gets") == pytest.approx(80 * 0.25 * 3 / 5500)


def test_loads_are_told_with_the_nearest_limit_first() -> None:
    """Prune, here; and each resource once."""
    found = scale_model.loads(OF, BY, ON)
    assert found[0].key == "prune"
    assert [load.share for load in found] == sorted((load.share for load in found), reverse=True)
    assert len({load.key for load in found}) == len(found)


def test_number_of_users_that_meets_a_limit_is_found() -> None:
    """What grows with the users is met at as many as its share says; what does not is never met."""
    met = dict(scale_model.order(OF, BY, ON))
    assert met["commits"] == pytest.approx(36_000 * 100, rel=0.01)
    assert met["check"] == pytest.approx(36_000 / share("check"), rel=0.01)
    assert met["commits of a tree"] is None
    users = [count for count in met.values() if count is not None]
    assert users == sorted(users)
    assert 36_000 / 3 < met["prune"] < 36_000


def test_populations_are_those_that_the_page_tells_of() -> None:
    """Ten million files, and a billion twice."""
    assert [(by.users, by.files) for by in POPULATIONS.values()] == [(1e3, 1e7), (1e5, 1e9), (1e7, 1e9)]
