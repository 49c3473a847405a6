"""Bearer tokens on a real server of two workers: made, used for what they are for, and ended everywhere at once."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.server.behind import rows
from tests.server.dav_client import Answer, Dav
from tests.server.locking import XML, lockinfo
from tests.server.running import PASSWORD, Server, until
from tests.server.test_api_uploads import ask, path_of
from tests.server.test_zip import id_of

BASIC = 'Basic realm="Holdfast", charset="UTF-8"'
BEARER = 'Bearer realm="Holdfast"'
READ = ["files:read"]
BOTH = ["files:read", "files:write"]


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the server's logs."""
    return tmp_path_factory.mktemp("logs")


@pytest.fixture(scope="module")
def options(logs: Path) -> dict[str, Any]:
    """With an access log."""
    return {"settings": {"access_log": logs / "access", "log_file": logs / "server"}}


@pytest.fixture
def bearer(server: Server) -> Iterator[Dav]:
    """A connection that signs in with whatever ``authorization`` says."""
    with server.dav() as connection:
        yield connection


def made(dav: Dav, scopes: list[str], **more: Any) -> dict[str, Any]:
    """The answer to making a token."""
    status, document = ask(dav, "POST", "/api/v1/tokens", {"name": "a program", "scopes": scopes, **more})
    assert status == 201, document
    return dict(document)


def with_token(dav: Dav, secret: str) -> Dav:
    """The same connection, signed in so."""
    dav.authorization = f"Bearer {secret}"
    return dav


def challenges(dav: Dav, method: str, path: str, **headers: str) -> tuple[int, list[str]]:
    """Status, and each WWW-Authenticate field, in their order."""
    with dav.wire() as wire:
        fields = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        wire.send(f"{method} {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{fields}\r\n".encode())
        head = (
            b"".join(iter(lambda: wire.sock.recv(65_536), b""))
            .partition(b"\r\n\r\n")[0]
            .decode("latin-1")
            .split("\r\n")
        )
    found = [line.partition(": ")[2] for line in head if line.lower().startswith("www-authenticate:")]
    return int(head[0].split()[1]), found


def test_token_is_made_listed_and_revoked(dav: Dav, bearer: Dav) -> None:
    """Its secret is told once, to nobody's cache; times are those that were asked for."""
    answer = dav.ok(
        "POST", "/api/v1/tokens", json.dumps({"name": "backup", "scopes": BOTH, "expiresIn": 3600}).encode(),
        {"Content-Type": "application/json"},
    )  # fmt: skip
    token = json.loads(answer.body)
    assert answer.headers["cache-control"] == "no-store"
    assert set(token) == {"tokenId", "name", "scopes", "deviceId", "createdAt", "expiresAt", "token"}
    assert (token["name"], token["scopes"], token["deviceId"]) == ("backup", BOTH, None)
    lives = datetime.fromisoformat(token["expiresAt"]) - datetime.fromisoformat(token["createdAt"])
    assert lives.total_seconds() == 3600
    assert abs((datetime.fromisoformat(token["createdAt"]) - datetime.now(UTC)).total_seconds()) < 60
    status, listed = ask(dav, "GET", "/api/v1/tokens")
    shown = {name: value for name, value in token.items() if name != "token"}
    assert status == 200
    assert shown in listed["tokens"]
    assert token["token"] not in json.dumps(listed)
    assert with_token(bearer, token["token"])("GET", "/dav/").status == 200
    assert ask(dav, "DELETE", path_of(answer.headers["location"])) == (204, None)
    assert ask(dav, "DELETE", path_of(answer.headers["location"]))[0] == 404
    assert bearer("GET", "/dav/").status == 401
    assert shown not in ask(dav, "GET", "/api/v1/tokens")[1]["tokens"]


@pytest.mark.parametrize(
    "document",
    [
        {"scopes": READ},
        {"name": "", "scopes": READ},
        {"name": "x" * 101, "scopes": READ},
        {"name": "x"},
        {"name": "x", "scopes": []},
        {"name": "x", "scopes": "files:read"},
        {"name": "x", "scopes": ["files:read", "files:everything"]},
        {"name": "x", "scopes": ["files:read", 7]},
        {"name": "x", "scopes": READ, "expiresIn": 0},
        {"name": "x", "scopes": READ, "expiresIn": 366 * 86_400 + 1},
        {"name": "x", "scopes": READ, "expiresIn": "3600"},
    ],
)
def test_what_cannot_be_made_is_refused(dav: Dav, document: dict[str, Any]) -> None:
    """With 400, and nothing is made."""
    before = ask(dav, "GET", "/api/v1/tokens")
    status, refused = ask(dav, "POST", "/api/v1/tokens", document)
    assert (status, refused["type"]) == (400, "urn:holdfast:problem:bad-request")
    assert ask(dav, "GET", "/api/v1/tokens") == before


