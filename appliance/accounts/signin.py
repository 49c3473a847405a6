"""Signing in with a name and a password, or a bearer token, on every request, at the cost of one small query.

A verified pair is remembered for a few minutes under a keyed digest. What it relies on is the user's generation,
compared on each request: a password changed, a device revoked or a user disabled anywhere is refused at once.

What is remembered, and app passwords, are never throttled; a main password that has to be compared is
(``appliance.accounts.throttle``).

Of a token only where its user's paths begin is remembered: one query tells everything else, each time.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from appliance import clock
from appliance.accounts import app_passwords, passwords, sessions, tokens
from appliance.accounts.failures import Guess
from appliance.accounts.throttle import Throttle
from appliance.config.credentials import canonical, is_name
from appliance.db.database import Database
from appliance.db.sql import Row, Seen, Session, Sql
from appliance.errors import Denied, TokenInvalid, Unauthenticated
from appliance.principal import Home, Principal

K = TypeVar("K")
V = TypeVar("V")
T = TypeVar("T")

REMEMBER_S = 600
REMEMBER_MOST = 4096

_ATTEMPTS = 3
# Neither a row nor None, which stands for a user who does not exist.
_NEVER: Row = ()


class _Verified(NamedTuple):
    user_id: int
    device_id: int | None
    generation: int
    until: float
    # Known once it has signed in.
    home: Home | None = None


_BY_ID = Sql("""
    SELECT u.name, u.role, u.state, u.generation, t.id, t.root_id
    FROM "user" u JOIN tree t ON t.owner_id = u.id WHERE u.id = :id
