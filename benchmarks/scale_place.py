"""A store over PostgreSQL and S3 that the measurements of scale are made with: its nodes, its users, its relays."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.engine import make_url

from appliance.accounts import users
from appliance.backends.s3_place import parse_place
from appliance.db.postgresql import PostgresqlDatabase
from benchmarks import holdfast
from benchmarks.payload import Payload
from benchmarks.processes import cpu_seconds, family
from benchmarks.relay import PostgresqlReader, Relay, S3Reader
from benchmarks.servers import PASSWORD, Place, Ports, Server
from benchmarks.site import Site, Sizes

_SOCKET_FOLDER = "/var/run/postgresql"


@dataclass
class Store:
    """``far``: the settings of its nodes, keys included; ``folder`` holds a folder for each of them."""

    database_url: str
    folder: Path
    ports: Ports
    payload: Payload
    closing: ExitStack
    far: dict[str, str] = field(default_factory=dict)

    def start(self, name: str, *, data: Path | None = None, settings: Mapping[str, str] | None = None) -> Site:
        """One more node, until the end. The first one makes the store, and the master key of the others."""
        place = Place(self.folder / name, self.ports.take())
        place.make()
        server: Server = self.closing.enter_context(
            holdfast.start(
                place, durability="safe", name=name, workers=2, data=data,
                settings={"HOLDFAST_DATABASE_URL": self.database_url, **self.far, **(settings or {})},
            )
        )  # fmt: skip
        key = (data or place.folder / "data") / "master.key"
        if key.exists():
            self.far.setdefault("HOLDFAST_MASTER_KEY", key.read_text(encoding="ascii").strip())
        site = Site(name, server.endpoint, server.pid, Sizes(), self.payload)
        site.begin_run(0)
        return site

    def site_of(self, site: Site, user: str) -> Site:
        """The same node, asked by another user."""
        mine = Site(f"{site.name} {user}", site.endpoint._replace(user=user), site.pid, site.sizes, site.payload)
        mine.begin_run(0)
        return mine

    def add_users(self, count: int) -> list[str]:
        """New ones, all with the same password."""
        database = PostgresqlDatabase(self.database_url)
        try:
            names = [f"user-{secrets.token_hex(4)}" for _ in range(count)]
            for name in names:
                users.add(database, name, PASSWORD)
        finally:
            database.close()
        return names


def far_settings(blobs_url: str, variables: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Of a node whose blobs are in S3: nothing of them is kept near."""
    keys = {name: value for name, value in variables.items() if name.startswith(("HOLDFAST_S3_", "AWS_"))}
    return {"HOLDFAST_BLOBS_URL": blobs_url, "HOLDFAST_CACHE_BYTES": "0", **keys}


@contextmanager
def relays(database_url: str, blobs_url: str) -> Iterator[tuple[Relay, Relay, dict[str, str]]]:
    """One before each of the services, and the settings of a node that goes through them.

    Raises:
        ValueError: the S3 store is asked over TLS.
    """
    endpoint = parse_place(blobs_url).endpoint
    if not endpoint.startswith("http://"):
        raise ValueError("requests to S3 are counted on their way: the endpoint has to be one of http://")
    parts = urlsplit(endpoint)
    with (
        Relay(lambda: _connect_to(database_url), PostgresqlReader) as database,
        Relay(lambda: socket.create_connection((parts.hostname, parts.port or 80)), S3Reader) as blobs,
    ):
        yield database, blobs, {
            "HOLDFAST_DATABASE_URL": _through(database_url, database.port),
            "HOLDFAST_BLOBS_URL": _endpoint(blobs_url, f"http://127.0.0.1:{blobs.port}"),
        }  # fmt: skip


def _connect_to(database_url: str) -> socket.socket:
    known: dict[str, Any] = conninfo_to_dict(plain(database_url))
    host, port = str(known.get("host") or _SOCKET_FOLDER), int(known.get("port") or 5432)
    if not host.startswith("/"):
        return socket.create_connection((host, port))
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(f"{host}/.s.PGSQL.{port}")
    return sock


def _through(database_url: str, port: int) -> str:
    url = make_url(database_url).set(host="127.0.0.1", port=port, query={"sslmode": "disable", "gssencmode": "disable"})
    return url.render_as_string(hide_password=False)


def _endpoint(blobs_url: str, endpoint: str) -> str:
    parts = urlsplit(blobs_url)
    return parts._replace(query=urlencode({**dict(parse_qsl(parts.query)), "endpoint": endpoint})).geturl()


def plain(database_url: str) -> str:
    """The URL as libpq reads it."""
    return make_url(database_url).set(drivername="postgresql").render_as_string(hide_password=False)


def ask(database_url: str, text: str, *values: Any) -> Any:
    """The first column of the first row."""
    with psycopg.connect(plain(database_url), autocommit=True) as connection:
        row = connection.execute(text.encode(), values).fetchone()
    return None if row is None else row[0]


@contextmanager
def database_beside(database_url: str, *, template: str | None = None) -> Iterator[str]:
    """The URL of one more database of the same server, empty or as ``template``; it is dropped at the end."""
    name = f"holdfast_scale_{secrets.token_hex(4)}"
    with psycopg.connect(plain(database_url), autocommit=True) as connection:
        made = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
        of = sql.Identifier("template0" if template is None else make_url(template).database or "")
        connection.execute(made.format(sql.Identifier(name), of))
        try:
            yield make_url(database_url).set(database=name).render_as_string(hide_password=False)
        finally:
            connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


class DatabaseServer:
    """The processes of PostgreSQL, if they are on this machine."""

    def __init__(self, database_url: str) -> None:
        self._pid = _postmaster(database_url)

    def cpu_seconds(self) -> float:
        """Used so far; 0 where the server is elsewhere."""
        return cpu_seconds(self._pid) if self._pid else 0.0

    @property
    def is_here(self) -> bool:
        return self._pid is not None and len(family(self._pid)) > 1


def _postmaster(database_url: str) -> int | None:
    with psycopg.connect(plain(database_url), autocommit=True) as connection:
        backend = connection.info.backend_pid
        with suppress(OSError, ValueError):
            path = Path(f"/proc/{backend}")
            if b"postgres" in (path / "cmdline").read_bytes():
                return int((path / "stat").read_text(encoding="ascii").rpartition(")")[2].split()[1])
    return None
