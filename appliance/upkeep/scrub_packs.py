"""Verifying packs: every stored byte by SHA-256, and each pack's own index against the rows that point into it.

Before anything counts as damaged it is read once more. The rows of a pack are found through its index; only if that
cannot be read, or the blob is gone, all rows of chunks are looked through for them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence, Set
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from appliance import clock, faults
from appliance.backends.base import Backend
from appliance.chunks import findings, healing, identity, rows
from appliance.chunks.findings import By, Noted
from appliance.chunks.pack import Record, pack_key
from appliance.db.database import Database
from appliance.db.sql import Row, Session, Sql
from appliance.errors import BackendError, BlobMissing
from appliance.upkeep.check_blobs import still_there
from appliance.upkeep.check_pack import Examined, Pack, examine, examine_place

_TOGETHER = 64

_STORE_ID = Sql("SELECT store_id FROM store WHERE id = 1")
_ROWS = Sql("""
    SELECT c.id, c."offset", c.stored, c.length, c.codec, c.xxh3, c.pack_id, p.writer_id, p.counter
    FROM chunk c JOIN pack p ON p.id = c.pack_id WHERE c.id IN (:ids*) AND p.dropped_at IS NULL
""")
_ROWS_OF = Sql("""
    SELECT pack_id, id, "offset", stored, length, codec, xxh3 FROM chunk WHERE pack_id IN (:ids*)
    ORDER BY pack_id, "offset"
