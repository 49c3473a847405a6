"""Two servers over one store: what tests of one server get instead where ``HOLDFAST_TEST_NODES`` is set.

Each request goes to the other node than the one before, whether a test sends it by itself or gives the URL to a
program, which then finds a balancer there. What asks for the data folder or the processes of the one server skips its
test: that is not about nodes.
"""

from __future__ import annotations

import atexit
import os
import secrets
import socket
import ssl
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn

import psycopg
import pytest
from sqlalchemy.engine import make_url

from appliance.sealing.master import MasterKey
from tests.server.balancing import SOURCE, balanced
from tests.server.dav_client import Answer, Dav, Wire
from tests.server.migrated import place_database
from tests.server.programs import find
from tests.server.running import ADMIN, HOLDFAST, PASSWORD, PATIENCE_S, Server, free_ports
from tests.support import postgres, s3
from tests.support.postgres import NotInstalled

VARIABLE = "HOLDFAST_TEST_NODES"
"""Where the nodes' blobs are: ``files`` or ``s3``."""

begins_with_sqlite = pytest.mark.skipif(bool(os.environ.get(VARIABLE)), reason="begins with SQLite, which has one node")


def make_server(scratch: Path, **options: object) -> Server:
    """A server whose database is there already, or two nodes in its place."""
    if os.environ.get(VARIABLE):
        return Nodes(scratch, **options)  # type: ignore[arg-type]
    server = Server(scratch, **options)  # type: ignore[arg-type]
    if "database_url" not in server.settings and not server.data.exists():
        place_database(server.data)
    return server


