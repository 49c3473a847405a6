"""The benchmark of the S3 backend."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.s3 import measure_s3
from tests.support import s3


def test_backend_is_measured_beside_the_bare_client(tmp_path: Path) -> None:
    """Small here; nothing is left in the bucket."""
    if not {"minio", "versitygw"} & set(s3.present()):
        pytest.skip("there is no S3 server")
    with s3.Running(s3.present()[0], tmp_path / "objects") as server:
        url = f"s3://{s3.BUCKET}/below?endpoint={server.place.endpoint}"
        variables = {"AWS_ACCESS_KEY_ID": s3.CREDENTIALS.access_key, "AWS_SECRET_ACCESS_KEY": s3.CREDENTIALS.secret_key}
        figures = measure_s3(url, rounds=1, sizes=(1,), threads=(1, 2), bytes_each=4 * 1024**2, variables=variables)
        assert [(figure.method, figure.threads) for figure in figures] == [
            ("put", 1),
            ("get", 1),
            ("put", 2),
            ("get", 2),
        ]
        assert all(0.05 < figure.ratio < 20 for figure in figures)
        assert list(server.client().list_objects(s3.BUCKET, recursive=True)) == []
