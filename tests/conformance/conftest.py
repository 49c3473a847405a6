"""S3 servers for the tests of backends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import s3


@pytest.fixture(scope="session", params=s3.present())
def s3_server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3.Server]:
    """Each of the servers that are there, with an empty bucket."""
    with s3.server(request.param, tmp_path_factory.mktemp(request.param)) as server:
        yield server


@pytest.fixture(scope="session")
def minio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3.Running]:
    """MinIO, for what one server is enough for."""
    _need("minio")
    with s3.Running("minio", tmp_path_factory.mktemp("minio") / "objects") as server:
        yield server


@pytest.fixture(autouse=True)
def _known_limits(request: pytest.FixtureRequest) -> None:
    """Skip what a server is known not to do, with the reason."""
    callspec = getattr(request.node, "callspec", None)
    names = callspec.params.values() if callspec is not None else ()
    for name in names:
        reason = s3.LIMITS.get(name, {}).get(request.node.originalname) if isinstance(name, str) else None
        if reason:
            pytest.skip(reason)


@pytest.fixture
def own_minio(tmp_path: Path) -> Iterator[s3.Running]:
    """MinIO for one test, which may stop it."""
    _need("minio")
    with s3.Running("minio", tmp_path / "objects") as server:
        yield server


def _need(name: str) -> None:
    if name in s3.absent():
        pytest.skip(s3.absent()[name])
