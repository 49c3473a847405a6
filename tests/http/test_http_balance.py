"""Several servers on one socket: each takes as many connections as the others."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator

from providers.http.balance import Load, Tally
from providers.http.limits import Limits
from providers.http.server import HttpServer
from tests.http.harness import Client, Environ, StartResponse, until


def test_load_is_ahead_of_whoever_holds_fewer() -> None:
    """It knows from the others only how many they hold; dropping twice counts once."""
    tally = Tally(3)
    first, second, third = (tally.load(number) for number in range(3))
    assert not any(each.is_ahead for each in (first, second, third))
    first.add("a")
    first.add("a")
    assert [each.is_ahead for each in (first, second, third)] == [True, False, False]
    second.add("b")
    third.add("c")
    assert not first.is_ahead
    second.drop("b")
    second.drop("b")
    assert [each.is_ahead for each in (first, second, third)] == [True, False, True]


def test_load_of_a_successor_begins_with_nothing() -> None:
    """What its predecessor held died with it."""
    tally = Tally(2)
    for number in range(5):
        tally.load(1).add(number)
    other = tally.load(0)
    other.add("a")
    assert not other.is_ahead
    tally.load(1)
    assert other.is_ahead


def test_load_is_seen_by_other_processes() -> None:
    """The numbers lie in memory that a fork does not copy."""
    tally = Tally(2)
    mine = tally.load(0)
    mine.add("a")
    pid = os.fork()
    if not pid:
        theirs = tally.load(1)
        theirs.add("b")
        os._exit(0 if not theirs.is_ahead else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert not mine.is_ahead


@contextlib.contextmanager
def several(count: int) -> Iterator[tuple[int, list[Load]]]:
    """Servers that listen on one port, as the workers of one program do, each answering with its number."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    port = listener.getsockname()[1]
    tally = Tally(count)
    loads = [tally.load(number) for number in range(count)]

    def server(number: int) -> HttpServer:
        def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [str(number).encode()]

        return HttpServer(app, listener.dup(), threads=4, limits=Limits(), load=loads[number])

    servers = [server(number) for number in range(count)]
    threads = [threading.Thread(target=each.serve) for each in servers]
    for thread in threads:
        thread.start()
    until(lambda: all(each.ready for each in servers))
    try:
        yield port, loads
    finally:
        for each in servers:
            each.stop(5.0)
        for thread in threads:
            thread.join(5.0)
        listener.close()


def asked(client: Client) -> bytes:
    """Which server has the connection."""
    return client.ask("GET / HTTP/1.1\nHost: x").body


def test_burst_of_connections_is_spread_evenly() -> None:
    """Not all to the one that happens to be awake."""
    with several(3) as (port, _), contextlib.ExitStack() as closing:
        clients = [
            closing.enter_context(Client(socket.create_connection(("127.0.0.1", port), 10.0))) for _ in range(12)
        ]
        served = [asked(client) for client in clients]
        counts = [served.count(b"%d" % number) for number in range(3)]
        # A machine that is busy with something else may let one come late.
        assert max(counts) - min(counts) <= 3, counts


def test_connection_is_taken_by_whoever_is_there() -> None:
    """Though another one, which does not come, holds fewer; and what is closed counts no more."""
    with several(1) as (port, (load,)):
        # Somebody who is gone, or too busy to accept.
        load._slots = memoryview(bytearray(16)).cast("q")
        with contextlib.ExitStack() as closing:
            for _ in range(5):
                client = Client(socket.create_connection(("127.0.0.1", port), 10.0))
                assert asked(closing.enter_context(client)) == b"0"
            assert load.is_ahead
        until(lambda: not load.is_ahead)
