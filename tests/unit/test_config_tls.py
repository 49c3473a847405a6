"""Settings of TLS and of proxies, where they depend on each other."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.config import Settings, load
from appliance.errors import ConfigError


def from_text(tmp_path: Path, text: str) -> Settings:
    """Settings from a file with this text."""
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return load(path, {}, {})


@pytest.mark.parametrize(
    ("line", "clause"),
    [
        ("tls_certificate: a.pem", "set tls_key too, or neither"),
        ("tls_key: a.pem", "set tls_certificate too, or neither"),
        ("hsts_seconds: 60", "with tls_certificate only"),
    ],
)
def test_setting_of_tls_alone_is_refused(tmp_path: Path, line: str, clause: str) -> None:
    """The error says what belongs to it."""
    with pytest.raises(ConfigError) as caught:
        from_text(tmp_path, line)
    assert caught.value.setting == line.split(":")[0]
    assert clause in caught.value.problem


@pytest.mark.parametrize(("text", "value"), [("true", True), ("false", False), ('"true"', True), ('""', False)])
def test_switch_is_true_or_false(tmp_path: Path, text: str, value: bool) -> None:
    """In the file with or without quotes; empty means the default."""
    assert from_text(tmp_path, f"allow_plain_http: {text}\n").allow_plain_http is value


def test_path_of_a_certificate_starts_at_the_file_that_names_it(tmp_path: Path) -> None:
    """As that of the data folder."""
    settings = from_text(tmp_path, "tls_certificate: tls/a.pem\ntls_key: tls/a.key\n")
    assert (settings.tls_certificate, settings.tls_key) == (tmp_path / "tls" / "a.pem", tmp_path / "tls" / "a.key")
