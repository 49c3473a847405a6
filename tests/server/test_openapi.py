"""The description of the API is what the API does: each route is in it, and a fuzzer finds nothing else."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from providers.api.app import OPEN, ROUTES
from providers.api.openapi import page
from providers.api.openapi.paths import PATHS
from providers.api.openapi.shapes import SCHEMAS
from tests.server.dav_client import Dav
from tests.server.running import ADMIN, PASSWORD, Server

SCHEMATHESIS = shutil.which("schemathesis", path=str(Path(sys.executable).parent))
CHECKS = (
    "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,"
    "response_headers_conformance"
)


def described(dav: Dav) -> dict[str, Any]:
    """As it is served, to anybody."""
    answer = dav("GET", "/api/v1/openapi.json", signed_in=False)
    assert answer.status == 200
    found: dict[str, Any] = json.loads(answer.body)
    return found


def test_every_route_is_described_and_nothing_else() -> None:
    """What is added to one is missed in the other. tus has a description of its own."""
    own = [route for route in ROUTES if not route.path.startswith("/tus/")]
    routes = {(route.path, method) for route in own for method in route.handlers}
    routes |= {(path, "GET") for path in (*OPEN, "/signed/{text}/{signature}/{name}")}
    assert {(path, method.upper()) for path, methods in PATHS.items() for method in methods} == routes


def test_descriptions_are_for_reading(dav: Dav) -> None:
    """Without signing in too; and HEAD goes where GET does."""
    for path in OPEN:
        assert dav("HEAD", f"/api/v1{path}", signed_in=False).status == 200
        answer = dav("POST", f"/api/v1{path}", b"", signed_in=False)
        assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


def test_errors_are_problems_wherever_they_are_found(dav: Dav, area: str) -> None:
    """Also those that are found before the API is asked; a type is made of words."""
    foreign = dav("POST", "/api/v1/folders", b"{}", {"Origin": "https://elsewhere.example"})
    assert (foreign.status, foreign.headers["content-type"]) == (403, "application/problem+json")
    assert json.loads(foreign.body)["type"] == "urn:holdfast:problem:denied"
    dav.ok("PUT", area + "file", b"content")
    document = json.dumps({"fileName": "x", "path": area.removeprefix("/dav") + "file"}).encode()
    refused = dav("POST", "/api/v1/folders", document)
    assert (refused.status, json.loads(refused.body)["type"]) == (409, "urn:holdfast:problem:not-a-folder")


@pytest.mark.parametrize("name", ["NewUpload", "PartList", "NewFolder", "Alteration", "Copy", "Place", "NewToken"])
def test_what_a_request_may_leave_out_may_be_null(name: str) -> None:
    """As the server reads it; what has to be there may not."""
    shape = SCHEMAS[name]
    for field, schema in shape["properties"].items():
        assert ("null" in schema["type"]) == (field not in shape["required"]), field


def test_operations_have_names_of_their_own() -> None:
    """Generators make functions of them."""
    names = [operation["operationId"] for methods in PATHS.values() for operation in methods.values()]
    assert len(names) == len(set(names))


def test_references_lead_somewhere(dav: Dav) -> None:
    """Every one of them."""
    document = described(dav)
    assert document["openapi"].startswith("3.1")
    for reference in set(re.findall(r'"#/([^"]+)"', json.dumps(document))):
        target: Any = document
        for name in reference.split("/"):
            target = target[name]
        assert target


def test_page_can_be_read(dav: Dav) -> None:
    """Without scripts; with each path; and its links lead to what is on it."""
    answer = dav("GET", "/api/v1/docs", signed_in=False)
    assert (answer.status, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert answer.headers["content-security-policy"] == page.POLICY
    assert all(path in answer.text for path in PATHS)
    ids, links = set(), set()

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            assert tag != "script"
            given = dict(attrs)
            ids.add(given.get("id"))
            links.add(given.get("href"))

    Reader().feed(answer.text)
    assert {link[1:] for link in links if link is not None and link.startswith("#")} <= ids


@pytest.mark.skipif(SCHEMATHESIS is None, reason="schemathesis is not installed")
@pytest.mark.parametrize("examples", [4, pytest.param(200, marks=[pytest.mark.soak, pytest.mark.timeout(3600)])])
def test_fuzzer_finds_nothing_that_is_not_described(server: Server, examples: int) -> None:
    """No 5xx, no status, type, header or document that the description does not have."""
    with server.dav() as dav:
        dav.ok("MKCOL", f"/dav/folder-{examples}/")
        dav.ok("PUT", f"/dav/folder-{examples}/file.txt", b"content")
    command = [
        str(SCHEMATHESIS), "run", f"{server.origin}/api/v1/openapi.json", "--auth", f"{ADMIN}:{PASSWORD}",
        "--checks", CHECKS, "--max-examples", str(examples), "--seed", "1", "--workers", "2", "--no-color",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=server.scratch, capture_output=True, text=True, timeout=3000, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
