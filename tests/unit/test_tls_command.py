"""`holdfast tls`: which names it takes, what it prints, and what it refuses."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from appliance.cli.main import main
from appliance.tls import authority
from appliance.tls.authority import Files


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    """Of the data folder that the commands use."""
    monkeypatch.setenv("HOLDFAST_DATA", str(tmp_path / "data"))
    return Files.of(tmp_path / "data")


def test_certificate_without_names_is_for_this_machine(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    """Its name, alone and with .local, and the addresses of loopback; the output says what to do with it."""
    assert main(["tls", "self-signed"]) == 0
    name = socket.gethostname()
    hosts = authority.hosts_of(files)
    assert {name, f"{name.partition('.')[0]}.local", "localhost", "127.0.0.1", "::1"} <= set(hosts)
    said = capsys.readouterr().out
    for text in (authority.root_fingerprint(files), f"tls_certificate: {files.certificate}", f"tls_key: {files.key}"):
        assert text in said
    for system in ("Windows", "macOS", "iOS", "Android", "Linux", "Firefox", "rclone", "curl"):
        assert f"\n  {system} " in said


def test_certificate_with_names_is_for_those(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    """And a renewal without names keeps them."""
    assert main(["tls", "self-signed", "nas.example", "192.0.2.7"]) == 0
    assert authority.hosts_of(files) == ("nas.example", "192.0.2.7")
    assert "a new authority" in capsys.readouterr().out
    assert main(["tls", "self-signed"]) == 0
    assert {"nas.example", "192.0.2.7", "localhost"} <= set(authority.hosts_of(files))
    assert "the same authority as before" in capsys.readouterr().out


def test_trust_is_told_again_without_making_anything(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    """And where there is nothing to trust, what makes it."""
    assert main(["tls", "trust"]) == 2
    assert "`holdfast tls self-signed` makes it" in capsys.readouterr().err
    assert main(["tls", "self-signed", "a.example"]) == 0
    before = files.certificate.read_bytes()
    assert main(["tls", "trust"]) == 0
    assert authority.root_fingerprint(files) in capsys.readouterr().out
    assert files.certificate.read_bytes() == before


def test_name_that_is_none_is_one_line(files: Files, capsys: pytest.CaptureFixture[str]) -> None:
    """And nothing is made."""
    assert main(["tls", "self-signed", "no name"]) == 2
    assert capsys.readouterr().err == "holdfast: 'no name' is neither a host name nor an address\n"
    assert not files.folder.exists()
