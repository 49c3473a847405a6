"""The certificate that the server shows: what is refused, what is warned of, and how a new one is taken."""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from appliance.errors import ConfigError
from appliance.tls.shown import ShownCertificate, expiry_problem, load
from tests.support.certificates import Certified

NOW = datetime.now(UTC)


@pytest.fixture
def certified(tmp_path: Path) -> Certified:
    """A certificate that is good."""
    return Certified.make(tmp_path / "a")


def problem(certificate: Path, key: Path) -> tuple[str, str]:
    """The setting that is blamed, and why."""
    with pytest.raises(ConfigError) as caught:
        load(certificate, key)
    assert "\n" not in str(caught.value)
    return caught.value.setting, caught.value.problem


def test_files_that_are_missing_or_no_files_are_named(certified: Certified, tmp_path: Path) -> None:
    """With what to write instead."""
    files = certified.files
    for path in (tmp_path / "missing", tmp_path):
        for setting, pair in (("tls_certificate", (path, files.key)), ("tls_key", (files.certificate, path))):
            blamed, text = problem(*pair)
            assert blamed == setting
            assert f"{path} cannot be read" in text
            assert "write the path of a PEM file" in text


def test_files_that_hold_something_else_are_named(certified: Certified) -> None:
    """A key in place of a certificate, and the other way round, and rubbish."""
    files = certified.files
    setting, text = problem(files.key, files.key)
    assert setting == "tls_certificate"
    assert text.startswith(f"{files.key} holds no certificate in PEM form; write the path of a PEM file")
    assert problem(files.certificate, files.certificate)[0] == "tls_key"
    files.key.write_bytes(b"rubbish")
    assert problem(files.certificate, files.key)[0] == "tls_key"
    files.certificate.write_bytes(b"\xff\x00")
    assert problem(files.certificate, files.key)[0] == "tls_certificate"


def test_key_of_another_certificate_is_named(certified: Certified, tmp_path: Path) -> None:
    """Both files are."""
    other = Certified.make(tmp_path / "b").files
    setting, text = problem(certified.files.certificate, other.key)
    assert setting == "tls_key"
    assert text.startswith(f"{other.key} is not the key of the certificate in {certified.files.certificate}")


def test_key_with_a_passphrase_is_refused_without_asking(certified: Certified) -> None:
    """A service has nobody to ask."""
    key = serialization.load_pem_private_key(certified.files.key.read_bytes(), None)
    certified.files.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    setting, text = problem(certified.files.certificate, certified.files.key)
    assert setting == "tls_key"
    assert "is locked by a passphrase" in text


def test_one_file_may_hold_both(certified: Certified) -> None:
    """As some tools write it."""
    both = certified.files.folder / "both.pem"
    both.write_bytes(certified.files.key.read_bytes() + certified.files.certificate.read_bytes())
    assert load(both, both)[1] > NOW


@pytest.mark.parametrize(
    ("days", "said"), [(-1, "has expired on"), (0, "has expired on"), (13, "expires on"), (15, ""), (800, "")]
)
def test_end_that_is_near_or_past_is_told(days: int, said: str) -> None:
    """Fourteen days before."""
    text = expiry_problem(NOW + timedelta(days=days), NOW)
    assert said in text if said else text == ""


def test_expired_certificate_is_shown_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A client that does not look at it works still; nobody has to guess why the others do not."""
    certified = Certified.make(tmp_path, now=NOW - timedelta(days=900))
    shown = ShownCertificate(certified.files.certificate, certified.files.key)
    shown.warn(NOW)
    assert "the certificate has expired on" in caplog.text


def test_new_files_are_taken_when_they_change(certified: Certified, tmp_path: Path) -> None:
    """And only then."""
    files = certified.files
    shown = ShownCertificate(files.certificate, files.key)
    first = shown.context
    assert not shown.renew_if_changed()
    assert shown.context is first
    Certified.make(tmp_path / "a")
    assert shown.renew_if_changed()
    assert shown.context is not first
    assert not shown.renew_if_changed()


def test_broken_new_files_keep_the_old_certificate(certified: Certified, caplog: pytest.LogCaptureFixture) -> None:
    """The log says why, once; the next good one is taken."""
    files = certified.files
    shown = ShownCertificate(files.certificate, files.key)
    good, first = files.certificate.read_bytes(), shown.context
    for broken in (b"half a certif", None):
        caplog.clear()
        files.certificate.unlink()
        if broken is not None:
            files.certificate.write_bytes(broken)
        with caplog.at_level(logging.ERROR):
            assert not shown.renew_if_changed()
            assert not shown.renew_if_changed()
        assert caplog.text.count("the new certificate is not taken") == 1
        assert str(files.certificate) in caplog.text
        assert shown.context is first
        files.certificate.write_bytes(good if broken is None else b"")
    os.utime(files.certificate, ns=(1, 1))
    assert shown.renew_if_changed()
    assert shown.context is not first
