"""Eight clients on one tree, four workers: no lost update, no server error."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.server.dav_client import Dav
from tests.server.running import Server

CLIENTS = 8


@pytest.fixture(scope="module")
def options() -> dict[str, Any]:
    """More workers than cores."""
    return {"workers": 4}


def each_client(server: Server, work: Callable[[Dav, int], Any]) -> list[Any]:
    """Run ``work`` in a thread for each client, with a connection of its own; the results."""

    def run(number: int) -> Any:
        with server.dav() as dav:
            return work(dav, number)

    with ThreadPoolExecutor(CLIENTS) as pool:
        return list(pool.map(run, range(CLIENTS)))


def test_if_match_never_succeeds_twice_on_one_etag(server: Server, dav: Dav, area: str) -> None:
    """A counter that everybody raises ends at the number of successes."""
    dav.ok("PUT", area + "counter", b"0")

    def count(dav: Dav, _: int) -> list[str]:
        won = []
        while len(won) < 15:
            found = dav.ok("GET", area + "counter")
            raised = str(int(found.body) + 1).encode()
            answer = dav("PUT", area + "counter", raised, {"If-Match": found.etag})
            assert answer.status in (204, 412)
            if answer.status == 204:
                won.append(found.etag)
        return won

    won = [etag for etags in each_client(server, count) for etag in etags]
    assert len(set(won)) == len(won)
    assert int(dav.ok("GET", area + "counter").body) == len(won)


def test_if_none_match_star_succeeds_once(server: Server, dav: Dav, area: str) -> None:
    """And the file is the winner's."""

    def create(dav: Dav, number: int) -> list[int]:
        return [dav("PUT", f"{area}{name}", b"%d" % number, {"If-None-Match": "*"}).status for name in range(20)]

    outcomes = each_client(server, create)
    for name, statuses in enumerate(zip(*outcomes, strict=True)):
        assert sorted(statuses) == [201] + [412] * (CLIENTS - 1)
        assert int(dav.ok("GET", f"{area}{name}").body) == statuses.index(201)


def test_mixed_operations_on_one_tree_give_no_server_error(server: Server, area: str) -> None:
    """Whatever loses a race is refused as a conflict; ``check`` is clean at the end (fixture)."""

    def work(dav: Dav, number: int) -> Counter[int]:
        chance = random.Random(number)
        seen: Counter[int] = Counter()
        for _ in range(120):
            folder, other = (f"{area}f{chance.randrange(8)}" for _ in range(2))
            name = f"/{chance.randrange(3)}"
            method, path, body, headers = chance.choice(
                [
                    ("MKCOL", folder, None, {}),
                    ("DELETE", folder, None, {}),
                    ("MOVE", folder, None, {"Destination": other + name, "Overwrite": chance.choice("TF")}),
                    ("COPY", folder, None, {"Destination": other}),
                    ("PROPFIND", folder, None, {"Depth": "1"}),
                    ("GET", folder + name, None, {}),
                    ("PUT", folder + name, chance.randbytes(chance.choice([10, 5_000, 200_000])), {}),
                    ("PUT", folder + name, chance.randbytes(300), {}),
                ]
            )
            seen[dav(method, path, body, headers).status] += 1
        return seen

    seen = sum(each_client(server, work), Counter())
    assert {status for status in seen if status >= 500} == set()
    assert seen[201] > 0
    assert seen[204] > 0
