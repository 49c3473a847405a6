"""Building the S3 servers of the tests."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

import dev
from tests.support import build_s3, s3

FAKE_GO = """#!/bin/sh
echo "example.com/some/package" >&2
case "$3" in
    *minio*) touch "$GOBIN/minio"; exit 0;;
    *) echo "no such module" >&2; exit 1;;
esac
"""


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Go that has MinIO and nothing else."""
    program = tmp_path / "path" / "go"
    program.parent.mkdir()
    program.write_text(FAKE_GO)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")


@pytest.mark.usefixtures("go")
def test_what_cannot_be_built_is_told_and_stops_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each by itself, with the reason."""
    build_s3.main(tmp_path / "cache", ["versitygw", "minio"])
    told = capsys.readouterr().out
    assert "dev.py: versitygw could not be built (no such module)" in told
    assert "dev.py: minio was built in" in told
    assert (tmp_path / "cache" / "bin" / "minio").exists()


def test_without_go_moto_stands_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only if there is no server at all."""
    monkeypatch.setenv("PATH", str(tmp_path))
    asked: list[str] = []
    monkeypatch.setattr(build_s3, "install_moto", lambda: asked.append("moto"))
    build_s3.main(tmp_path / "cache", ["minio"])
    assert asked == []
    build_s3.main(tmp_path / "cache", ["minio", "versitygw"])
    assert asked == ["moto"]


def test_servers_are_looked_for_where_they_are_built() -> None:
    """By dev.py and by the tests, under the same names; moto only counts where there is neither."""
    assert s3.tools() == dev.BUILT / "bin"
    assert {tool.command for tool in dev.TOOLS if tool.built == "build_s3.py"} == set(build_s3.MODULES)
    assert set(s3.present()) | set(s3.absent()) == set(s3.NAMES)
    if {"minio", "versitygw"} & set(s3.present()):
        assert "moto" not in s3.present()
    elif importlib.util.find_spec("moto"):
        assert "moto" in s3.present()