@pytest.mark.parametrize("token_id", ["0", "99999", "x", "9" * 40, "-1", "%C3%A9"])
def test_id_that_nobody_has_is_not_found(dav: Dav, token_id: str) -> None:
    """Whatever it looks like."""
    assert ask(dav, "DELETE", f"/api/v1/tokens/{token_id}")[0] == 404


def test_tokens_of_others_are_not_there(server: Server, dav: Dav) -> None:
    """Neither in a list nor to be revoked; not for an administrator."""
    with server.add_user("tanja") as tanja:
        token = made(tanja, READ)
        assert ask(dav, "DELETE", f"/api/v1/tokens/{token['tokenId']}")[0] == 404
        assert token["tokenId"] not in [each["tokenId"] for each in ask(dav, "GET", "/api/v1/tokens")[1]["tokens"]]
        assert with_token(tanja, token["token"])("GET", "/dav/").status == 200


def test_challenges_say_what_is_wrong(dav: Dav, bearer: Dav) -> None:
    """RFC 6750 §3: no error for who has shown nothing, and the scope that is missing. WebDAV offers Basic alone."""
    wrong = made(dav, READ)["token"][:-1] + "0"
    told = "the token is wrong, or it has expired or was revoked"
    invalid = f'{BEARER}, error="invalid_token", error_description="{told}"'
    assert challenges(dav, "GET", "/api/v1/tokens") == (401, [BASIC, BEARER])
    assert challenges(dav, "GET", "/api/v1/tokens", Authorization="Basic eDp5") == (401, [BASIC, BEARER])
    assert challenges(dav, "GET", "/dav/") == (401, [BASIC])
    assert challenges(dav, "GET", "/dav/", Authorization="Bearer") == (401, [BASIC])
    for header in (f"Bearer {wrong}", "bearer x", "BEARER   ="):
        for path in ("/api/v1/tokens", "/dav/", "/at/yesterday/"):
            assert challenges(dav, "GET", path, Authorization=header) == (401, [BASIC, invalid]), (header, path)
    status, refused = ask(with_token(bearer, wrong), "GET", "/api/v1/tokens")
    assert (status, refused["type"]) == (401, "urn:holdfast:problem:token-invalid")
    right = f"Bearer {made(dav, READ)['token']}"
    missing = [f'{BEARER}, error="insufficient_scope", scope="files:write"']
    assert challenges(dav, "MKCOL", "/dav/no", Authorization=right) == (403, missing)
    document = b'{"fileName": "no", "fileSize": 1}'
    answer = bearer("POST", "/api/v1/files", document, {"Authorization": right, "Content-Type": "application/json"})
    assert (answer.status, answer.headers["www-authenticate"]) == (403, missing[0])
    refused = json.loads(answer.body)
    assert (refused["type"], refused["scope"]) == ("urn:holdfast:problem:scope-missing", "files:write")


def test_token_makes_no_tokens(dav: Dav, bearer: Dav) -> None:
    """Nor does it see or revoke any."""
    token = made(dav, BOTH)
    with_token(bearer, token["token"])
    assert ask(bearer, "POST", "/api/v1/tokens", {"name": "x", "scopes": READ})[0] == 403
    assert ask(bearer, "GET", "/api/v1/tokens")[0] == 403
    assert ask(bearer, "DELETE", f"/api/v1/tokens/{token['tokenId']}")[0] == 403


@pytest.fixture
def folder(dav: Dav, area: str) -> str:
    """A folder with a file, and one that is locked."""
    dav.ok("PUT", area + "file", b"content")
    dav.ok("PUT", area + "other", b"other")
    return area


def requests_on(dav: Dav, area: str) -> dict[str, Answer]:
    """Each method once."""
    there = {"Destination": area + "there", "Overwrite": "T"}
    return {
        "GET": dav("GET", area + "file"),
        "HEAD": dav("HEAD", area + "file"),
        "PROPFIND": dav("PROPFIND", area, headers={"Depth": "1"}),
        "GET a page": dav("GET", area),
        "GET the past": dav("GET", "/at/seq-1/"),
        "GET its days": dav("GET", "/at/"),
        "HEAD its days": dav("HEAD", "/at/"),
        "PROPFIND its days": dav("PROPFIND", "/at/", headers={"Depth": "1"}),
        "PUT": dav("PUT", area + "new", b"new"),
        "PUT more": dav("PUT", area + "file", b"x" * 300_000),
        "MKCOL": dav("MKCOL", area + "folder"),
        "COPY": dav("COPY", area + "other", headers=there),
        "MOVE": dav("MOVE", area + "there", headers={**there, "Destination": area + "here"}),
        "LOCK": dav("LOCK", area + "file", lockinfo(), {"Content-Type": XML}),
        "PROPPATCH": dav(
            "PROPPATCH", area + "other",
            b'<propertyupdate xmlns="DAV:"><set><prop><x xmlns="urn:x">1</x></prop></set></propertyupdate>',
        ),
        "DELETE": dav("DELETE", area + "other"),
    }  # fmt: skip


