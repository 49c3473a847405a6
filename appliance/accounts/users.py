"""Users. Each change that a cached sign-in relies on raises the user's generation, so the next request sees it."""

from __future__ import annotations

from typing import NamedTuple

from appliance import clock
from appliance.accounts import failures, passwords, sessions, tokens
from appliance.config.credentials import canonical, is_name, name_problem
from appliance.db.database import Database
from appliance.db.sql import Session, Sql
from appliance.errors import BadRequest, NameTaken, NotFound
from appliance.journal import events
from appliance.journal.events import Action
from appliance.principal import COMMAND, Principal
from appliance.retention import Retention
from appliance.tree import edit, purge

ROLES = ("admin", "member")


class User(NamedTuple):
    """A user with the figures of the tree; times in microseconds, sizes in bytes."""

    id: int
    name: str
    role: str
    state: str
    quota_bytes: int | None
    files: int
    bytes: int
    created_at: int
    tree_id: int


_SELECT = """
    SELECT u.id, u.name, u.role, u.state, t.quota_bytes, n.files, n.bytes, u.created_at, t.id
    FROM "user" u JOIN tree t ON t.owner_id = u.id JOIN node n ON n.id = t.root_id
"""
_LIST = Sql(_SELECT + " ORDER BY u.name")
_GET = Sql(_SELECT + " WHERE u.name = :name")
_INSERT = Sql("""
    INSERT INTO "user" (name, role, password_hash, state, generation, created_at)
    VALUES (:name, :role, :password_hash, 'active', 1, :now) RETURNING id
""")
_STATE_OF = Sql('SELECT state FROM "user" WHERE name = :name')
_SET_PASSWORD = Sql("""
    UPDATE "user" SET password_hash = :password_hash, generation = generation + 1 WHERE id = :id
""")
_SET_STATE = Sql("""
    UPDATE "user" SET state = :state, generation = generation + 1
    WHERE id = :id AND (state <> 'removed' OR :state <> 'disabled')
""")
_SET_ROLE = Sql('UPDATE "user" SET role = :role, generation = generation + 1 WHERE id = :id')
# Held, so that two who take each other's right at the same time do not both succeed.
_ADMINISTRATORS = Sql("""
    SELECT id FROM "user" WHERE role = 'admin' AND state = 'active' ORDER BY id {share}
""")
_SET_RETENTION = Sql("UPDATE tree SET retention = :retention WHERE owner_id = :id")
_RETENTION = Sql("SELECT retention FROM tree WHERE owner_id = :id")
_SET_QUOTA = Sql("UPDATE tree SET quota_bytes = :quota_bytes WHERE owner_id = :id")
_REVOKE_ALL = Sql("UPDATE app_password SET revoked_at = :now WHERE user_id = :id AND revoked_at IS NULL")
_DELETE = Sql('DELETE FROM "user" WHERE id = :id')
_DELETE_DEVICES = Sql("DELETE FROM app_password WHERE user_id = :id")
_ANY = Sql('SELECT 1 FROM "user" LIMIT 1')


def add(
    database: Database,
    name: str,
    password: str,
    *,
    role: str = "member",
    quota_bytes: int | None = None,
    by: Principal = COMMAND,
) -> User:
    """A new user with an empty tree.

    Raises:
        BadRequest: name, password or role cannot be.
        NameTaken: also by a removed user whose files are still kept.
    """
    name = canonical(name)
    problem = name_problem(name)
    if problem is not None:
        raise BadRequest(reason=problem)
    if role not in ROLES:
        raise BadRequest(reason=f"a role is one of {', '.join(ROLES)}")
    passwords.check_new(password)
    password_hash = passwords.hash_password(password)

    def insert(session: Session) -> None:
        row = session.row(_STATE_OF, name=name)
        if row is not None:
            raise NameTaken(path=f"the user {name}" + (" (removed, files kept)" if row[0] == "removed" else ""))
        now = clock.now()
        user_id = session.value(_INSERT, name=name, role=role, password_hash=password_hash, now=now)
        tree_id = edit.plant(session, user_id, now=now, quota_bytes=quota_bytes)
        events.record(session, Action.USER_ADDED, by, tree_id=tree_id, name=f"{name} ({role})")

    database.write(insert)
    return get(database, name)


def get(database: Database, name: str) -> User:
    """The user of this name.

    Raises:
        NotFound: there is none.
    """
    stored = canonical(name)
    with database.read() as session:
        row = session.row(_GET, name=stored) if is_name(stored) else None
    if row is None:
        raise NotFound(what=f"the user {name}")
    return User._make(row)


def listing(database: Database) -> list[User]:
    """All users, by name."""
    with database.read() as session:
        return [User._make(row) for row in session.rows(_LIST)]