""")
_VERIFIED = Sql("UPDATE pack SET verified_at = :now WHERE id IN (:ids*)")


class Verified(NamedTuple):
    """What came of some packs: how many, the bytes read, and how many findings were open behind them."""

    packs: int
    bytes: int
    found: int


class _Judged(NamedTuple):
    """One pack; with ``wrong`` its rows have to be looked at one by one."""

    pack: Pack
    found: list[Noted]
    wrong: Noted | None


class PackScrub:
    """Verifies packs and keeps what it finds."""

    def __init__(self, database: Database, backend: Backend, *, by: By, threads: int = 1) -> None:
        self._database = database
        self._backend = backend
        self._by = by
        self._threads = threads
        with database.read() as session:
            self._store_id: str = session.value(_STORE_ID)

    def verify(self, packs: Iterable[Pack], *, not_before: int = 0) -> Verified:
        """Read them all, then note in one transaction that they are verified since then, and what is wrong.

        ``not_before`` is the least time to be noted: clocks go back, and callers ask for what is older.

        Raises:
            BackendError: the blobs as a whole are not there.
        """
        began = max(clock.now(), not_before)
        seen, found = self.look(packs)
        faults.point("scrub.verified")
        self._database.write(lambda session: self._keep(session, seen, found, began))
        faults.point("scrub.noted")
        return Verified(len(seen), sum(of.size for of in seen), len(found))

    def look(self, packs: Iterable[Pack]) -> tuple[list[Pack], list[Noted]]:
        """Read them all; which they are, and everything that is wrong with them. Nothing is noted.

        Raises:
            BackendError: the blobs as a whole are not there.
        """
        judged = [self._judge(of, outcome) for of, outcome in self._read(packs)]
        broken = [each for each in judged if each.wrong is not None]
        if broken and self._backend.head(identity.KEY) is None:
            raise BackendError(key=identity.KEY, reason="the blobs are not there; nothing was noted as lost")
        found = [each for one in judged for each in one.found]
        for start in range(0, len(broken), _TOGETHER):
            found += self._broken(broken[start : start + _TOGETHER])
        seen = [each.pack for each in judged]
        found += self._still_wrong(seen, {(each.digest, each.place) for each in found})
        return seen, found

    def _read(self, packs: Iterable[Pack]) -> Iterator[tuple[Pack, Examined | Noted]]:
        """In their order, a few at a time."""
        if self._threads == 1:
            for of in packs:
                yield of, self._examine(of)
            return
        under_way: deque[tuple[Pack, Future[Examined | Noted]]] = deque()
        with ThreadPoolExecutor(self._threads, thread_name_prefix="scrub") as pool:
            for of in packs:
                under_way.append((of, pool.submit(self._examine, of)))
                if len(under_way) > 2 * self._threads:
                    done, future = under_way.popleft()
                    yield done, future.result()
            for done, future in under_way:
                yield done, future.result()

    def _examine(self, of: Pack) -> Examined | Noted:
        """What reading it showed, or why it cannot be read."""
        examined = self._attempt(of)
        if isinstance(examined, Noted) or examined.frame is not None or examined.damaged:
            examined = self._attempt(of)
        return examined

    def _attempt(self, of: Pack) -> Examined | Noted:
        try:
            size = self._backend.head(of.key)
            if size is None:
                return Noted("pack", b"", of.id, f"{of.key} is gone")
            if size != of.size:
                return Noted("frame", b"", of.id, f"{of.key} has {size} bytes, {of.size} were written")
            return examine(self._backend, of, self._store_id)
        except BlobMissing as error:
            return Noted("pack", b"", of.id, f"{of.key} is gone ({error.reason})")
        except BackendError as error:
            return Noted("frame", b"", of.id, f"{of.key} cannot be read: {error.reason}")

    def _judge(self, of: Pack, outcome: Examined | Noted) -> _Judged:
        if isinstance(outcome, Noted):
            return _Judged(of, [], outcome)
        if outcome.frame is not None:
            return _Judged(of, [], Noted("frame", b"", of.id, f"{of.key}: {outcome.frame}"))
        with self._database.read() as session:
            found = session.rows_by(_ROWS, sorted(outcome.records))
        wrong: dict[Row, Noted] = {}
        for row in found:
            *columns, place, writer_id, counter = row
            record = Record(*columns)
            if place == of.id and record == outcome.records[record.id] and record.id not in outcome.damaged:
                continue
            # Another pack has it as well, and the row means that one; or the row is wrong.
            problem = examine_place(self._backend, pack_key(writer_id, counter), record)
            if problem is not None:
                wrong[tuple(row)] = Noted("chunk", record.id, place, problem)
        return _Judged(of, self._still_so(wrong), None)

    def _still_so(self, wrong: dict[Row, Noted]) -> list[Noted]:
        """Those whose rows are as they were: what was pruned meanwhile was not lost; its row went before its blob."""
        if not wrong:
            return []
        with self._database.read() as session:
            now = session.rows_by(_ROWS, [each.digest for each in wrong.values()])
        return [wrong[row] for row in map(tuple, now) if row in wrong]

    def _broken(self, broken: Sequence[_Judged]) -> Iterator[Noted]:
        """The findings of packs that are gone or have no readable index, chunk by chunk."""
        by_id = {each.pack.id: each for each in broken if still_there(self._database, each.pack.id)}
        with self._database.read() as session:
            found = session.rows_by(_ROWS_OF, sorted(by_id))
        intact = set[int]()
        for pack_id, *columns in found:
            record = Record(*columns)
            problem = self._problem(by_id[pack_id], record)
            if problem is None:
                intact.add(pack_id)
            else:
                yield Noted("chunk", record.id, pack_id, problem)
        for pack_id, each in by_id.items():
            assert each.wrong is not None
            # Where nothing can be used any more the pack is as good as gone.
            yield each.wrong if pack_id in intact else each.wrong._replace(what="pack")

    def _still_wrong(self, packs: Sequence[Pack], found: Set[tuple[bytes, int]]) -> Iterator[Noted]:
        """Chunks that are known to be damaged in these packs, and still are, although the packs' indexes lack them."""
        with self._database.read() as session:
            known = findings.chunks_at(session, [of.id for of in packs]) if findings.any_open(session) else []
            lost = [each for each in known if (each.digest, each.place) not in found]
            there = {row[0]: row for row in session.rows_by(_ROWS, [each.digest for each in lost])}
        for each in lost:
            row = there.get(each.digest)
            if row is not None and row[6] == each.place:
                problem = examine_place(self._backend, pack_key(row[7], row[8]), Record(*row[:6]))
                if problem is not None:
                    yield Noted("chunk", each.digest, each.place, problem)

    def _problem(self, judged: _Judged, record: Record) -> str | None:
        if judged.wrong is not None and judged.wrong.what == "pack":
            return "its pack is gone"
        problem = examine_place(self._backend, judged.pack.key, record)
        return problem and examine_place(self._backend, judged.pack.key, record)

    def _keep(self, session: Session, packs: Sequence[Pack], found: Sequence[Noted], began: int) -> None:
        session.run_by(_VERIFIED, [of.id for of in packs], now=began)
        if found:
            findings.note(session, found, self._by)
        if findings.any_open(session):
            rows.drop_packs(session, healing.settle_packs(session, [of.id for of in packs], found))
