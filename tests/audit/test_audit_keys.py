"""The keys of the trail: where they come from, which one seals, and that they are told to nobody."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from appliance import config
from appliance.audit import keys
from appliance.audit.keys import AuditKey
from appliance.errors import ConfigError


def settings_of(folder: Path, **given: str) -> config.Settings:
    """Of a data folder, with variables."""
    return config.load(None, {f"HOLDFAST_{name.upper()}": text for name, text in given.items()}, {"data": str(folder)})


def test_key_is_made_once_for_its_owner_alone(tmp_path: Path) -> None:
    """In the data folder, durable, and never replaced."""
    told: list[str] = []
    settings = settings_of(tmp_path)
    assert keys.load(settings) is None
    made = keys.establish(settings, told.append)
    assert keys.establish(settings, told.append) == made == keys.load(settings)
    assert stat.S_IMODE((tmp_path / "audit.key").stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["audit.key"]
    assert told == []
    assert made.newest.secret.hex() not in repr(made)


def test_first_key_seals_and_all_verify(tmp_path: Path) -> None:
    """The one in the environment, those of the file, and the one that was made before."""
    own = keys.establish(settings_of(tmp_path), print).newest
    one, two, three = AuditKey.new(), AuditKey.new(), AuditKey.new()
    (tmp_path / "given").write_text(f"# the new one\n{two.text}\n\n{three.text.lower()}\n")
    found = keys.load(settings_of(tmp_path, audit_key=one.text, audit_key_file=str(tmp_path / "given")))
    assert found is not None
    assert found.newest == one
    assert list(found.by_fingerprint.values()) == [one, two, three, own]
    found = keys.load(settings_of(tmp_path, audit_key_file=str(tmp_path / "audit.key")))
    assert found is not None
    assert list(found.by_fingerprint.values()) == [own]


@pytest.mark.parametrize("content", [b"", b"# nothing\n", b"HFAK-AAAA", b"HFMK-AAAA", b"\xff\xfe", None])
def test_file_without_a_key_is_told_in_one_line(tmp_path: Path, content: bytes | None) -> None:
    """With the setting and the path; none is made in its place."""
    path = tmp_path / "given"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"^audit_key_file: ") as caught:
        keys.establish(settings_of(tmp_path, audit_key_file=str(path)), print)
    assert str(path) in str(caught.value)
    assert not (tmp_path / "audit.key").exists()


def test_wrong_key_in_the_environment_is_not_quoted(tmp_path: Path) -> None:
    """It may be the right one but for a letter."""
    text = AuditKey.new().text[:-1] + "-"
    with pytest.raises(ConfigError, match=r"^audit_key: ") as caught:
        keys.load(settings_of(tmp_path, audit_key=text))
    assert text[10:20] not in str(caught.value)


def test_node_of_a_shared_store_says_that_its_key_is_its_own(tmp_path: Path) -> None:
    """The others need it too."""
    told: list[str] = []
    keys.establish(settings_of(tmp_path, database_url="postgresql://me@db/files"), told.append)
    (said,) = told
    assert "audit_key_file" in said
