"""The job "caches": tells a cache in front to drop what it has of files that were removed.

It would let go of them by itself after ``cdn_revocation_seconds``; this is sooner. The cache is sent ``PURGE`` with the
keys of what is to go in ``Surrogate-Key``, as the answers to signed URLs carry them.
"""

from __future__ import annotations

import http.client
import logging
from collections.abc import Iterable
from typing import NamedTuple
from urllib.parse import urlsplit

from appliance.db.database import Database
from appliance.db.sql import Session, Sql
from appliance.errors import Unavailable
from appliance.journal.change import Kind
from appliance.signing import surrogates
from appliance.tree.nodes import FILE

EVERY_S = 2

_TIMEOUT_S = 10
_KEYS_AT_ONCE = 200
_KEYS_MOST = 2000
_log = logging.getLogger(__name__)
_TREES = Sql("SELECT id, seq FROM tree")
_REMOVED = Sql("""
    SELECT j.seq, j.node_id, n.kind FROM journal j LEFT JOIN node n ON n.id = j.node_id
    WHERE j.tree_id = :tree_id AND j.seq > :since AND j.kind = :kind ORDER BY j.seq LIMIT 10000
""")


class Purged(NamedTuple):
    """How many keys a run has told the cache."""

    keys: int

    def __str__(self) -> str:
        return f"the cache dropped what it had under {self.keys} keys" if self.keys else ""


class Purging:
    """Looks at what the journals say since it looked last. What was removed while nobody looked is not known, so it
    begins with dropping everything.
    """

    def __init__(self, database: Database, url: str) -> None:
        self._database = database
        self._url = url
        self._seen: dict[int, int] | None = None

    def __call__(self, turn: object = None) -> Purged:
        with self._database.read() as session:
            now: dict[int, int] = {row[0]: row[1] for row in session.rows(_TREES)}
            keys = {surrogates.EVERYTHING} if self._seen is None else self._removed(session, self._seen, now)
        if len(keys) > _KEYS_MOST:
            keys = {surrogates.EVERYTHING}
        purge(self._url, sorted(keys))
        self._seen = now
        return Purged(len(keys))

    @staticmethod
    def _removed(session: Session, seen: dict[int, int], now: dict[int, int]) -> set[str]:
        """A tree that is gone as a whole is one key, and so is one of which a folder was removed, or very much."""
        keys = {surrogates.of_tree(tree_id) for tree_id in seen.keys() - now.keys()}
        for tree_id, seq in now.items():
            since = seen.get(tree_id, 0)
            if seq <= since:
                continue
            rows = session.rows(_REMOVED, tree_id=tree_id, since=since, kind=Kind.REMOVE.value)
            if len(rows) > _KEYS_AT_ONCE or any(kind != FILE for _, _, kind in rows):
                keys.add(surrogates.of_tree(tree_id))
            else:
                keys |= {surrogates.of_file(node_id) for _, node_id, _ in rows}
        return keys


def purge(url: str, keys: Iterable[str]) -> None:
    """Let the cache at ``url`` drop what it has under these keys, if there are any.

    Raises:
        Unavailable: it does not answer, or does not do it.
    """
    every = list(keys)
    # A header has an end: 8 KiB in most caches.
    for start in range(0, len(every), _KEYS_AT_ONCE):
        _purge(url, " ".join(every[start : start + _KEYS_AT_ONCE]))


def _purge(url: str, text: str) -> None:
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.netloc, timeout=_TIMEOUT_S)
    try:
        connection.request("PURGE", parts.path or "/", headers={"Surrogate-Key": text})
        answer = connection.getresponse()
        answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise Unavailable(reason=f"the cache at {url} does not answer a PURGE: {error}") from error
    finally:
        connection.close()
    if answer.status >= http.client.MULTIPLE_CHOICES:
        raise Unavailable(reason=f"the cache at {url} refuses a PURGE with {answer.status} {answer.reason}")
