"""Which rows a backup takes, and how they are read in a snapshot."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain

from sqlalchemy import Integer, LargeBinary, SmallInteger, Table, Text
from sqlalchemy.types import BigInteger

from appliance.backup import blocks
from appliance.backup.blocks import BYTES, INTEGER, TEXT, Columns
from appliance.db.models import metadata
from appliance.db.sql import Row, Session, Sql

LEFT_OUT = {
    "chunk": "the packs' own indexes say the same",
    "writer": "processes that ended with the store of then; their numbers are not given out again",
    "location": "of the store of then; what is restored is where it is restored to",
    "data_key": "the blob `keys` of the store says the same; a backup is not sealed",
    "lease": "processes that ended with the store of then",
    "fence": "the same",
    "forgotten": "what no version needs; where it lies comes with the packs",
    "finding": "of the disk of then; what is restored is verified",
    "scrub": "the same",
    "garbage": "a restored store looks for what nobody names in any case",
    "signing_key": "URLs of the store of then are void, and who has a backup must not be able to sign",
    "checksum_due": "those who ask for them have them computed",
    "lock": "clients ended some since, and nobody would end those again",
    "web_session": "people signed out since, or were signed out",
    "api_token": "some were revoked since, and all are for a time; programs get new ones",
    "login_failure": "of a time that is over",
    "login_block": "of a time that is over",
    "rate_bucket": "of a minute that is over",
    "job": "of another server: when what comes, and what was paused",
    "job_run": "what its jobs said",
    "measure": "is computed again",
    "upload": "what has come of files that are not there yet; their clients begin anew",
    "upload_part": "the same",
}
"""Tables that no backup holds, and why. All others are in it."""

# Rows in a block, where they are larger than those of other tables. The mean size of a block is some 100 KB.
_MEAN = {"segment": 8, "small": 128}
_USUAL_MEAN = 2048
# What was dropped holds nothing that a row names.
_ONLY = {"pack": "dropped_at IS NULL"}
_KINDS = {Integer: INTEGER, BigInteger: INTEGER, SmallInteger: INTEGER, Text: TEXT, LargeBinary: BYTES}


def kept_tables() -> list[Table]:
    """In the order of their names."""
    return [table for name, table in sorted(metadata.tables.items()) if name not in LEFT_OUT]


class Reading:
    """A table, read in the order of its primary key."""

    def __init__(self, table: Table) -> None:
        keys = [column.name for column in table.primary_key]
        names = [*keys, *(column.name for column in table.columns if column.name not in keys)]
        kinds = [_KINDS[type(table.columns[name].type)] for name in names]
        self.columns = Columns(table.name, tuple(names), tuple(kinds))
        self._keys = keys
        self._mean = _MEAN.get(table.name, _USUAL_MEAN)
        # PostgreSQL would compare text as people of some country do.
        ordered = [
            f'"{key}" {{binary}}' if kind == TEXT else f'"{key}"' for key, kind in zip(keys, kinds, strict=False)
        ]
        select = f'SELECT {", ".join(_quoted(names))} FROM "{table.name}"'
        beyond = f"({', '.join(ordered)}) > ({', '.join(':' + key for key in keys)})"
        only = _ONLY.get(table.name)
        rest = f"ORDER BY {', '.join(ordered)} LIMIT {self._mean}"
        self._first = Sql(f"{select}{f' WHERE {only}' if only else ''} {rest}")
        self._next = Sql(f"{select} WHERE {beyond}{f' AND {only}' if only else ''} {rest}")

    def blocks(self, session: Session) -> Iterator[list[Row]]:
        """All rows, as they are cut. ``session`` is a snapshot."""
        return blocks.cut(chain.from_iterable(self._pages(session)), key=len(self._keys), mean=self._mean)

    def _pages(self, session: Session) -> Iterator[list[Row]]:
        page = session.rows(self._first)
        while page:
            yield page
            page = session.rows(self._next, **dict(zip(self._keys, page[-1], strict=False)))


def insertion(table: str, columns: tuple[str, ...]) -> Sql:
    """The statement that puts a row back; its parameters are called as the columns are."""
    names = ", ".join(_quoted(columns))
    return Sql(f'INSERT INTO "{table}" ({names}) VALUES ({", ".join(":" + name for name in columns)})')


def _quoted(names: tuple[str, ...] | list[str]) -> list[str]:
    return [f'"{name}"' for name in names]
