"""Two nodes over one PostgreSQL database and one place for blobs: what one does the other knows, and either may go."""

from __future__ import annotations

import itertools
import random
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server import behind
from tests.server.dav_client import Dav
from tests.server.failover import Failover
from tests.server.holding import HeldPut
from tests.server.locking import lock
from tests.server.mixed_clients import SHARED, MixedClient
from tests.server.mixed_load import require_stored
from tests.server.nodes import Nodes
from tests.server.programs import needs
from tests.server.running import ADMIN, PASSWORD, Server, until
from tests.server.test_litmus import require_all_passed

MIB = 1_048_576


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    """Two nodes, for a balancer or for themselves."""
    made = Nodes(tmp_path / "nodes")
    made.start()
    yield made
    made.finish()


@pytest.fixture
def leaving(tmp_path: Path) -> Iterator[Nodes]:
    """Two that tell a balancer before they stop."""
    made = Nodes(tmp_path / "nodes", settings={"drain_seconds": 3})
    made.start()
    yield made
    made.finish()


def test_what_one_node_does_the_other_knows_at_once(nodes: Nodes) -> None:
    """Files, folders, locks, passwords, users: nothing is remembered that the other could have changed."""
    one, other = (node.dav() for node in nodes.nodes)
    for number, (here, there) in enumerate([(one, other), (other, one)] * 10):
        path = f"/dav/file-{number}"
        body = random.Random(number).randbytes(number * 20_000)
        here.ok("PUT", path, body)
        assert there("GET", path).body == body
        assert there("PUT", path, body + b"!").status == 204
        assert here("GET", path).body == body + b"!"
        listed = here.ok("PROPFIND", "/dav/", headers={"Depth": "1"}).text
        assert f"/dav/file-{number}" in listed
        there.ok("MOVE", path, headers={"Destination": f"/dav/moved-{number}"})
        assert here("GET", path).status == 404
        assert f"/dav/file-{number}<" not in here.ok("PROPFIND", "/dav/", headers={"Depth": "1"}).text
    token = lock(one, "/dav/moved-1")
    assert other("PUT", "/dav/moved-1", b"x").status == 423
    assert other("PUT", "/dav/moved-1", b"x", {"If": f"(<{token}>)"}).status == 204
    nodes.nodes[0].holdfast("user", "add", "bob", "--password-stdin", typed=f"{PASSWORD}\n")
    with nodes.nodes[1].dav("bob") as bob:
        assert bob("PUT", "/dav/mine", b"1").status == 201
        nodes.nodes[0].holdfast("user", "disable", "bob")
        assert bob("GET", "/dav/mine").status == 401
    one.close()
    other.close()


def test_wrong_passwords_count_together(nodes: Nodes) -> None:
    """Eleven different ones in a minute, whichever node each comes to, and the account is blocked on both."""
    nodes.holdfast("user", "add", "carol", "--password-stdin", typed=f"{PASSWORD}\n")
    turns = itertools.cycle(nodes.nodes)
    statuses = []
    for number in range(12):
        with next(turns).dav("carol", f"wrong password {number}") as dav:
            statuses.append(dav("GET", "/dav/").status)
    assert statuses[:10] == [401] * 10
    assert statuses[-1] == 429
    for node in nodes.nodes:
        with node.dav("carol") as dav:
            assert dav("GET", "/dav/").status == 429


def test_start_leaves_the_unfinished_uploads_of_another_node_alone(leaving: Nodes, tmp_path: Path) -> None:
    """Both on one machine: what a living process is writing looks like what a dead one has left."""
    first, second = leaving.nodes
    body = random.Random(1).randbytes(12_000_000)
    with first.dav() as dav, HeldPut(dav, "/dav/file", body, at=9_000_000) as put:
        if behind.settings(first).blobs_folder is not None:
            # Elsewhere a pack is in memory until it is whole.
            until(lambda: any(tmp_path.rglob("partial/*~*")), what="a pack that is being written")
        second.restart()
        assert put.finish().status == 201
    with second.dav() as dav:
        assert dav.ok("GET", "/dav/file").body == body


