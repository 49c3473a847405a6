"""Connections per address: one address takes no more than its share, and loses what it makes least use of."""

from __future__ import annotations

import contextlib
import socket
import threading
import time

import pytest

from providers.http.addresses import Addresses, share_of
from providers.http.limits import Limits
from tests.http.harness import Client, Environ, Running, StartResponse, hello, serving, until

GET = "GET /x HTTP/1.1\nHost: h"
THREE = Limits(connections_per_address=3)


@pytest.mark.parametrize(
    ("address", "share"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
        ("2001:db8:1:2::9", "2001:db8:1:2::"),
        ("fe80::1%eth0", "fe80::"),
        ("", ""),
    ],
)
def test_share_is_an_address_or_a_network_of_ipv6(address: str, share: str) -> None:
    """One machine may take any address of a /64."""
    assert share_of(address) == share


class Held:
    """What is counted."""

    share = "a"


def test_dropping_twice_counts_once() -> None:
    """A connection may be closed by whoever finds it broken."""
    addresses: Addresses[Held] = Addresses(1, exempt=lambda _: False)
    held = [Held(), Held(), Held()]
    for each in held:
        addresses.add(each)
    beyond, found = addresses.surplus("a")
    assert (beyond, set(found), addresses.crowded()) == (2, set(held), ["a"])
    addresses.drop(held[0])
    addresses.drop(held[0])
    assert addresses.surplus("a")[0] == 1
    for each in held:
        addresses.drop(each)
    assert (addresses.surplus("a"), addresses.crowded(), addresses._held) == ((0, []), [], {})


def asked(running: Running, source: str = "127.0.0.1") -> Client:
    """A new connection on which a request was answered, and which is watched again."""
    client = running.client(source=source)
    assert client.ask(GET).status == 200
    time.sleep(0.03)
    return client


def test_one_more_closes_the_longest_silent_of_the_address() -> None:
    """Not the oldest, not the new one, and none of another address."""
    with serving(hello, limits=THREE) as running, contextlib.ExitStack() as stack:
        other = stack.enter_context(asked(running, "127.0.0.2"))
        first, second, third = (stack.enter_context(asked(running)) for _ in range(3))
        assert first.ask(GET).status == 200
        fourth = stack.enter_context(asked(running))
        assert second.closed()
        for client in (other, first, third, fourth):
            assert client.ask(GET).status == 200


def is_closed(client: Client) -> bool:
    """Whether the server has closed it; without waiting."""
    client.sock.setblocking(False)
    try:
        return client.sock.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False


def test_client_that_opens_many_and_says_nothing_keeps_its_share() -> None:
    """It closes only its own."""
    with serving(hello, limits=THREE) as running, contextlib.ExitStack() as stack:
        silent = [stack.enter_context(running.client()) for _ in range(20)]
        until(lambda: sum(map(is_closed, silent)) == 17)
        assert stack.enter_context(running.client()).ask(GET).status == 200
        assert stack.enter_context(running.client(source="127.0.0.2")).ask(GET).status == 200


def test_connection_that_is_being_answered_is_never_closed() -> None:
    """Also beyond the share; what waits when one of them is done goes then."""
    gate = threading.Event()

    def app(environ: Environ, start_response: StartResponse) -> list[bytes]:
        gate.wait(10)
        return hello(environ, start_response)

    with serving(app, threads=8, limits=THREE) as running, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(running.client()) for _ in range(5)]
        for client in clients:
            client.send("GET /x HTTP/1.1\r\nHost: h\r\n\r\n")
        until(lambda: running.server.busy == 5)
        gate.set()
        assert [client.answer().status for client in clients] == [200] * 5
        until(lambda: len(running.server._connections._waiting()) == 3)


def test_request_that_has_just_come_is_answered() -> None:
    """The kernel has it, and the selector's thread is at the new connection: not silent."""
    with serving(hello, limits=Limits(connections_per_address=2)) as running, contextlib.ExitStack() as stack:
        first, second = (stack.enter_context(asked(running)) for _ in range(2))
        connections = running.server._connections
        connections.stop()
        first.send("GET /just HTTP/1.1\r\nHost: h\r\n\r\n")
        time.sleep(0.05)
        stack.enter_context(running.client())
        time.sleep(0.05)
        connections._accept()
        assert second.closed()
        running.server.stop(5.0)
        assert first.answer().body == b"/just"


@pytest.mark.parametrize("limits", [Limits(connections_per_address=0), Limits(connections_per_address=2)])
def test_no_limit_and_an_exempt_address_close_nothing(limits: Limits) -> None:
    """The predicate is asked with the address."""
    asked_of: set[str] = set()

    def exempt(address: str) -> bool:
        asked_of.add(address)
        return True

    with serving(hello, limits=limits, exempt=exempt) as running, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(asked(running)) for _ in range(6)]
        assert [client.ask(GET).status for client in clients] == [200] * 6
    assert asked_of == ({"127.0.0.1"} if limits.connections_per_address else set())