class Nodes(Server):
    """Two nodes, with half of the workers each, but one at least. Commands take turns as requests do."""

    def __init__(
        self,
        scratch: Path,
        *,
        workers: int = 2,
        durability: str = "safe",
        settings: Mapping[str, object] | None = None,
        trust: ssl.SSLContext | None = None,
        program: Sequence[str] = (HOLDFAST,),
    ) -> None:
        *ports, self.balancer_port = free_ports(3)
        urls = [f"{'http' if trust is None else 'https'}://127.0.0.1:{port}" for port in (*ports, self.balancer_port)]
        shared = {"trusted_proxies": SOURCE, **_store(scratch), **(settings or {})}
        if shared.get("seal") == "on":
            shared.setdefault("master_key", MasterKey.new().text)
        self.nodes: list[Server] = []
        for number, port in enumerate(ports):
            # The announcement has the first one; a Destination may name any.
            own = {"public_urls": ",".join(urls[number:] + urls[:number]), **shared}
            folder = _made(scratch / f"node-{number + 1}")
            half = max(workers // 2, 1)
            node = Server(folder, workers=half, durability=durability, settings=own, trust=trust, program=program)
            self.nodes.append(node)
            self.nodes[-1].port = port
        self.scratch = scratch
        for name in ("home", "cwd"):
            _made(scratch / name)
        self.workers = sum(node.workers for node in self.nodes)
        self.trust = trust
        self._turn = 0
        self._balancer: Server | None = None
        self._closing = ExitStack()
        self._killed = 0

    def _next(self) -> Server:
        self._turn += 1
        return self.nodes[self._turn % 2]

    def _skip(self) -> NoReturn:
        pytest.skip("about one server's own folder or processes, not about nodes")

    @property
    def data(self) -> Path:  # type: ignore[override]
        self._skip()

    @property
    def process(self) -> NoReturn:  # type: ignore[override]
        self._skip()

    @property
    def settings(self) -> Mapping[str, object]:  # type: ignore[override]
        self._skip()

    @property
    def port(self) -> int:  # type: ignore[override]
        return self._next().port

    @property
    def may_report_errors(self) -> bool:  # type: ignore[override]
        return all(node.may_report_errors for node in self.nodes)

    @may_report_errors.setter
    def may_report_errors(self, may: bool) -> None:
        for node in self.nodes:
            node.may_report_errors = may

    def configure(self, **settings: object) -> None:
        for node in self.nodes:
            node.configure(**settings)

    # -- life ---------------------------------------------------------------------------------------------------------

    def start(self) -> Server:
        """Those that do not run."""
        for node in self.nodes:
            if node.process is None or node.process.poll() is not None:
                node.start()
        return self

    def stop(self, seconds: float = PATIENCE_S) -> int:
        return max([node.stop(seconds) for node in self.nodes], key=abs)

    def kill_all(self) -> None:
        """One node, the other one than the time before; the clients that meet its port see it go."""
        self._killed = (self._killed + 1) % len(self.nodes)
        self.nodes[self._killed].kill_all()

    def restart(self) -> None:
        """One after the other, as people do it."""
        for node in self.nodes:
            node.restart()

    def finish(self) -> None:
        with ExitStack() as ending:
            # Whatever is wrong with one, none goes on.
            for node in reversed(self.nodes):
                ending.callback(node.finish)
            ending.callback(self._closing.close)

    # -- what they say ------------------------------------------------------------------------------------------------

    @property
    def stdout(self) -> str:
        return "".join(node.stdout for node in self.nodes)

    @property
    def stderr(self) -> str:
        return "".join(node.stderr for node in self.nodes)

    # -- clients ------------------------------------------------------------------------------------------------------

    @property
    def origin(self) -> str:
        """For programs, which ask one address for all: that of a balancer, where there is one."""
        return self.balancer.origin if self.trust is None and find("haproxy") else super().origin

    @property
    def balancer(self) -> Server:
        """The nodes as clients see them through HAProxy."""
        if self._balancer is None:
            self._balancer = self._closing.enter_context(balanced(self.nodes, self.scratch, self.balancer_port))
        return self._balancer

    def turns(self) -> list[Server]:
        return [self._next(), self._next()]

    def dav(
        self, user: str = ADMIN, password: str = PASSWORD, timeout: float = PATIENCE_S, source: str | None = None
    ) -> Dav:
        """Its requests take turns between the nodes."""
        return TurningDav([Dav(node.port, user, password, timeout, self.trust, source) for node in self.turns()])

    def environment(self) -> dict[str, str]:
        return self.nodes[0].environment()

    def holdfast(self, *arguments: str, **options: object):  # type: ignore[no-untyped-def, override]
        return self._next().holdfast(*arguments, **options)  # type: ignore[arg-type]

    # -- processes ----------------------------------------------------------------------------------------------------

    def pids(self) -> list[int]:
        return [pid for node in self.nodes for pid in node.pids()]

    def worker_of(self, sock: socket.socket) -> int:
        peer = sock.getpeername()[1]
        return next(node for node in self.nodes if node.port == peer).worker_of(sock)

    def connections_to_all(self, user: str = ADMIN, password: str = PASSWORD) -> dict[int, Dav]:
        """One to each node's worker."""
        found: dict[int, Dav] = {}
        for node in self.nodes:
            found |= node.connections_to_all(user, password)
        return found


class TurningDav(Dav):
    """Several connections as one, wires included. ``socket`` is the first one's, ``port`` that of the newest wire."""

    def __init__(self, turns: list[Dav]) -> None:
        self._turns = turns
        self._number = 0
        self.port = turns[0].port
        self.authorization = turns[0].authorization
        self._timeout = turns[0]._timeout
        self._connection = turns[0]._connection

    def close(self) -> None:
        for each in self._turns:
            each.close()

    def __call__(
        self,
        method: str,
        path: str,
        body: bytes | Iterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        signed_in: bool = True,
    ) -> Answer:
        turn = self._next()
        turn.authorization = self.authorization
        return turn(method, path, body, headers, signed_in=signed_in)

    def wire(self, timeout: float | None = None) -> Wire:
        self.port = self._next().port
        return super().wire(timeout)

    def _next(self) -> Dav:
        self._number += 1
        return self._turns[(self._number - 1) % len(self._turns)]


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _store(scratch: Path) -> dict[str, object]:
    """The settings of a new store that nodes share."""
    if os.environ.get(VARIABLE) == "s3":
        return {"database_url": _Databases.new(), **_Buckets.new()}
    blobs = _made(scratch / "blobs")
    return {"database_url": _Databases.new(), "blobs_url": f"file://{blobs}"}


class _Databases:
    """New databases on a server that runs as long as the tests."""

    _stack = ExitStack()
    _server: str | None = None

    @classmethod
    def new(cls) -> str:
        """The URL of an empty one."""
        if cls._server is None:
            try:
                cls._server = cls._stack.enter_context(postgres.server())
            except NotInstalled as reason:
                pytest.skip(str(reason))
            atexit.register(cls._stack.close)
        return new_database(cls._server)


def new_database(server: str) -> str:
    """The URL of an empty database on a server, by the URL of another one."""
    name = f"holdfast_nodes_{os.getpid()}_{secrets.token_hex(4)}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return make_url(server).set(database=name).render_as_string(hide_password=False)


class _Buckets:
    """Places in an S3 store that runs as long as the tests."""

    _stack = ExitStack()
    _server: s3.Server | None = None
    _count = 0

    @classmethod
    def new(cls) -> dict[str, object]:
        """The settings of an empty one."""
        if cls._server is None:
            names = s3.present()
            if not names:
                pytest.skip("there is no S3 server")
            folder = Path(cls._stack.enter_context(TemporaryDirectory(prefix="holdfast-s3-")))
            cls._server = cls._stack.enter_context(s3.server(names[0], folder))
            atexit.register(cls._stack.close)
        cls._count += 1
        place, keys = cls._server.place, cls._server.credentials
        return {
            "blobs_url": f"s3://{place.bucket}/{place.prefix}nodes-{cls._count}?endpoint={place.endpoint}"
            f"&region={place.region}&style={place.style}",
            "s3_access_key": keys.access_key,
            "s3_secret_key": keys.secret_key,
            "master_key": MasterKey.new().text,
        }