@needs("haproxy")
def test_rolling_restart_behind_a_balancer_fails_no_request(leaving: Nodes, tmp_path: Path) -> None:
    """Each node is stopped and started while four clients go on, one of them with uploads that take a while."""
    seen = leaving.balancer
    done = threading.Event()
    outcome: Counter[str] = Counter()
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            with seen.dav() as dav:
                for turn in itertools.count():
                    if done.is_set():
                        return
                    _one_turn(dav, number, turn, outcome)
        except BaseException as error:  # noqa: BLE001 - raised again below
            errors.append(error)

    clients = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for client in clients:
        client.start()
    for node in leaving.nodes:
        time.sleep(3)
        node.restart()
    time.sleep(3)
    done.set()
    for client in clients:
        client.join(60)
    assert not errors, errors
    assert set(outcome) <= {"PUT 201", "PUT 204", "GET 200", "PROPFIND 207", "DELETE 204"}, outcome
    assert sum(outcome.values()) > 200


def _one_turn(dav: Dav, number: int, turn: int, outcome: Counter[str]) -> None:
    path = f"/dav/client-{number}-{turn % 7}"
    body = random.Random(turn).randbytes(200_000 if turn % 10 == 0 else 2_000)

    def slowly() -> Iterator[bytes]:
        for at in range(0, len(body), 20_000):
            time.sleep(0.05)
            yield body[at : at + 20_000]

    for method, content in (("PUT", slowly() if number == 0 else body), ("GET", None)):
        answer = dav(method, path, content)
        outcome[f"{method} {answer.status}"] += 1
        assert answer.status in (200, 201, 204), (method, path, answer.status, answer.text)
        assert method == "PUT" or answer.body == body
    answer = dav("PROPFIND", path, headers={"Depth": "0"})
    outcome[f"PROPFIND {answer.status}"] += 1
    if turn % 7 == 6:
        outcome[f"DELETE {dav('DELETE', path).status}"] += 1


@needs("haproxy")
@needs("litmus")
def test_litmus_passes_with_each_request_to_the_other_node(nodes: Nodes, tmp_path: Path) -> None:
    """Behind a balancer that takes turns."""
    seen = nodes.balancer
    command = ["litmus", "-k", seen.url, ADMIN, PASSWORD]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100, check=False)
    require_all_passed(result.stdout)


@needs("haproxy")
@needs("rclone")
def test_rclone_copies_through_both_and_finds_all_again(nodes: Nodes, tmp_path: Path) -> None:
    """300 files up and down again, eight at a time."""
    source, back = tmp_path / "source", tmp_path / "back"
    for number in range(300):
        path = source / f"folder-{number % 10}" / f"file-{number}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(random.Random(number).randbytes(number * 300))
    seen = nodes.balancer
    obscured = subprocess.run(
        ["rclone", "obscure", PASSWORD], capture_output=True, text=True, check=True
    ).stdout.strip()
    remote = f":webdav,url='{seen.url}',vendor=owncloud,user={ADMIN},pass='{obscured}':all"
    for command in (("copy", str(source), remote), ("copy", remote, str(back)), ("check", str(source), remote)):
        subprocess.run(
            ["rclone", "--config", "/dev/null", "--transfers", "8", "--retries", "1", *command],
            check=True, capture_output=True, timeout=300,
        )  # fmt: skip
    assert subprocess.run(["diff", "-r", source, back], check=False).returncode == 0


@pytest.mark.soak
@pytest.mark.timeout(300)
def test_nodes_killed_one_after_the_other_lose_nothing_acknowledged(nodes: Nodes) -> None:
    """Clients go to the other node when one is gone; it comes back a moment later, while the other is killed next."""
    done = threading.Event()
    front = Failover(nodes)
    with front.dav() as dav:
        dav.ok("MKCOL", SHARED)
    clients = [MixedClient(front, number, done) for number in range(6)]
    for client in clients:
        client.prepare()
    for client in clients:
        client.start()
    kills = 0
    try:
        for node in nodes.nodes * 3:
            time.sleep(2.5)
            assert all(client.is_alive() for client in clients), [client.error for client in clients]
            node.kill_all()
            kills += 1
            time.sleep(1)
            node.start()
    finally:
        done.set()
    for client in clients:
        client.finish()
    stored = [each for client in clients for each in client.stored]
    assert kills == 6
    assert len(stored) > 100
    assert any(client.resets for client in clients), "no kill hit a request: the test did not test it"
    require_stored(_first(nodes), stored)


def _first(nodes: Nodes) -> Server:
    return nodes.nodes[0]
