"""App passwords: shown once, found by their digest, revocable alone."""

from __future__ import annotations

import re

import pytest

from appliance import clock
from appliance.accounts import app_passwords, users
from appliance.accounts.users import User
from appliance.db.database import Database
from appliance.db.sql import Sql
from appliance.errors import BadRequest, NotFound
from tests.conftest import PASSWORD
from tests.support.databases import on_sqlite


def found(database: Database, secret: str) -> tuple[int, int] | None:
    """(id, user id) of a working secret."""
    with database.read() as session:
        return app_passwords.find(session, secret)


def test_secret_is_random_and_not_stored(database: Database, user: User) -> None:
    """At least 128 bits; only its digest is in the database."""
    made = [app_passwords.add(database, user, f"device {number}") for number in range(20)]
    assert len({secret for _, secret in made}) == 20
    for app_password_id, secret in made:
        assert re.fullmatch(r"[a-z2-7]{8}(-[a-z2-7]{8}){3}", secret)
        assert found(database, secret) == (app_password_id, user.id)
        with database.read() as session:
            row = session.row(Sql("SELECT * FROM app_password WHERE id = :id"), id=app_password_id)
        assert row is not None
        assert secret not in [str(value) for value in row]
        assert secret.encode() not in [bytes(value) for value in row if isinstance(value, (bytes, memoryview))]


def test_secret_that_nobody_has_is_not_found(database: Database, user: User) -> None:
    """Nor one that is nearly right, nor anything that a client may send."""
    _, secret = app_passwords.add(database, user, "phone")
    for wrong in (
        "",
        secret[:-1],
        secret + " ",
        secret.upper(),
        secret.replace("-", ""),
        "\udcff",
        "a\0b",
        "x" * 10_000,
    ):
        assert found(database, wrong) is None


def test_listing_tells_all_of_a_user_and_nothing_secret(database: Database, user: User) -> None:
    """Revoked ones too, in the order of their making, and none of others."""
    other = users.add(database, "bob", PASSWORD)
    before = clock.now()
    first, _ = app_passwords.add(database, user, " phone ")
    app_passwords.add(database, other, "laptop")
    second, _ = app_passwords.add(database, user, "Téléphone 🐎")
    app_passwords.revoke(database, user, first)
    one, two = app_passwords.listing(database, user)
    assert (one.id, one.label, two.id, two.label, two.revoked_at) == (first, "phone", second, "Téléphone 🐎", None)
    assert one.revoked_at is not None
    assert before <= one.created_at <= one.revoked_at <= clock.now()


@on_sqlite
@pytest.mark.parametrize("label", ["", " ", "x" * 101, "a\nb", "a\0b", "\u202eevil", "\udcff"])
def test_label_that_breaks_a_rule_is_refused(database: Database, user: User, label: str) -> None:
    """It is shown in lists and pages."""
    with pytest.raises(BadRequest, match="label"):
        app_passwords.add(database, user, label)
    assert app_passwords.listing(database, user) == []


def test_revoked_secret_is_gone_and_others_stay(database: Database, user: User) -> None:
    """Each device by itself, once."""
    first, first_secret = app_passwords.add(database, user, "phone")
    second, second_secret = app_passwords.add(database, user, "laptop")
    app_passwords.revoke(database, user, first)
    assert found(database, first_secret) is None
    assert found(database, second_secret) == (second, user.id)
    with pytest.raises(NotFound):
        app_passwords.revoke(database, user, first)


def test_nobody_revokes_the_app_password_of_somebody_else(database: Database, user: User) -> None:
    """It is not even there for them."""
    other = users.add(database, "bob", PASSWORD)
    app_password_id, secret = app_passwords.add(database, other, "phone")
    for wrong in (app_password_id, 0, 99_999):
        with pytest.raises(NotFound):
            app_passwords.revoke(database, user, wrong)
    assert found(database, secret) == (app_password_id, other.id)
