"""Against guessing passwords: who fails too often is not listened to for a while (docs/design/sign-in.md).

Each process counts in memory at once and tells the others by SQL: a few failures right away, a flood of them once a
second. SQL is asked only where a main password has to be compared, which costs a hundred times as much anyway.
"""

from __future__ import annotations

import hashlib
import ipaddress
import logging
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, MutableMapping
from typing import TypeVar

from appliance import clock
from appliance.accounts import failures
from appliance.accounts.failures import BLOCK_MOST_S, EVERYWHERE, KEPT_S, Block, Guess, Pair
from appliance.config.credentials import canonical, is_name
from appliance.db.database import Database
from appliance.errors import HoldfastError, ReadOnly, SignInBlocked

_log = logging.getLogger(__name__)

PAIR_MOST, PAIR_WINDOW_S = 10, 60
"""Different wrong passwords for an account from one network, and within which time, before it is blocked there."""
ACCOUNT_MOST, ACCOUNT_WINDOW_S = 100, 600
"""The same from all networks together, before the account is blocked for those that never signed in to it."""
BLOCK_LEAST_S = 60
"""The first block; each one doubles the one before, up to BLOCK_MOST_S."""

FLUSH_EVERY_S = 1.0
"""How often ``flush`` should be called."""
# So many writes may follow each other at once; then it is one a second. Enough for three pairs up to their blocks:
# guesses that come one by one are counted exactly, whichever processes they come to.
_BURST = 3 * (PAIR_MOST + 1)
# As many comparisons at a time as there are turns for hashing. Whoever waits for a turn asks again before the hash
# whether there is a block by now; otherwise all threads could guess at once.
_TURNS = 2
_PENDING_MOST = 10_000
_SEEN_MOST = 4096
_STRIKES_MOST = 10
_DAY = 86_400 * clock.SECOND

K = TypeVar("K")
V = TypeVar("V")