def any_exist(database: Database) -> bool:
    """Whether anybody was ever added."""
    with database.read() as session:
        return session.row(_ANY) is not None


# The user's row is the first thing that each of these changes. Who begins a session or makes an app password or a token
# holds that row until theirs is there: so it is seen, and ends too, or finds that the user is no longer what it was.


def set_password(
    database: Database, user: User, password: str, *, keep: bytes | None = None, by: Principal = COMMAND
) -> None:
    """A new main password; app passwords go on working, and the tokens made with them. Browsers are signed out, but for
    the session ``keep``, and all other tokens end.
    """
    passwords.check_new(password)
    password_hash = passwords.hash_password(password)

    def work(session: Session) -> None:
        session.run(_SET_PASSWORD, id=user.id, password_hash=password_hash)
        sessions.end_all(session, user.id, keep=keep)
        tokens.end_of_password(session, user.id)
        events.record(session, Action.USER_PASSWORD, by, tree_id=user.tree_id, name=user.name)

    database.write(work)


def set_role(database: Database, user: User, role: str, *, by: Principal = COMMAND) -> None:
    """Whether the user is an "admin" or a "member".

    Raises:
        BadRequest: there is no such role, or this is the last administrator.
    """
    if role not in ROLES:
        raise BadRequest(reason=f"a role is one of {', '.join(ROLES)}")

    def work(session: Session) -> None:
        if role != "admin":
            _require_another_administrator(session, user)
        session.run(_SET_ROLE, id=user.id, role=role)
        events.record(session, Action.USER_ROLE, by, tree_id=user.tree_id, name=f"{user.name} ({role})")

    database.write(work)


def set_state(database: Database, user: User, state: str, *, by: Principal = COMMAND) -> None:
    """Whether the user may sign in ("active") or not ("disabled", which ends sessions and tokens too).

    Raises:
        BadRequest: the user is removed, and stays so until made active; or this is the last administrator.
    """

    def work(session: Session) -> None:
        if state != "active":
            _require_another_administrator(session, user)
        if session.run(_SET_STATE, id=user.id, state=state) == 0:
            raise BadRequest(reason=f"the user {user.name} is removed and cannot sign in anyway; enable brings it back")
        if state != "active":
            sessions.end_all(session, user.id)
            tokens.end_all(session, user.id)
        events.record(session, Action.USER_STATE, by, tree_id=user.tree_id, name=f"{user.name} ({state})")

    database.write(work)


def set_quota(database: Database, user: User, quota_bytes: int | None) -> None:
    """Logical bytes that the user's tree may hold; None: no limit. What is there stays."""
    database.write(lambda session: session.run(_SET_QUOTA, id=user.id, quota_bytes=quota_bytes))


def set_retention(database: Database, user: User, retention: Retention | None) -> None:
    """How long the user's past is kept from now on; None: as the setting says. What has gone does not come back."""
    text = None if retention is None else str(retention)
    database.write(lambda session: session.run(_SET_RETENTION, id=user.id, retention=text))


def retention_of(database: Database, user: User) -> str | None:
    """The steps of the user's own; None: the setting's hold."""
    with database.read() as session:
        found: str | None = session.value(_RETENTION, id=user.id)
    return found


def remove(database: Database, user: User, *, by: Principal = COMMAND) -> None:
    """No sign-in and no device any more; the tree is kept, and ``set_state`` "active" brings the user back.

    Raises:
        BadRequest: this is the last administrator.
    """

    def work(session: Session) -> None:
        _require_another_administrator(session, user)
        session.run(_SET_STATE, id=user.id, state="removed")
        sessions.end_all(session, user.id)
        tokens.end_all(session, user.id)
        session.run(_REVOKE_ALL, id=user.id, now=clock.now())
        events.record(session, Action.USER_STATE, by, tree_id=user.tree_id, name=f"{user.name} (removed)")

    database.write(work)


def purge_user(database: Database, user: User, *, by: Principal = COMMAND) -> None:
    """Delete the user and the whole tree with its history, for good.

    Raises:
        BadRequest: this is the last administrator.
    """

    def work(session: Session) -> None:
        _require_another_administrator(session, user)
        session.run(_DELETE, id=user.id)
        sessions.end_all(session, user.id)
        tokens.end_all(session, user.id)
        session.run(_DELETE_DEVICES, id=user.id)
        purge.purge(session, user.tree_id)
        failures.forget_account(session, user.name)
        events.record(session, Action.USER_PURGED, by, tree_id=user.tree_id, name=user.name)

    database.write(work)


def _require_another_administrator(session: Session, user: User) -> None:
    """Refuse to take the right of the last one who can sign in and manage accounts."""
    if session.rows(_ADMINISTRATORS) == [(user.id,)]:
        raise BadRequest(reason=f"{user.name} is the only administrator who can sign in; make somebody else one first")
