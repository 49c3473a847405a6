"""The master key's text, its file, and how data keys are wrapped."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from appliance import config
from appliance.backends.memory import MemoryBackend
from appliance.backends.seal import DataKey
from appliance.errors import ConfigError, KeysUnusable
from appliance.sealing import master, wrapping
from appliance.sealing.master import MasterKey
from appliance.sealing.opening import master_of

STORE, OTHER = "a" * 32, "b" * 32


def test_text_of_a_key_leads_back_to_it() -> None:
    """Also without hyphens, in small letters, with spaces and a line's end."""
    key = MasterKey.new()
    for text in (key.text, key.text.lower(), key.text.replace("-", " "), key.text.replace("-", ""), f" {key.text}\n"):
        assert MasterKey.parse(text) == key
    assert "\n" not in key.text
    assert MasterKey.new().fingerprint != key.fingerprint


def test_what_was_written_down_is_read_for_ever() -> None:
    """A key that was printed years ago, and a data key that it wrapped."""
    key = MasterKey.parse("HFMK-AAAQEAYE-AUDAOCAJ-BIFQYDIO-B4IBCEQT-CQKRMFYY-DENBWHA5-DYPQ6HPS")
    assert (key.secret, key.fingerprint) == (bytes(range(32)), "5438916a14e36e42")
    wrapped = bytes.fromhex(
        "a26793ac069f403d586a1b07ac106b6de1d61f63fa4ee90bdb960ee64025"
        "c82d542621bb3d50e7fe1c09a58987b9f9a2d5343151b6717e20c52265c8"
    )
    kept = wrapping.Wrapped(b"\x01" * 8, wrapped, key.fingerprint, 1, None)
    assert wrapping.unwrap(kept, key, "a" * 32) == DataKey(b"\x01" * 8, b"\x05" * 32)


def test_every_mistyped_or_missing_letter_is_noticed() -> None:
    """Whichever it is, and two that changed places."""
    text = MasterKey(bytes(range(32))).text
    for at, letter in enumerate(text):
        wrong = [
            text[:at] + text[at + 1 :],
            text[:at] + "A" + text[at:],
            text[:at] + ("B" if letter == "A" else "A") + text[at + 1 :],
        ]
        if at + 1 < len(text) and letter != text[at + 1] and "-" not in text[at : at + 2]:
            wrong.append(text[:at] + text[at + 1] + letter + text[at + 2 :])
        for each in wrong:
            if each.replace("-", "") == text.replace("-", ""):
                continue
            with pytest.raises(ValueError, match=r"master key|mistake"):
                MasterKey.parse(each)


def test_secret_is_shown_by_nothing() -> None:
    """Neither a key nor the settings that hold it show it when they are printed."""
    key = MasterKey.new()
    settings = config.load(None, {"HOLDFAST_MASTER_KEY": key.text}, {})
    assert key.text not in repr(settings)
    assert key.secret.hex() not in repr(key)
    assert repr(key.secret) not in repr(key)
    data_key, _ = wrapping.new_key()
    assert repr(data_key.secret) not in repr(data_key)


def test_made_file_is_for_its_owner_and_replaces_nothing(tmp_path: Path) -> None:
    """Whatever the umask; nothing else is left."""
    before = os.umask(0)
    try:
        made = master.make_file(tmp_path / "key")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600
    assert master.read_file(tmp_path / "key") == made
    with pytest.raises(FileExistsError):
        master.make_file(tmp_path / "key")
    assert os.listdir(tmp_path) == ["key"]
    assert master.read_file(tmp_path / "key") == made


@pytest.mark.parametrize("content", [b"", b"HFMK-AAAA", b"\xff\xfe", b"something else", None])
def test_file_without_a_key_is_told_in_one_line(tmp_path: Path, content: bytes | None) -> None:
    """With the setting and the path, and nothing of what stands there."""
    path = tmp_path / "key"
    if content is not None:
        path.write_bytes(content)
    settings = config.load(None, {"HOLDFAST_MASTER_KEY_FILE": str(path)}, {})
    with pytest.raises(ConfigError) as caught:
        master_of(settings)
    assert str(caught.value).startswith("master_key_file: ")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "something" not in str(caught.value)


