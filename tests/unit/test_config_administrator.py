"""Settings of the administrator who is made at the first start: the rules are those of every user."""

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


def refused(tmp_path: Path, text: str) -> str:
    """The error that a file with this text gives."""
    with pytest.raises(ConfigError) as caught:
        from_text(tmp_path, text)
    return str(caught.value)


@pytest.mark.parametrize("written", ["01234567", "1e300000", "0x1F1F1F", "2026-01-01", "!!int 77777777", "'#%&#%&#%&'"])
def test_file_password_that_yaml_would_convert_stays_text(tmp_path: Path, written: str) -> None:
    """What the person typed is the password, also where YAML sees a number, a truth value or a date."""
    assert from_text(tmp_path, f"admin_password: {written}\n").admin_password == written.removeprefix("!!int ").strip(
        "'"
    )


def test_administrator_in_capitals_is_the_user_that_will_be_there() -> None:
    """Users are stored in small letters; what is announced and looked up later has to be the same name."""
    assert load(None, {"HOLDFAST_ADMIN_USER": " Root "}, {}).admin_user == "root"


def test_password_is_in_no_repr_and_in_no_error(tmp_path: Path) -> None:
    """A secret never reaches a log or a terminal, whatever is wrong with it or around it."""
    assert "hunter2" not in repr(load(None, {"HOLDFAST_ADMIN_PASSWORD": "hunter2!"}, {}))
    for text in (
        "admin_password: [hunter2]",
        "admin_user:\n  admin_password: hunter2",
        'admin_password: "hunter2\\n"',
        "admin_password: *hunter2",
        "admin_password: !hunter2!x y",
        "admin_password: @hunter2",
        "admin_password: hunter2: x",
        "admin_password: hunter2",
        f"admin_password: {'hunter2' * 200}",
    ):
        assert "hunter2" not in refused(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        load(None, {"HOLDFAST_ADMIN_PASSWORD": "hunter2\n"}, {})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("password", ["12345678", "x" * 1024, " spaces ", "\x7f\x80 umlaut ü"])
def test_password_that_a_user_may_have_is_taken(password: str) -> None:
    """The bounds are included; nothing is cut off."""
    assert load(None, {"HOLDFAST_ADMIN_PASSWORD": password}, {}).admin_password == password


@pytest.mark.parametrize("name", ["x", "x" * 64, "0", "anna.berta-c_d", "anna@example.com"])
def test_name_that_a_user_may_have_is_taken(name: str) -> None:
    """Addresses of mail too."""
    assert load(None, {"HOLDFAST_ADMIN_USER": name}, {}).admin_user == name


def test_name_and_password_are_refused_by_the_rules_of_users(tmp_path: Path) -> None:
    """What would be refused later, when the folder and the store are made, is refused here in the same words."""
    for name in ("bad/name", ".dot", "x" * 65, "é", "a b"):
        line = refused(tmp_path, f"admin_user: {name}\n")
        assert line.startswith("admin_user: ")
        assert "a user name has 1 to 64 of a-z 0-9" in line
    for password in ("7 chars", "x" * 1025):
        assert refused(tmp_path, f"admin_password: {password}\n").startswith(
            "admin_password: a password has 8 to 1024 characters"
        )
    assert "no control characters" in refused(tmp_path, 'admin_password: "with a\\ttab"\n')
    with pytest.raises(ConfigError, match="no control characters"):
        load(None, {"HOLDFAST_ADMIN_PASSWORD": "not utf-8 \udcff"}, {})