def reading_status(dav: Dav, bearer: Dav, area: str) -> set[int]:
    """Of the API's requests that tell of a file and a folder, whose ids a password learns."""
    paths = (f"/api/v1/files/{id_of(dav, area + 'file')}", f"/api/v1/files/{id_of(dav, area)}/zip")
    return {bearer("GET", path).status for path in paths}


READING = {
    "GET", "HEAD", "PROPFIND", "GET a page", "GET the past", "GET its days", "HEAD its days", "PROPFIND its days"
}  # fmt: skip


def test_token_for_reading_changes_nothing(dav: Dav, bearer: Dav, folder: str) -> None:
    """By no method of WebDAV; reading works, in the past too."""
    before = dav.ok("PROPFIND", folder, headers={"Depth": "1"}).body
    answers = requests_on(with_token(bearer, made(dav, READ)["token"]), folder)
    assert reading_status(dav, bearer, folder) == {200}
    assert {name for name, answer in answers.items() if answer.status < 300} == READING
    assert {answer.status for name, answer in answers.items() if name not in READING} == {403}
    assert dav.ok("PROPFIND", folder, headers={"Depth": "1"}).body == before


def test_token_for_writing_reads_nothing(dav: Dav, bearer: Dav, folder: str) -> None:
    """What answers with content is refused; so is what copies or moves it."""
    answers = requests_on(with_token(bearer, made(dav, ["files:write"])["token"]), folder)
    both = {"COPY", "MOVE"}
    assert reading_status(dav, bearer, folder) == {403}
    # Nor is it told which ids there are.
    assert bearer("GET", "/api/v1/files/999999").status == 403
    assert {name for name, answer in answers.items() if answer.status >= 300} == READING | both
    assert {answers[name].status for name in READING | both} == {403}
    assert bearer("DELETE", folder + "new", headers={"Depth": "0"}).status == 204
    assert bearer("PUT", folder + "file", b"locked").status == 423
    assert bearer("DELETE", folder + "file").status == 423


def test_token_for_writing_is_told_of_what_it_wrote(dav: Dav, bearer: Dav, folder: str) -> None:
    """Nothing is done and refused then."""
    with_token(bearer, made(dav, ["files:write"])["token"])
    path = folder.removeprefix("/dav")
    status, new = ask(bearer, "POST", "/api/v1/folders", {"fileName": "new folder", "path": path})
    assert (status, new["fileName"]) == (201, "new folder")
    dav.ok("PUT", folder + "kept", b"one")
    dav.ok("PUT", folder + "kept", b"two")
    node_id = id_of(dav, folder + "kept")
    versions = ask(dav, "GET", f"/api/v1/files/{node_id}/versions")[1]["versions"]
    restore = f"/api/v1/files/{node_id}/versions/{versions[-1]['version']}/restore"
    assert ask(bearer, "POST", restore)[0] == 200
    assert ask(bearer, "DELETE", f"/api/v1/files/{node_id}")[0] == 204
    assert ask(bearer, "POST", f"/api/v1/files/{node_id}/restore")[0] == 200
    assert dav.ok("GET", folder + "kept").body == b"one"


def test_token_for_both_does_everything(dav: Dav, bearer: Dav, folder: str) -> None:
    """As its user would."""
    answers = requests_on(with_token(bearer, made(dav, BOTH)["token"]), folder)
    assert {name: answer.status for name, answer in answers.items() if answer.status >= 300} == {}