def test_wrong_key_in_the_environment_is_not_quoted() -> None:
    """It may be the right one but for a letter."""
    text = MasterKey.new().text[:-1] + "-"
    with pytest.raises(ConfigError) as caught:
        master_of(config.load(None, {"HOLDFAST_MASTER_KEY": text}, {}))
    assert str(caught.value).startswith("master_key: ")
    assert text[10:20] not in str(caught.value)


def test_key_in_the_environment_goes_before_the_file(tmp_path: Path) -> None:
    """And the file before the one in the data folder."""
    one, two = MasterKey.new(), master.make_file(tmp_path / "two")
    (tmp_path / "data").mkdir()
    three = master.make_file(tmp_path / "data" / "master.key")
    environ = {"HOLDFAST_DATA": str(tmp_path / "data")}
    assert master_of(config.load(None, environ, {})) == three
    environ["HOLDFAST_MASTER_KEY_FILE"] = str(tmp_path / "two")
    assert master_of(config.load(None, environ, {})) == two
    environ["HOLDFAST_MASTER_KEY"] = one.text
    assert master_of(config.load(None, environ, {})) == one


def test_wrapped_data_key_is_opened_by_its_master_key_for_its_store_alone() -> None:
    """With its own id; every byte counts."""
    key, now = wrapping.new_key()
    one, two = MasterKey.new(), MasterKey.new()
    kept = wrapping.wrap(key, one, STORE, now)
    assert wrapping.unwrap(kept, one, STORE) == key
    assert wrapping.unwrap(kept, two, STORE) is None
    assert wrapping.unwrap(kept, one, OTHER) is None
    assert wrapping.unwrap(kept._replace(id=bytes(8)), one, STORE) is None
    for at in range(len(kept.wrapped)):
        changed = bytearray(kept.wrapped)
        changed[at] ^= 1
        assert wrapping.unwrap(kept._replace(wrapped=bytes(changed)), one, STORE) is None
    assert wrapping.unwrap(kept._replace(wrapped=b""), one, STORE) is None
    assert key.secret not in kept.wrapped


def test_blob_of_keys_gives_back_what_was_written() -> None:
    """And nothing of it is a data key."""
    backend, master_key = MemoryBackend(), MasterKey.new()
    keys = [wrapping.new_key()[0] for _ in range(3)]
    kept = [wrapping.wrap(key, master_key, STORE, at, None if at == 2 else 9) for at, key in enumerate(keys)]
    assert wrapping.read_blob(backend, STORE) == []
    wrapping.write_blob(backend, STORE, kept)
    assert wrapping.read_blob(backend, STORE) == kept
    text = backend.get("keys", 0, backend.head("keys") or 0)
    assert not any(key.secret.hex().encode() in text or key.secret in text for key in keys)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"format": 1}', b'{"format": 1, "store": "%s", "keys": [1]}'])
def test_blob_of_keys_that_is_damaged_is_told_with_what_to_do(text: bytes) -> None:
    """One line."""
    backend = MemoryBackend()
    backend.put("keys", [text.replace(b"%s", STORE.encode())])
    with pytest.raises(KeysUnusable, match="holdfast key repair"):
        wrapping.read_blob(backend, STORE)


def test_blob_of_keys_of_another_store_or_a_newer_program_is_refused() -> None:
    """It says which."""
    backend = MemoryBackend()
    wrapping.write_blob(backend, OTHER, [])
    with pytest.raises(KeysUnusable, match=f"is of store {OTHER}, this is {STORE}"):
        wrapping.read_blob(backend, STORE)
    backend.put("keys", [b'{"format": 2}'])
    with pytest.raises(KeysUnusable, match="has format 2; install a newer Holdfast"):
        wrapping.read_blob(backend, STORE)
