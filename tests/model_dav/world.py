"""What the machine acts on: a server, the use cases in this process on the same data folder, and its users."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path as Folder
from urllib.parse import quote

from appliance import config, moments
from appliance.accounts import app_passwords, users
from appliance.app import Appliance, open_appliance
from appliance.principal import system
from tests.files.person import Person
from tests.model_dav.model import NOTHING, Demand, Given
from tests.server.dav_client import Answer, Dav
from tests.server.running import ADMIN, Server
from tests.tree.model import Path

ROOT = "/dav"


def url(path: Path, *, slash: bool = False) -> str:
    """The path of a request."""
    return ROOT + "".join("/" + quote(name, safe="") for name in path) + ("/" if slash or not path else "")


def headers_of(given: Given) -> dict[str, str]:
    """The header fields that demand it."""
    found: dict[str, str] = {}
    if given.match is not None:
        found["If-Match"] = ", ".join(given.match)
    if given.none_match is not None:
        found["If-None-Match"] = ", ".join(given.none_match)
    if given.demands:
        found["If"] = " ".join(map(_list, given.demands))
    if given.token is not None:
        found["Lock-Token"] = f"<{given.token}>"
    return found


def _list(demand: Demand) -> str:
    tests = " ".join(
        ("Not " if test.negated else "") + (f"<{test.token}>" if test.token else f"[{test.etag}]")
        for test in demand.tests
    )
    return f"({tests})" if demand.path is None else f"<{url(demand.path)}> ({tests})"


@dataclass
class Account:
    """A user, with the app password that its requests are signed in with; ``who`` does what commands do."""

    name: str
    secret: str
    who: Person


class World:
    """A running server with a connection to each worker; use ``open`` before, and ``close`` at the end."""

    def __init__(self, scratch: Folder) -> None:
        self.server = Server(scratch, workers=2)
        self.requests = self.commands = self.stops = self.kills = 0
        self._numbers = itertools.count(1)
        self._appliance: Appliance | None = None
        self._connections: list[Dav] = []

    # -- life

    def open(self) -> World:
        """Start the server."""
        self.server.start()
        settings = config.load(None, self.server.environment(), {"data": str(self.server.data)})
        self._appliance = open_appliance(settings)
        self._connections = list(self.server.connections_to_all().values())
        return self

    def close(self) -> None:
        """Let go of the folder and of all connections; the server goes on."""
        for connection in self._connections:
            connection.close()
        self._connections = []
        if self._appliance is not None:
            self._appliance.close()
            self._appliance = None

    def stop(self) -> None:
        """SIGTERM, and a new start."""
        self.close()
        assert self.server.stop() == 0
        self.stops += 1
        self.open()

    def kill(self, account: Account, path: Path, body: bytes) -> None:
        """kill -9 of all processes while half of a PUT to ``path`` is there, and a new start."""
        client = Dav(self.server.port, account.name, account.secret, 10)
        with client.wire() as wire:
            wire.send(client.head("PUT", url(path), f"Content-Length: {len(body)}"), body[: len(body) // 2])
            self.close()
            self.server.kill_all()
        self.kills += 1
        self.open()

    @property
    def appliance(self) -> Appliance:
        assert self._appliance is not None
        return self._appliance

    # -- users

    def newcomer(self) -> Account:
        """One more user with an empty tree."""
        name = f"user{next(self._numbers)}"
        admin = users.get(self.appliance.database, ADMIN)
        Person(self.appliance.files, replace(system(admin.id, face="test"), user_id=admin.id)).newcomer(name)
        _, secret = app_passwords.add(self.appliance.database, users.get(self.appliance.database, name), "model")
        return Account(name, secret, self.person(name))

    def person(self, name: str) -> Person:
        """The system at work in the user's tree, as commands are."""
        found = users.get(self.appliance.database, name)
        return Person(self.appliance.files, replace(system(found.id, face="cli"), name=name))

    # -- clients

    def ask(
        self,
        account: Account,
        method: str,
        where: str,
        body: bytes | list[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        given: Given = NOTHING,
        worker: int = 0,
    ) -> Answer:
        """A request over the connection to this worker; a list is sent chunked."""
        self.requests += 1
        sent = {**self._signed_in(account), **headers_of(given), **(headers or {})}
        pieces = iter(body) if isinstance(body, list) else body
        return self._connections[worker](method, where, pieces, sent, signed_in=False)

    def _signed_in(self, account: Account) -> dict[str, str]:
        return {"Authorization": Dav(0, account.name, account.secret, 0).authorization}

    # -- commands

    def command(self, account: Account, *arguments: str) -> tuple[bool, str]:
        """Run ``holdfast`` for this user's files; whether it did it, and what it printed."""
        self.commands += 1
        found = self.server.holdfast(*arguments, "--user", account.name, succeeds=False)
        assert found.returncode in (0, 1), found.stderr
        assert bool(found.stderr) == bool(found.returncode)
        return found.returncode == 0, found.stdout

    def set_quota(self, account: Account, quota: int | None) -> None:
        """By the command."""
        self.commands += 1
        self.server.holdfast("user", "quota", account.name, str(quota or "none"))

    def user_list(self) -> dict[str, list[str]]:
        """Each user's line of the command, without the name."""
        self.commands += 1
        lines = [line.split() for line in self.server.holdfast("user", "list").stdout.splitlines()[1:]]
        return {line[0]: line[1:] for line in lines}


def moment(at: int) -> str:
    """A time in microseconds as commands take it."""
    return moments.show(at, exact=True)
