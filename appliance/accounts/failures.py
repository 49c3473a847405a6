"""Failed sign-ins in SQL: the guesses that count, the blocks that came of them, and the networks that are spared.

Accounts are named as they were typed, whether somebody has the name or not: nothing here asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from appliance import clock
from appliance.config.credentials import canonical
from appliance.db.database import Database
from appliance.db.sql import Session, Sql
from appliance.errors import NotFound

EVERYWHERE = "*"
"""In the place of a network: every one that never signed in to the account."""

KEPT_S = 3600
"""A guess that is repeated counts again, and a block no longer doubles the next one, after so many quiet seconds."""
BLOCK_MOST_S = 900
"""The longest block."""
ROWS_MOST = 100_000
"""Of failures, and of blocks; more are not kept, the oldest go."""
SPARED_S = 90 * 86_400
"""A network is spared for so long after its last sign-in."""
SPARED_MOST = 64
"""Networks that are spared for one account; those that signed in last."""
# A sign-in is noted anew when the last note is older.
_NOTED_S = 86_400


class Pair(NamedTuple):
    """An account and from where: an IPv4 address, an IPv6 network, or EVERYWHERE."""

    account: str
    network: str


class Guess(NamedTuple):
    """A wrong password of one account, from one network; ``digest`` is under a key that is not stored."""

    account: str
    network: str
    digest: int


class Block(NamedTuple):
    """``strikes`` blocks so far without a quiet time between them; the last one ends at ``until_at``."""

    strikes: int
    until_at: int


_FAILURES = Sql("SELECT network, digest, at FROM login_failure WHERE account = :account AND at > :since")
_BLOCKS = Sql("""
    SELECT network, strikes, until_at FROM login_block WHERE account = :account AND network IN (:networks*)
""")
_IS_KNOWN = Sql("SELECT 1 FROM login_network WHERE account = :account AND network = :network")
_INSERT = Sql("""
    INSERT INTO login_failure (account, network, digest, at) VALUES (:account, :network, :digest, :at)
    ON CONFLICT (account, network, digest) DO UPDATE SET at = excluded.at WHERE login_failure.at <= :repeated
""")
# Two processes that began a block at the same time began one. What lies too far ahead is of a clock that was set back.
_BLOCK = Sql("""
    INSERT INTO login_block (account, network, strikes, until_at) VALUES (:account, :network, :strikes, :until_at)
    ON CONFLICT (account, network) DO UPDATE SET strikes = excluded.strikes, until_at = excluded.until_at
    WHERE login_block.until_at < excluded.until_at OR login_block.until_at > :latest
""")
_KNOW = Sql("""
    INSERT INTO login_network (account, network, seen_at) VALUES (:account, :network, :seen_at)
    ON CONFLICT (account, network) DO UPDATE SET seen_at = excluded.seen_at WHERE login_network.seen_at <= :noted
""")
_LISTING = Sql("""
    SELECT account, network, strikes, until_at FROM login_block
    WHERE until_at > :now ORDER BY account, network
""")
_LIFT = Sql("DELETE FROM login_block WHERE account = :account AND until_at > :now")
_PARDON = Sql("DELETE FROM login_block WHERE account = :account")
_FORGIVE = Sql("DELETE FROM login_failure WHERE account = :account")
_UNKNOW = Sql("DELETE FROM login_network WHERE account = :account")
_OLD = (
    Sql("DELETE FROM login_failure WHERE at <= :since"),
    Sql("DELETE FROM login_block WHERE until_at <= :since"),
)
_SURPLUS = (
    Sql("""
        DELETE FROM login_failure WHERE at <= (SELECT at FROM login_failure ORDER BY at DESC LIMIT 1 OFFSET :most)
    """),
    Sql("""
        DELETE FROM login_block
        WHERE until_at <= (SELECT until_at FROM login_block ORDER BY until_at DESC LIMIT 1 OFFSET :most)
    """),
)
_UNSEEN = Sql("DELETE FROM login_network WHERE seen_at <= :since")
_SPARED_TOO_MANY = Sql("""
    DELETE FROM login_network WHERE (account, network) IN (
        SELECT account, network FROM (
            SELECT account, network, ROW_NUMBER() OVER (PARTITION BY account ORDER BY seen_at DESC, network) AS place
            FROM login_network
        ) placed WHERE place > :most
    )