""")
_BY_NAME = Sql('SELECT id, password_hash, state, generation FROM "user" WHERE name = :name')


class Foresight:
    """What a request will read once it is known who asks: it is read together with that where each trip to the
    database costs, and thrown away if nobody may ask.
    """

    __slots__ = ("foresee", "seen")

    def __init__(self, foresee: Callable[[Session, Home], None]) -> None:
        self.foresee = foresee
        self.seen: Seen | None = None


class SignIn:
    """The verified credentials of one process. Any thread."""

    def __init__(
        self, database: Database, *, guess_key: bytes | None = None, now: Callable[[], int] = clock.now
    ) -> None:
        """``guess_key`` is that of ``Throttle``, and the same in all processes of a server."""
        self._database = database
        self._throttle = Throttle(database, key=guess_key, now=now)
        self._now = now
        self._key = secrets.token_bytes(32)
        self._verified: OrderedDict[bytes, _Verified] = OrderedDict()
        # What a guess was compared with, and was not.
        self._refused: OrderedDict[Guess, Row | None] = OrderedDict()
        # Of bearer tokens, by their digest. A user's stays what it is.
        self._homes: OrderedDict[bytes, Home] = OrderedDict()
        self._mutex = threading.Lock()

    def principal(
        self, name: str, password: str, *, face: str, address: str, foresight: Foresight | None = None
    ) -> Principal:
        """Who this is.

        Raises:
            Unauthenticated: nobody that may sign in. Never says which part was wrong.
            SignInBlocked: too many main passwords were wrong.
        """
        text = f"{name}\0{password}".encode("utf-8", "surrogatepass")
        digest = hashlib.blake2b(text, key=self._key, digest_size=32).digest()
        verified = self._recall(digest)
        if verified is not None:
            principal = self._principal(verified, face, address, foresight)
            if principal is not None:
                self._throttle.spare(name, address)
                return principal
        # Not known, or no longer what it was: verified anew; and again if the user changed in between.
        for _ in range(_ATTEMPTS):
            verified = self._verify(name, password, address)
            if verified is None:
                break
            principal = self._principal(verified, face, address)
            if principal is not None:
                self._keep(self._verified, digest, verified._replace(home=principal.home))
                self._throttle.spare(name, address)
                return principal
        self._forget(digest)
        raise Unauthenticated

    def bearer(self, token: str, *, face: str, address: str, foresight: Foresight | None = None) -> Principal:
        """Who has this token. It is not throttled: nobody guesses 160 bits.

        Raises:
            TokenInvalid: nobody that may sign in has it. Never says why.
        """
        if not tokens.is_well_formed(token):
            raise TokenInvalid
        digest, now = tokens.digest_of(token), self._now()
        known = self._homes.get(digest)
        found, seen = self._ask(lambda session: tokens.find(session, digest, now), known, foresight)
        if found is None:
            raise TokenInvalid
        if known is None:
            self._keep(self._homes, digest, found.home)
        if foresight is not None:
            foresight.seen = seen
        return Principal(
            "user", found.user_id, found.name, found.role, found.user_id, found.device_id, face, address, found.home,
            token_id=found.id, scopes=found.scopes,
        )  # fmt: skip

    def begin_session(self, name: str, password: str, *, address: str, agent: str) -> str:
        """The token of a new session in a browser (``appliance.accounts.sessions``).

        Raises:
            Unauthenticated, SignInBlocked: as ``principal``.
            Denied: it is an app password. Who has a device must not be able to change the account.
        """
        for _ in range(_ATTEMPTS):
            generation = self._generation(name)
            principal = self.principal(name, password, face="web", address=address)
            if principal.device_id is not None:
                raise Denied(action="signing in here", reason="this is an app password")
            assert principal.user_id is not None
            # What was verified was verified after the generation was read.
            token = sessions.begin(self._database, principal.user_id, generation, address=address, agent=agent)
            if token is not None:
                return token
        raise Unauthenticated

    def flush(self) -> None:
        """Let other processes know of failures; to be called every ``throttle.FLUSH_EVERY_S``, and at the end."""
        self._throttle.flush()

    def _principal(
        self, verified: _Verified, face: str, address: str, foresight: Foresight | None = None
    ) -> Principal | None:
        row, seen = self._ask(lambda session: session.row(_BY_ID, id=verified.user_id), verified.home, foresight)
        if row is None:
            return None
        name, role, state, generation, *home = row
        if state != "active" or generation != verified.generation:
            return None
        if foresight is not None:
            foresight.seen = seen
        user_id = verified.user_id
        return Principal(
            "user", user_id, name, role, user_id, verified.device_id, face, address, Home(*home), generation
        )

    def _ask(
        self, who: Callable[[Session], T], home: Home | None, foresight: Foresight | None
    ) -> tuple[T, Seen | None]:
        """Ask ``who`` it is, and in the same trip for what the request will read below ``home``, where that pays."""
        with self._database.read() as session:
            if foresight is None or home is None or not session.foresees:
                return who(session), None
            foresight.foresee(session, home)
            return who(session), session.seen()

    def _generation(self, name: str) -> int:
        """That of the user; one that nobody has if there is no such user."""
        name = canonical(name)
        with self._database.read() as session:
            row = session.row(_BY_NAME, name=name) if is_name(name) else None
        return -1 if row is None else row[3]

    def _verify(self, name: str, password: str, address: str) -> _Verified | None:
        until = time.monotonic() + REMEMBER_S
        name = canonical(name)
        with self._database.read() as session:
            row = session.row(_BY_NAME, name=name) if is_name(name) else None
            device = app_passwords.find(session, password)
        if row is not None and device is not None and device[1] == row[0]:
            return _Verified(row[0], device[0], row[3], until)
        guess = self._throttle.guess(name, password, address)
        if not self._throttle.compare(guess, lambda: self._matches(guess, password, row)) or row is None:
            return None
        return _Verified(row[0], None, row[3], until)

    def _matches(self, guess: Guess, password: str, row: Row | None) -> bool:
        """Whether the row of a user that may sign in has this password. The hash is spared if that was asked before:
        a client with an old password asks for ever. For those who do not exist it is the same.
        """
        if self._refused.get(guess, _NEVER) == row:
            return False
        matches = passwords.verify(password, None if row is None else row[1])
        if matches and row is not None and row[2] == "active":
            return True
        self._keep(self._refused, guess, row)
        return False

    def _recall(self, digest: bytes) -> _Verified | None:
        verified = self._verified.get(digest)
        return None if verified is None or verified.until < time.monotonic() else verified

    def _keep(self, memory: OrderedDict[K, V], key: K, value: V) -> None:
        with self._mutex:
            memory[key] = value
            while len(memory) > REMEMBER_MOST:
                memory.popitem(last=False)

    def _forget(self, digest: bytes) -> None:
        with self._mutex:
            self._verified.pop(digest, None)
