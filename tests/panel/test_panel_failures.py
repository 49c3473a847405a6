"""Errors as pages: each with its status, and those of the server's own with the id under which the log says more."""

from __future__ import annotations

import io
import logging
from typing import Any

import pytest

from admin_ui.app import Panel
from admin_ui.failures import status_of
from admin_ui.request import Services
from admin_ui.tokens import form_token
from appliance import errors
from appliance.accounts.sessions import Lives
from appliance.accounts.signin import SignIn
from appliance.accounts.users import User
from appliance.chunks.store import ChunkStore
from appliance.db.database import Database
from appliance.errors import HoldfastError
from appliance.files.context import Files
from tests.conftest import PASSWORD
from tests.support.databases import on_sqlite
from tests.support.faults import DatabaseProxy


class Failing(DatabaseProxy):
    """Writes raise ``error`` as soon as there is one."""

    def __init__(self, inner: Database) -> None:
        super().__init__(inner, self._fail)
        self.error: HoldfastError | None = None

    def _fail(self) -> None:
        if self.error is not None:
            raise self.error


class Desk:
    """A panel, and a browser that is signed in."""

    def __init__(self, database: Database, store: ChunkStore) -> None:
        self.database = Failing(database)
        sign_in = SignIn(self.database)
        files = Files(self.database, store, max_file_bytes=1 << 40, free_bytes=lambda: None)
        services = Services(self.database, sign_in, Lives(3600, 7200), 0, (), lambda: None, files, 30, None)
        self.panel = Panel(services, version="1.2.3", principal_key="principal")
        self.token = sign_in.begin_session("alice", PASSWORD, address="", agent="")

    def ask(self, method: str, path: str, body: bytes = b"") -> tuple[str, dict[str, str], str]:
        """Status line, headers and page."""
        told: list[Any] = []
        environ = {
            "REQUEST_METHOD": method, "holdfast.target": path, "holdfast.request_id": "0123abcd", "REMOTE_ADDR": "",
            "wsgi.url_scheme": "http", "wsgi.input": io.BytesIO(body), "HTTP_HOST": "here",
            "CONTENT_TYPE": "application/x-www-form-urlencoded", "HTTP_COOKIE": f"holdfast-session={self.token}",
        }  # fmt: skip
        blocks = self.panel(environ, lambda *given: told.extend(given))
        return told[0], dict(told[1]), b"".join(blocks).decode()


@pytest.fixture
def desk(database: Database, store: ChunkStore, user: User) -> Desk:
    """Of alice."""
    return Desk(database, store)


@on_sqlite
@pytest.mark.parametrize(
    ("error", "line", "wait"),
    [
        (errors.StorageFull(), "507 Insufficient Storage", None),
        (errors.Unavailable(reason="the database is busy", retry_after_s=7), "503 Service Unavailable", "7"),
        (errors.BackendError(key="k", reason="no answer"), "503 Service Unavailable", "5"),
        (errors.Damaged(what="a row"), "500 Internal Server Error", None),
    ],
)
def test_failure_of_the_server_is_a_page_with_an_id(
    desk: Desk, caplog: pytest.LogCaptureFixture, error: HoldfastError, line: str, wait: str | None
) -> None:
    """The log has the same id, and the reason."""
    desk.database.error = error
    body = f"label=phone&csrf={form_token(desk.token, 'form')}".encode()
    with caplog.at_level(logging.WARNING):
        status, headers, page = desk.ask("POST", "/account/app-passwords", body)
    assert status == line
    assert headers.get("Retry-After") == wait
    assert "0123abcd" in page
    assert f"request 0123abcd: POST: {line[:3]}, {error}" in caplog.text
    # Reading goes on.
    assert desk.ask("GET", "/account/")[0] == "200 OK"


@on_sqlite
def test_head_has_no_body(desk: Desk) -> None:
    """But the headers of the page."""
    status, headers, page = desk.ask("HEAD", "/account/")
    assert (status, page) == ("200 OK", "")
    assert int(headers["Content-Length"]) > 1000


def test_every_error_has_a_status() -> None:
    """Of its own, or of its nearest base; the client's fault is never told as the server's."""

    def below(kind: type[HoldfastError]) -> set[type[HoldfastError]]:
        return {kind}.union(*map(below, kind.__subclasses__()))

    for kind in below(errors.Invalid) | below(errors.Conflict) | {errors.Denied, errors.NotFound, errors.TooLarge}:
        assert 400 <= status_of(kind.__new__(kind)) < 500, kind
    for kind in below(errors.Unavailable) | below(errors.BackendError) | {errors.Damaged, errors.StorageFull}:
        assert 500 <= status_of(kind.__new__(kind)) < 600, kind


@on_sqlite
def test_access_log_learns_who_it_was(desk: Desk) -> None:
    """Under the key that the front gave."""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": "GET", "holdfast.target": "/account/", "wsgi.url_scheme": "http", "HTTP_HOST": "here",
        "HTTP_COOKIE": f"holdfast-session={desk.token}",
    }  # fmt: skip
    desk.panel(environ, lambda *_: None)
    assert environ["principal"].name == "alice"
