"""``holdfast token``: what it prints, and what it refuses."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance import config
from appliance.accounts import users
from appliance.accounts.tokens import is_well_formed
from appliance.app import Appliance, open_appliance
from appliance.cli.main import NOT_DONE, WRONG, main
from appliance.errors import TokenInvalid
from appliance.serve.folder import hold_folder
from appliance.serve.prepare import prepare_store
from tests.conftest import PASSWORD


@pytest.fixture
def appliance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Appliance]:
    """A store with the administrator "admin" and the member "anna", which commands open too."""
    monkeypatch.setenv("HOLDFAST_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("HOLDFAST_ADMIN_PASSWORD", PASSWORD)
    settings = config.load(None, os.environ, {})
    umask = os.umask(0o077)
    claim = hold_folder(tmp_path / "data")
    prepare_store(settings, tell=lambda message: None)
    opened = open_appliance(settings)
    users.add(opened.database, "anna", PASSWORD)
    yield opened
    opened.close()
    os.close(claim)
    os.umask(umask)


def holds(appliance: Appliance, secret: str) -> bool:
    """Whether it is taken."""
    try:
        return appliance.sign_in.bearer(secret, face="api", address="").name == "anna"
    except TokenInvalid:
        return False


def test_token_is_made_listed_and_revoked(appliance: Appliance, capsys: pytest.CaptureFixture[str]) -> None:
    """Its secret alone is on standard output, for scripts; and nobody revokes somebody else's."""
    assert main(["token", "add", "nightly", "--scope", "files:read", "--days", "7", "--user", "anna"]) == 0
    shown = capsys.readouterr()
    secret = shown.out.strip()
    assert is_well_formed(secret)
    assert secret not in shown.err
    assert "token 1 of anna for 'nightly'" in shown.err
    found = appliance.sign_in.bearer(secret, face="api", address="")
    assert (found.scopes, found.device_id) == ({"files:read"}, None)
    assert main(["token", "list", "--user", "anna"]) == 0
    head, line = capsys.readouterr().out.splitlines()
    assert head.split() == ["ID", "MADE", "EXPIRES", "DEVICE", "SCOPES", "NAME"]
    assert line.startswith("1 ")
    assert line.endswith("  -       files:read  nightly")
    assert main(["token", "revoke", "1", "--user", "admin"]) == NOT_DONE
    assert holds(appliance, secret)
    assert main(["token", "revoke", "1", "--user", "anna"]) == 0
    assert not holds(appliance, secret)
    assert main(["token", "revoke", "1", "--user", "anna"]) == NOT_DONE


@pytest.mark.parametrize(
    "wrong",
    [
        ["--days", "0"],
        ["--days", "367"],
        ["--days", "1e9"],
        ["--scope", "files"],
        ["--user", "anna"],
    ],
)
def test_what_cannot_be_is_a_wrong_argument(
    appliance: Appliance, capsys: pytest.CaptureFixture[str], wrong: list[str]
) -> None:
    """Told before anything is opened; a token without a scope is for nothing."""
    given = ["--user", "anna", *wrong] if "--user" in wrong else ["--scope", "files:read", "--user", "anna", *wrong]
    with pytest.raises(SystemExit, match=str(WRONG)):
        main(["token", "add", "x", *given])
    assert capsys.readouterr().out == ""


def test_nobody_gets_one_who_cannot_sign_in(appliance: Appliance, capsys: pytest.CaptureFixture[str]) -> None:
    """A disabled user has none, and no new ones."""
    users.set_state(appliance.database, users.get(appliance.database, "anna"), "disabled")
    assert main(["token", "add", "x", "--scope", "files:read", "--user", "anna"]) == WRONG
    assert "cannot sign in" in capsys.readouterr().err