class Throttle:
    """The failures that one process has seen. Any thread."""

    def __init__(self, database: Database, *, key: bytes | None = None, now: Callable[[], int] = clock.now) -> None:
        """Processes that share the ``key`` know a password that is wrong again when it comes to another of them."""
        self._database = database
        self._key = key or new_key()
        self._now = now
        # What SQL does not know yet.
        self._failed: dict[Guess, int] = {}
        self._begun: dict[Pair, Block] = {}
        self._signed_in: dict[Pair, int] = {}
        # Signed in from lately, so that it is noted once; also by name and address as they came, which is faster.
        self._seen: OrderedDict[Pair, int] = OrderedDict()
        self._welcome: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._mutex = threading.Lock()
        self._turns = threading.BoundedSemaphore(_TURNS)
        self._counting = threading.Lock()
        self._flushing = threading.Lock()
        # Rises by one with each write, falls by one with each second.
        self._written = 0.0
        self._written_at = now()

    def guess(self, name: str, password: str, address: str) -> Guess:
        """What counts once, however often it is tried."""
        pair = pair_of(name, address)
        text = "\0".join((*pair, password)).encode("utf-8", "surrogatepass")
        digest = hashlib.blake2b(text, key=self._key, digest_size=8).digest()
        return Guess(*pair, int.from_bytes(digest, "little", signed=True))

    def compare(self, guess: Guess, matches: Callable[[], bool]) -> bool:
        """What ``matches`` says; False counts as a failure. While there is a block, it is not called.

        Raises:
            SignInBlocked: there is a block, or this failure began one.
        """
        pair = Pair(guess.account, guess.network)
        self._require_free(pair)
        with self._turns:
            self._require_free(pair)
            if matches():
                return True
            began = self._count(guess)
        self._tell()
        if began:
            self._require_free(pair)
        return False

    def spare(self, name: str, address: str) -> None:
        """Somebody has signed in: guesses of others shall not shut this network out."""
        now, came = self._now(), (name, address)
        if now - self._welcome.get(came, 0) < _DAY:
            return
        pair = pair_of(name, address)
        with self._mutex:
            self._welcome[came] = now
            if now - self._seen.get(pair, 0) >= _DAY:
                self._seen[pair] = self._signed_in[pair] = now
            _shorten(self._welcome, _SEEN_MOST)
            _shorten(self._seen, _SEEN_MOST)
            _shorten(self._signed_in, _PENDING_MOST)

    def flush(self) -> None:
        """Tell SQL what it does not know yet. One transaction, and none if there is nothing."""
        if not (self._failed or self._begun or self._signed_in):
            return
        with self._flushing:
            with self._mutex:
                failed, begun, signed_in = dict(self._failed), dict(self._begun), dict(self._signed_in)
                if not (failed or begun or signed_in):
                    # Somebody else has just written it.
                    return
                self._written += 1
            now = self._now()
            self._database.write(lambda session: failures.write(session, failed, begun, signed_in, now))
            # Kept until it is committed: who asks memory first and SQL then misses nothing.
            with self._mutex:
                _remove(self._failed, failed)
                _remove(self._begun, begun)
                _remove(self._signed_in, signed_in)

    def _tell(self) -> None:
        """Flush now, if that is not done too often."""
        with self._mutex:
            now = self._now()
            passed_s = max(now - self._written_at, 0) / clock.SECOND
            self._written = max(self._written - passed_s, 0.0)
            self._written_at = now
            if self._written > _BURST - 1:
                return
        try:
            self.flush()
        except ReadOnly:
            return
        except HoldfastError as error:
            # The credentials are wrong all the same. What is pending is written later.
            _log.warning("failed sign-ins could not be noted yet: %s", error)

    def _require_free(self, pair: Pair) -> None:
        """Raise if there is a block for this pair."""
        now = self._now()
        everywhere = Pair(pair.account, EVERYWHERE)
        with self._mutex:
            begun = {each: self._begun[each] for each in (pair, everywhere) if each in self._begun}
            is_known = pair in self._seen
        with self._database.read() as session:
            blocks = {**failures.blocks(session, pair), **begun}
            wait = _left(blocks.get(pair), now)
            if not is_known and _left(blocks.get(everywhere), now) and not failures.is_known(session, pair):
                wait = max(wait, _left(blocks.get(everywhere), now))
        if wait:
            raise SignInBlocked(retry_after_s=-(-wait // clock.SECOND))

    def _count(self, guess: Guess) -> bool:
        """Count a failure, and begin the blocks that follow from it; whether there are any now."""
        with self._counting:
            now = self._now()
            pair, everywhere = Pair(guess.account, guess.network), Pair(guess.account, EVERYWHERE)
            with self._mutex:
                failed = {each: at for each, at in self._failed.items() if each.account == guess.account}
                begun = {each: self._begun[each] for each in (pair, everywhere) if each in self._begun}
            with self._database.read() as session:
                failed = {**failed, **failures.of_account(session, guess.account, now)}
                blocks = {**failures.blocks(session, pair), **begun}
            if failed.get(guess, 0) > now - KEPT_S * clock.SECOND:
                return False
            failed[guess] = now
            here = {each: at for each, at in failed.items() if each.network == guess.network}
            struck = _strikes(blocks.get(pair), now) > 0
            too_many_here = struck or _within(here, PAIR_WINDOW_S, now) > PAIR_MOST
            too_many = _within(failed, ACCOUNT_WINDOW_S, now) > ACCOUNT_MOST
            follow = {
                each: _next(blocks.get(each), now)
                for each, is_due in ((pair, too_many_here), (everywhere, too_many))
                if is_due and not _left(blocks.get(each), now)
            }
            with self._mutex:
                self._failed[guess] = now
                self._begun.update(follow)
                _shorten(self._failed, _PENDING_MOST)
                _shorten(self._begun, _PENDING_MOST)
            # One that began while this was compared: this is more than too many.
            return bool(follow) or _left(blocks.get(pair), now) > 0


def new_key() -> bytes:
    """For the digests of wrong passwords. It is never stored, so neither can they be found out from the database."""
    return secrets.token_bytes(32)


def pair_of(name: str, address: str) -> Pair:
    """Which account and network a name and a peer's address stand for."""
    account = canonical(name)
    if not is_name(account):
        # Nobody has it and it may be anything; it is treated like a name all the same.
        digest = hashlib.sha256(account.encode("utf-8", "surrogatepass")).hexdigest()
        account = f"({digest[:16]})"
    return Pair(account, network_of(address))


def network_of(address: str) -> str:
    """An IPv4 address, also of the form ::ffff:a.b.c.d; of an IPv6 address the /64, which is one customer's."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        # In parentheses, so that it cannot be EVERYWHERE.
        return f"({address[:64]})"
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed), 64), strict=False))


def _left(block: Block | None, now: int) -> int:
    """Microseconds until the block ends. One that is longer than any was made before the clock was set back."""
    left = 0 if block is None else block.until_at - now
    return left if 0 < left <= BLOCK_MOST_S * clock.SECOND else 0


def _strikes(block: Block | None, now: int) -> int:
    return 0 if block is None or block.until_at <= now - KEPT_S * clock.SECOND else block.strikes


def _next(block: Block | None, now: int) -> Block:
    strikes = min(_strikes(block, now) + 1, _STRIKES_MOST)
    seconds = min(BLOCK_LEAST_S << (strikes - 1), BLOCK_MOST_S)
    return Block(strikes, now + seconds * clock.SECOND)


def _within(failed: MutableMapping[Guess, int], seconds: int, now: int) -> int:
    # Those of other processes may be of a moment later.
    return sum(1 for at in failed.values() if abs(now - at) < seconds * clock.SECOND)


def _shorten(items: MutableMapping[K, V], most: int) -> None:
    """Let the oldest go."""
    while len(items) > most:
        del items[next(iter(items))]


def _remove(items: dict[K, V], written: dict[K, V]) -> None:
    """Take out what was written, unless it has changed since."""
    for key, value in written.items():
        if items.get(key) == value:
            del items[key]
