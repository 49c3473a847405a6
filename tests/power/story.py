"""What clients do while it is recorded, and what each of them may find afterwards.

A lane is a client with a folder of its own, one request at a time. Its steps are the states that it knows of, so what
is stored in its folder has to be one of them, whatever the lanes beside it do.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.power.recorder import Recorded, Recorder
from tests.server.content import noise

Versions = tuple[str, ...]
Tree = dict[str, Versions | None]
"""By path: of a file the digests of its versions, the oldest first; None for a folder."""

MIB = 1_048_576
NEWCOMERS = ("bob", "carol")


def digest(body: bytes) -> str:
    """Names a body."""
    return hashlib.sha256(body).hexdigest()


@dataclass
class Step:
    """A state, and which answer, on which connection of the client, told of it."""

    tree: Tree
    etags: dict[str, str]
    port: int
    number: int
    what: str


@dataclass
class Lane:
    """The requests of one client; everything below ``/name``."""

    recorder: Recorder
    name: str
    steps: list[Step] = field(default_factory=list)
    _counts: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tree: Tree = {}
        self.etags: dict[str, str] = {}
        self._dav = self.recorder.dav()
        self.steps.append(Step({}, {}, 0, 0, "nothing"))

    def close(self) -> None:
        """The next request opens a connection to the server as it is by then."""
        self._dav.close()

    def _ask(self, method: str, path: str, body: bytes | list[bytes] | None = None, target: str = "") -> str:
        headers = {"Destination": f"/dav{target}"} if target else {}
        answer = self._dav.ok(method, f"/dav{path}", body, headers)
        port = self._dav.socket.getsockname()[1]
        self._counts[port] = self._counts.get(port, 0) + 1
        return answer.headers.get("etag", "")

    def _note(self, what: str) -> None:
        port, number = list(self._counts.items())[-1]
        self.steps.append(Step(dict(self.tree), dict(self.etags), port, number - 1, what))

    def mkcol(self, path: str) -> None:
        self._ask("MKCOL", path)
        self.tree[path] = None
        self._note(f"MKCOL {path}")

    def put(self, path: str, body: bytes, *, pieces: int = 0) -> None:
        """In the chunked coding, in pieces of this size, unless it is 0."""
        sent = [body[at : at + pieces] for at in range(0, len(body), pieces)] if pieces else body
        etag = self._ask("PUT", path, sent)
        self.tree[path] = (*(self.tree.get(path) or ()), digest(body))
        self.etags[path] = etag
        self._note(f"PUT {path} ({len(body)} bytes)")

    def copy(self, source: str, target: str) -> None:
        """A copy begins with the content of now."""
        self._ask("COPY", source, target=target)
        for path in self._below(source):
            versions = self.tree[path]
            self.tree[target + path.removeprefix(source)] = None if versions is None else versions[-1:]
        self._note(f"COPY {source} {target}")

    def move(self, source: str, target: str) -> None:
        """Over a file that is there, or to a new name."""
        self._ask("MOVE", source, target=target)
        self._forget(target)
        for path in self._below(source):
            self.tree[target + path.removeprefix(source)] = self.tree.pop(path)
            self.etags.pop(path, None)
        self._note(f"MOVE {source} {target}")

    def delete(self, path: str) -> None:
        self._ask("DELETE", path)
        self._forget(path)
        self._note(f"DELETE {path}")

    def _below(self, top: str) -> list[str]:
        return [path for path in self.tree if path == top or path.startswith(f"{top}/")]

    def _forget(self, top: str) -> None:
        for path in self._below(top):
            del self.tree[path]
            self.etags.pop(path, None)

    def begin_upload(self, path: str, body: bytes) -> Callable[[], None]:
        """Half of a body, and nothing more; to be called when nobody waits for it any longer."""
        wire = self._dav.wire()
        head = self._dav.head("PUT", f"/dav{path}", f"Content-Length: {2 * len(body)}")
        wire.send(head, body)
        return wire.close


@dataclass
class Story:
    """A recording and what everybody knows."""

    durability: str
    recorded: Recorded
    lanes: list[Lane]

    def answered(self, lane: Lane, at: int) -> int:
        """How many steps of a lane had been told by a moment; the first one needs no telling."""
        answers = self.recorded.answers
        return sum(answers[step.port][step.number] < at for step in lane.steps[1:])

    def users(self, at: int) -> tuple[set[str], set[str]]:
        """Who has to be there, and who may."""
        told = {line.split()[1] for line, moments in self.recorded.printed.items() if _adds(line) and moments[0] < at}
        return {"admin", *told}, {"admin", *NEWCOMERS}

    def answer_moments(self) -> list[int]:
        """When somebody was told something."""
        answers = [self.recorded.answers[step.port][step.number] for lane in self.lanes for step in lane.steps[1:]]
        printed = [moments[0] for line, moments in self.recorded.printed.items() if _adds(line)]
        return [moment + 1 for moment in (*answers, *printed, *self.recorded.printed["Holdfast serves"])]


def _adds(line: str) -> bool:
    return line.startswith("added ")


def tell(recorder: Recorder, durability: str, *, several: int, crowd: int, brief: bool = False) -> Story:
    """Every kind of change in a new store; some after a kill, and after an orderly stop unless it shall be brief.

    ``several`` is the size of a file that has more than one pack, ``crowd`` how many small files there are.
    """
    recorder.start()
    main = Lane(recorder, "main")
    lanes = [main]
    _change_everything(main, several)
    lanes += _together(recorder)
    recorder.add_user(NEWCOMERS[0])
    for number in range(crowd):
        main.put(f"/main/crowd-{number}", noise(3_900, seed=100 + number))
    if durability == "fast" and not brief:
        # The job that makes packs durable comes every five seconds.
        time.sleep(5.5)
        main.put("/main/new/after", noise(60_000, seed=20))
    hang_up = main.begin_upload("/main/new/hanging", noise(3 * MIB, seed=21))
    main.put("/main/new/beside", noise(70_000, seed=22))
    recorder.kill()
    hang_up()
    recorder.start()
    main.close()
    main.put("/main/new/one", noise(90_000, seed=23))
    main.put("/main/new/small", noise(80, seed=24))
    main.delete("/main/new/beside")
    recorder.stop()
    if not brief:
        recorder.add_user(NEWCOMERS[1])
        recorder.start()
        main.close()
        main.put("/main/new/one", noise(95_000, seed=25))
        main.move("/main/new", "/main/final")
        recorder.stop()
    main.close()
    return Story(durability, recorder.end(), lanes)


def _change_everything(lane: Lane, several: int) -> None:
    lane.mkcol("/main")
    lane.mkcol("/main/new")
    lane.put("/main/new/small", noise(300, seed=1))
    lane.put("/main/new/empty", b"")
    lane.put("/main/new/one", noise(200_000, seed=2))
    lane.put("/main/new/several", noise(several, seed=3))
    lane.put("/main/new/chunked", noise(150_000, seed=4), pieces=20_000)
    lane.put("/main/new/one", noise(180_000, seed=5))
    lane.put("/main/new/small", noise(9_000, seed=6))
    lane.mkcol("/main/new/sub")
    lane.put("/main/new/sub/text", b"a line\n" * 4_000)
    lane.copy("/main/new", "/main/copy")
    lane.put("/main/copy/one", noise(40_000, seed=7))
    lane.copy("/main/new/one", "/main/copy/sub/one")
    lane.move("/main/copy/one", "/main/new/sub/one")
    lane.move("/main/new/chunked", "/main/copy/small")
    lane.move("/main/new/sub", "/main/sub")
    lane.delete("/main/sub/text")
    lane.delete("/main/copy")


def _together(recorder: Recorder) -> list[Lane]:
    """Three clients at once, so that commits share transactions."""
    lanes = [Lane(recorder, f"together-{number}") for number in range(3)]

    def work(lane: Lane, number: int) -> None:
        lane.mkcol(f"/{lane.name}")
        for turn, size in enumerate((500, 30_000, 300_000, 1_200_000, 200)):
            lane.put(f"/{lane.name}/{turn % 3}", noise(size, seed=1000 * number + turn + 40))

    threads = [threading.Thread(target=work, args=(lane, number)) for number, lane in enumerate(lanes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for lane in lanes:
        assert len(lane.steps) == 7
        lane.close()
    return lanes
