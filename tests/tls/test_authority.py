"""The authority of a home network: what it makes, and what it keeps when it is asked again."""

from __future__ import annotations

import ipaddress
import stat
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from appliance.errors import BadRequest, Fatal
from appliance.tls import authority
from appliance.tls.authority import Files
from tests.server.programs import needs

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
HOSTS = ("nas.example", "*.home.example", "192.0.2.7", "2001:db8::7")


@pytest.fixture
def files(tmp_path: Path) -> Files:
    """Of a data folder that does not exist yet."""
    return Files.of(tmp_path / "data")


def loaded(path: Path) -> x509.Certificate:
    """The first certificate of a file."""
    return x509.load_pem_x509_certificate(path.read_bytes())


def test_certificate_has_what_clients_ask_for(files: Files) -> None:
    """The names, serverAuth, and no more days than macOS takes; the root may sign nothing but certificates."""
    made = authority.make(files, HOSTS, NOW)
    certificate, root = loaded(files.certificate), loaded(files.root)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["nas.example", "*.home.example"]
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address(host) for host in HOSTS[2:]]
    usage = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc <= timedelta(days=825)
    assert certificate.not_valid_before_utc < NOW < certificate.not_valid_after_utc == made.ends
    basic = root.extensions.get_extension_for_class(x509.BasicConstraints)
    assert (basic.value.ca, basic.value.path_length, basic.critical) == (True, 0, True)
    assert root.not_valid_after_utc - NOW > timedelta(days=3650)
    assert not certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    certificate.verify_directly_issued_by(root)


@needs("openssl")
def test_chain_passes_the_strictest_check(files: Files) -> None:
    """As Python 3.13 and others ask for."""
    authority.make(files, HOSTS, datetime.now(UTC))
    for name in ("-verify_hostname", "nas.example"), ("-verify_ip", "192.0.2.7"):
        command = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", *name, "-CAfile", files.root]
        result = subprocess.run([*command, files.certificate], capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr


def test_files_are_for_their_owner_only(files: Files) -> None:
    """Also if the folder was open before."""
    files.folder.mkdir(parents=True, mode=0o755)
    authority.make(files, HOSTS, NOW)
    assert stat.S_IMODE(files.folder.stat().st_mode) == 0o700
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in files.folder.iterdir()} == dict.fromkeys(
        ("ca.pem", "ca.key", "server.pem", "server.key"), 0o600
    )


def test_renewal_keeps_root_and_key(files: Files) -> None:
    """Devices that trust the root go on so, and there is no moment at which key and certificate differ."""
    first = authority.make(files, HOSTS, NOW)
    before = {path.name: path.read_bytes() for path in files.folder.iterdir()}
    second = authority.make(files, ["other.example"], NOW + timedelta(days=800))
    after = {path.name: path.read_bytes() for path in files.folder.iterdir()}
    assert {name for name in before if before[name] != after[name]} == {"server.pem"}
    assert (first.root_is_new, second.root_is_new) == (True, False)
    assert first.fingerprint == second.fingerprint == authority.root_fingerprint(files)
    assert authority.hosts_of(files) == ("other.example",)
    assert second.ends - first.ends == timedelta(days=800)


def test_certificate_ends_with_its_root(files: Files) -> None:
    """Nothing that a root signs is valid longer; a root that has ended says what to do."""
    authority.make(files, HOSTS, NOW)
    late = authority.make(files, HOSTS, NOW + timedelta(days=3600))
    assert late.ends == late.root_ends
    with pytest.raises(Fatal, match=r"ca\.pem ended on .* remove it"):
        authority.make(files, HOSTS, NOW + timedelta(days=3653))


@pytest.mark.parametrize("host", ["", "a b", "-x", "256.0.0.1", "1.2.3", "a..b", "x" * 64, "é", "a/b", "*.", "a:1"])
def test_host_that_is_none_is_refused_before_anything_is_made(files: Files, host: str) -> None:
    """It is named."""
    with pytest.raises(BadRequest, match="neither a host name nor an address"):
        authority.make(files, ["ok.example", host], NOW)
    assert not files.folder.exists()


@pytest.mark.parametrize("name", ["ca.pem", "ca.key", "server.key"])
@pytest.mark.parametrize("content", [b"", b"-----BEGIN RUBBISH-----\n"])
def test_file_that_was_spoilt_is_named_and_kept(files: Files, name: str, content: bytes) -> None:
    """A root that devices trust is never replaced by itself."""
    authority.make(files, HOSTS, NOW)
    (files.folder / name).write_bytes(content)
    with pytest.raises(Fatal, match=name):
        authority.make(files, HOSTS, NOW)
    assert (files.folder / name).read_bytes() == content


def test_key_of_another_root_is_noticed(files: Files, tmp_path: Path) -> None:
    """What it would sign nobody would trust."""
    authority.make(files, HOSTS, NOW)
    other = Files.of(tmp_path / "other")
    authority.make(other, HOSTS, NOW)
    files.root_key.write_bytes(other.root_key.read_bytes())
    with pytest.raises(Fatal, match=r"ca\.key is not the key of"):
        authority.make(files, HOSTS, NOW)