""")


def of_account(session: Session, account: str, now: int) -> dict[Guess, int]:
    """The guesses that still count, and when each was made."""
    since = now - KEPT_S * clock.SECOND
    rows = session.rows(_FAILURES, account=account, since=since)
    return {Guess(account, network, digest): at for network, digest, at in rows}


def blocks(session: Session, pair: Pair) -> dict[Pair, Block]:
    """Of the pair and of the account everywhere, past ones too."""
    rows = session.rows(_BLOCKS, account=pair.account, networks=[pair.network, EVERYWHERE])
    return {Pair(pair.account, network): Block(strikes, until_at) for network, strikes, until_at in rows}


def is_known(session: Session, pair: Pair) -> bool:
    """Whether this network signed in to the account before."""
    return session.row(_IS_KNOWN, account=pair.account, network=pair.network) is not None


def write(
    session: Session, failed: Mapping[Guess, int], begun: Mapping[Pair, Block], seen: Mapping[Pair, int], now: int
) -> None:
    """What a process has gathered. In order, so that two processes on one database do not wait for each other."""
    latest = now + BLOCK_MOST_S * clock.SECOND
    repeated, noted = now - KEPT_S * clock.SECOND, now - _NOTED_S * clock.SECOND
    session.run_many(
        _INSERT, [{**guess._asdict(), "at": at, "repeated": repeated} for guess, at in sorted(failed.items())]
    )
    session.run_many(
        _BLOCK, [{**pair._asdict(), **block._asdict(), "latest": latest} for pair, block in sorted(begun.items())]
    )
    session.run_many(_KNOW, [{**pair._asdict(), "seen_at": at, "noted": noted} for pair, at in sorted(seen.items())])


def forget_old(database: Database, *, now: int | None = None, most: int = ROWS_MOST) -> int:
    """Delete what no longer counts, and what is too much; returns the number of rows."""
    now = clock.now() if now is None else now

    def work(session: Session) -> int:
        return (
            sum(session.run(sql, since=now - KEPT_S * clock.SECOND) for sql in _OLD)
            + sum(session.run(sql, most=most) for sql in _SURPLUS)
            + session.run(_UNSEEN, since=now - SPARED_S * clock.SECOND)
            + session.run(_SPARED_TOO_MANY, most=SPARED_MOST)
        )

    return database.write(work)


def forget_account(session: Session, account: str) -> None:
    """Nothing of it shall hold for somebody who gets the name later."""
    for sql in (_PARDON, _FORGIVE, _UNKNOW):
        session.run(sql, account=account)


def listing(database: Database, *, now: int | None = None) -> list[tuple[Pair, Block]]:
    """The blocks that hold now, by account and network."""
    now = clock.now() if now is None else now
    with database.read() as session:
        rows = session.rows(_LISTING, now=now)
    return [(Pair(account, network), Block(strikes, until_at)) for account, network, strikes, until_at in rows]


def lift(database: Database, name: str, *, now: int | None = None) -> int:
    """End all blocks of an account, and forget its failures; how many blocks there were.

    Raises:
        NotFound: it is not blocked.
    """
    account = canonical(name)
    now = clock.now() if now is None else now

    def work(session: Session) -> int:
        ended = session.run(_LIFT, account=account, now=now)
        if not ended:
            raise NotFound(what=f"a block of the account {account}")
        session.run(_PARDON, account=account)
        session.run(_FORGIVE, account=account)
        return ended

    return database.write(work)
