"""Text that grows and changes: dumps of a database, a log, a mailbox."""

from __future__ import annotations

import base64
import random
from collections.abc import Iterator

from benchmarks.series import Extent, Files, Prose, Series

# -- dumps ------------------------------------------------------------------------------------------------------------

_STATES = ("new", "paid", "sent", "done")


class _Dumps:
    """A table as CSV and as SQL statements, and a log."""

    def __init__(self, extent: Extent) -> None:
        self.chosen = random.Random(61)
        self._prose = Prose(self.chosen)
        self._next = 0
        self.rows = [self.row() for _ in range(extent.of(200_000, least=2_000))]
        self.head: list[str] = ["-- dump of shop, format 1\n"]
        self.statements = [self.statement() for _ in range(extent.of(3_000, least=30))]
        self.log = [self.entry() for _ in range(extent.of(150_000, least=1_500))]

    def row(self) -> str:
        self._next += 1
        chosen, number = self.chosen, self._next
        return (
            f"{number},2026-{number % 12 + 1:02d}-{number % 28 + 1:02d},{chosen.randrange(10**9)},"
            f'{chosen.randrange(10**6) / 100:.2f},{chosen.choice(_STATES)},"{self._prose.short(60)}"\n'
        )

    def statement(self) -> str:
        """INSERT of fifty rows, as dump programs write them: one long line."""
        values = (
            f"({self.chosen.randrange(10**7)},'{self._prose.short(50)}',{self.chosen.randrange(10**5) / 100:.2f},NULL)"
            for _ in range(50)
        )
        return f"INSERT INTO item VALUES {','.join(values)};\n"

    def entry(self) -> str:
        self._next += 1
        at = self._next * 173
        clock = f"{at // 3_600_000 % 24:02d}:{at // 60_000 % 60:02d}:{at // 1000 % 60:02d}.{at % 1000:03d}"
        host, process = self.chosen.randrange(8), self.chosen.randrange(9999)
        return f"2026-03-01T{clock} host{host} app[{process}]: {self._prose.short(90)}\n"

    def version(self) -> Files:
        return {
            "backup/orders.csv": "".join(self.rows).encode(),
            "backup/shop.sql": "".join([*self.head, *self.statements]).encode(),
            "backup/app.log": "".join(self.log).encode(),
        }

    def rewrite(self, share: float, start: float = 0.0) -> None:
        """New values in a share of the rows after ``start`` of the table, wherever they are."""
        rows, statements = self.rows, self.statements
        for _ in range(max(1, int(len(rows) * share))):
            rows[self.chosen.randrange(int(len(rows) * start), len(rows))] = self.row()
        for _ in range(max(1, int(len(statements) * share))):
            at = self.chosen.randrange(int(len(statements) * start), len(statements))
            statements[at] = statements[at].replace("NULL", str(self.chosen.randrange(1000)), 5)

    def grow(self, share: float) -> None:
        self.rows += [self.row() for _ in range(int(len(self.rows) * share))]
        self.statements += [self.statement() for _ in range(int(len(self.statements) * share))]
        self.log += [self.entry() for _ in range(int(len(self.log) * share))]


def _dumps(extent: Extent) -> Iterator[Files]:
    dumps = _Dumps(extent)
    yield dumps.version()
    # A few neighbours corrected, and the log of a day.
    middle = len(dumps.rows) // 2
    dumps.rows[middle : middle + 40] = [dumps.row() for _ in range(40)]
    dumps.log += [dumps.entry() for _ in range(len(dumps.log) // 100)]
    yield dumps.version()
    # Something longer at the front of all of them.
    dumps.head += [f"-- option {number}: on\n" for number in range(60)]
    dumps.rows[:0] = [dumps.row() for _ in range(20)]
    dumps.log[:0] = ["-- log of all hosts\n"]
    yield dumps.version()
    dumps.grow(0.05)
    yield dumps.version()
    # Something taken out of the middle; the oldest tenth of the log is gone.
    del dumps.rows[middle : middle + len(dumps.rows) // 100]
    del dumps.statements[len(dumps.statements) // 2 : len(dumps.statements) // 2 + 10]
    del dumps.log[: len(dumps.log) // 10]
    yield dumps.version()
    # Updates of what is recent.
    dumps.rewrite(0.001, start=0.9)
    yield dumps.version()
    # And of anything: the worst for whoever shares parts.
    dumps.rewrite(0.005)
    yield dumps.version()
    dumps.grow(0.02)
    yield dumps.version()


# -- mailbox ----------------------------------------------------------------------------------------------------------


class _Mailbox:
    """Messages as (before the status, status, after it)."""

    def __init__(self, extent: Extent) -> None:
        self.chosen = random.Random(62)
        self._prose = Prose(self.chosen)
        self.messages = [self.message() for _ in range(extent.of(2_200, least=60))]

    def message(self) -> list[bytes]:
        chosen, prose = self.chosen, self._prose
        head = (
            f"From person{chosen.randrange(90)}@example.org Mon Mar  2 10:00:00 2026\n"
            f"Received: from relay{chosen.randrange(9)}.example.org; id {chosen.randrange(16**10):X}\n"
            f"Message-ID: <{chosen.randrange(16**16):x}@example.org>\nSubject: {prose.short(60)}\n"
        )
        body = "\n".join(prose.lines(chosen.randint(4, 90)))
        if chosen.random() < 0.12:
            size = int(min(2e6, chosen.lognormvariate(11, 1.2)))
            body += "\n\nContent-Transfer-Encoding: base64\n\n" + base64.encodebytes(chosen.randbytes(size)).decode()
        return [head.encode(), b"Status: O\n", f"\n{body}\n\n".encode()]

    def arrive(self) -> None:
        """Some days of mail: about one in fifty."""
        self.messages += [self.message() for _ in range(max(1, len(self.messages) // 50))]

    def version(self) -> Files:
        return {"Mail/Inbox": b"".join(part for message in self.messages for part in message)}


def _mailbox(extent: Extent) -> Iterator[Files]:
    box = _Mailbox(extent)
    yield box.version()
    for number in range(2, 9):
        box.arrive()
        if number == 5:
            # Compacted: what was removed in between.
            box.messages = [message for message in box.messages if box.chosen.random() > 0.05]
        elif number == 6:
            # Marked as read, which makes the line longer.
            for message in box.chosen.sample(box.messages, len(box.messages) * 3 // 100):
                message[1] = b"Status: RO\n"
        elif number == 8:
            # The oldest went to an archive.
            box.messages = box.messages[len(box.messages) // 10 :]
        yield box.version()


SERIES = (Series("dumps", "text dumps and logs", _dumps), Series("mailbox", "mailbox (mbox)", _mailbox))