def test_uploads_need_the_scope_for_writing(dav: Dav, bearer: Dav, folder: str) -> None:
    """And no other; what a password has begun cannot be gone on with by a token for reading."""
    wanted = {"fileName": "up", "fileSize": 5, "path": folder.removeprefix("/dav") + "up"}
    read, write = made(dav, READ)["token"], made(dav, ["files:write"])["token"]
    _, begun = ask(dav, "POST", "/api/v1/files", wanted)
    upload = f"/api/v1/uploads/{begun['uploadId']}"
    with_token(bearer, read)
    for method, path, body in (
        ("GET", upload, None),
        ("PUT", upload + "/content", b"12345"),
        ("PUT", upload + "/parts/1", b"12345"),
        ("POST", upload + "/complete", None),
        ("DELETE", upload, None),
    ):
        status, refused = ask(bearer, method, path, body)
        assert (status, refused["scope"]) == (403, "files:write"), (method, path)
    with_token(bearer, write)
    assert ask(bearer, "GET", upload)[0] == 200
    assert ask(bearer, "PUT", upload + "/content", b"12345")[0] == 200
    assert ask(bearer, "POST", "/api/v1/files", {**wanted, "overwrite": True})[0] == 201
    assert dav.ok("GET", folder + "up").body == b"12345"


def test_both_workers_see_the_end_at_once(server: Server, dav: Dav) -> None:
    """Revoked by one of them, by a command, or with the app password; each had taken the token before."""
    server.add_user("rita").close()
    laptop = server.holdfast("app-password", "add", "laptop", "--user", "rita").stdout.strip()
    everywhere = list(server.connections_to_all("rita", PASSWORD).values())
    one = everywhere[0]

    def statuses(secret: str) -> set[int]:
        return {dav("GET", "/dav/", headers={"Authorization": f"Bearer {secret}"}).status for dav in everywhere}

    with server.dav("rita", laptop) as by_device:
        tokens = {"api": made(one, READ), "command": made(one, READ), "device": made(by_device, BOTH)}
        kept = made(one, READ)["token"]
    for token in (*tokens.values(), {"token": kept}):
        assert statuses(token["token"]) == {200}
    assert ask(one, "DELETE", f"/api/v1/tokens/{tokens['api']['tokenId']}")[0] == 204
    assert statuses(tokens["api"]["token"]) == {401}
    server.holdfast("token", "revoke", tokens["command"]["tokenId"], "--user", "rita")
    assert statuses(tokens["command"]["token"]) == {401}
    # What the journal keeps of who wrote is the device, which ``check`` looks for at the end.
    one.ok("PUT", "/dav/by-a-token", b"x", {"Authorization": f"Bearer {tokens['device']['token']}"})
    server.holdfast("app-password", "revoke", tokens["device"]["deviceId"], "--user", "rita")
    assert statuses(tokens["device"]["token"]) == {401}
    assert statuses(kept) == {200}
    server.holdfast("user", "password", "rita", "--password-stdin", typed="a new password\n")
    assert statuses(kept) == {401}
    for each in everywhere:
        each.close()


def test_token_expires(server: Server, dav: Dav, bearer: Dav) -> None:
    """By the server's clock, to the second; the job that forgets sessions takes its row, and no other."""
    token, other = made(dav, READ, expiresIn=2), made(dav, READ)
    with_token(bearer, token["token"])
    assert bearer("GET", "/dav/").status == 200
    began = time.monotonic()
    until(lambda: bearer("GET", "/dav/").status == 401, 10, "the end")
    assert 0.5 < time.monotonic() - began < 8
    ids = {int(each["tokenId"]) for each in (token, other)}

    def kept() -> set[int]:
        return ids & {row[0] for row in rows(server, "SELECT id FROM api_token")}

    assert kept() == ids
    server.holdfast("jobs", "run", "sessions")
    until(lambda: kept() == {int(other["tokenId"])}, what="the job")


def test_logs_tell_the_token_and_never_its_secret(server: Server, dav: Dav, bearer: Dav, logs: Path) -> None:
    """By its id beside the user; also where a client put the secret elsewhere."""
    token = made(dav, READ)
    secret = token["token"]
    with_token(bearer, secret)
    bearer("GET", "/dav/logged")
    bearer("GET", f"/dav/logged-{secret}")
    bearer("GET", f"/dav/logged?access_token={secret}", headers={"Referer": secret, "User-Agent": f"me {secret}"})
    bearer("GET", "/dav/logged", headers={"Authorization": f"Bearer {secret[:-1]}0"})

    def lines() -> list[dict[str, Any]]:
        text = (logs / "access").read_text(encoding="utf-8")
        return [line for line in map(json.loads, text.splitlines()) if "/dav/logged" in line["path"]]

    until(lambda: len(lines()) == 4, what="the lines")
    assert [(line["user"], line["token"], line["status"]) for line in lines()] == [
        *[("admin", int(token["tokenId"]), 404)] * 3,
        (None, None, 401),
    ]
    assert lines()[1]["path"] == "/dav/logged-***"
    for log in (*logs.iterdir(), server.scratch / "stdout", server.scratch / "stderr"):
        assert secret[:24] not in log.read_text(encoding="utf-8")
