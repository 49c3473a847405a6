"""Libraries that programs use for WebDAV: webdav (JavaScript), webdav4 and webdavclient3 (Python)."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.server.dav_client import Dav
from tests.server.listing import names, properties, tree
from tests.server.local_files import ODD_NAMES
from tests.server.programs import NODE_MODULES, needs
from tests.server.running import ADMIN, PASSWORD, Server

BODY = random.Random(6).randbytes(3_000_000)


@pytest.fixture(scope="module")
def options() -> dict[str, Any]:
    """The disk's sync is not what is tested here. Without a quota, S3 has no room that could be told."""
    return {"durability": "fast", "settings": {"default_quota": 1_000_000_000}}


def _run(command: list[str], folder: Path, *arguments: str) -> Any:
    """A program of the test's own; the last line that it prints is JSON."""
    result = subprocess.run(
        [*command, *arguments], cwd=folder, env={**os.environ, "HOME": str(folder)},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def _python(folder: Path, text: str, *arguments: str) -> Any:
    (folder / "program.py").write_text(text)
    return _run([sys.executable, "program.py"], folder, *arguments)


JAVASCRIPT = """\
import { createClient } from "webdav";
import { readFileSync } from "fs";
const [url, username, password, local, odd] = process.argv.slice(2);
const client = createClient(url, { username, password });
const body = readFileSync(local);
await client.createDirectory("/one/two", { recursive: true });
await client.putFileContents("/one/large", body);
const kept = await client.putFileContents("/one/large", "other", { overwrite: false });
const same = body.equals(await client.getFileContents("/one/large"));
const part = [];
for await (const piece of client.createReadStream("/one/large", { range: { start: 10, end: 19 } })) part.push(piece);
const lock = await client.lock("/one/large");
let refused = 0;
try { await client.putFileContents("/one/large", "other"); } catch (error) { refused = error.status; }
await client.unlock("/one/large", lock.token);
await client.copyFile("/one/large", "/one/two/copied");
await client.moveFile("/one/two", "/one/moved");
await client.createDirectory("/odd");
let before = "/odd/start";
await client.putFileContents(before, "odd");
for (const name of JSON.parse(odd)) {
  await client.moveFile(before, "/odd/" + name);
  before = "/odd/" + name;
  await client.copyFile(before, "/odd/copy of " + name);
}
await client.putFileContents("/gone", "gone");
await client.deleteFile("/gone");
const stat = await client.stat("/one/large");
console.log(JSON.stringify({
  kept, same, refused, part: Buffer.concat(part).toString("hex"),
  size: stat.size, etag: stat.etag,
  listed: (await client.getDirectoryContents("/odd")).map((entry) => entry.basename),
  exists: [await client.exists("/one/large"), await client.exists("/gone")],
  used: (await client.getQuota()).used,
  compliance: (await client.getDAVCompliance("/")).compliance,
}));
"""


@needs("node", "nodejs")
@pytest.mark.skipif(not (NODE_MODULES / "webdav").is_dir(), reason="the package webdav of npm is not installed")
def test_webdav_for_javascript(server: Server, dav: Dav, area: str, tmp_path: Path) -> None:
    """Folders, files, parts, locks, names that have to be encoded, quota: all through one client."""
    (tmp_path / "node_modules").symlink_to(NODE_MODULES)
    (tmp_path / "program.mjs").write_text(JAVASCRIPT)
    (tmp_path / "local").write_bytes(BODY)
    url = f"{server.url}{area.removeprefix('/dav/')}"
    told = _run(["node", "program.mjs"], tmp_path, url, ADMIN, PASSWORD, "local", json.dumps(ODD_NAMES))
    assert set(told.pop("listed")) == {ODD_NAMES[-1], *(f"copy of {name}" for name in ODD_NAMES)}
    etag = dav("HEAD", f"{area}one/large").etag
    assert told.pop("used") >= 2 * len(BODY)
    assert told == {
        "kept": False, "same": True, "refused": 423, "part": BODY[10:20].hex(), "size": len(BODY),
        "etag": etag.strip('"'), "exists": [True, False], "compliance": ["1", "2", "3", "extended-mkcol"],
    }  # fmt: skip
    assert tree(dav, f"{area}one/") == {"large": BODY, "moved/": b"", "moved/copied": BODY}
    assert names(dav, area) == {"one/", "odd/"}


WEBDAV4 = """\
import json, sys
from urllib.parse import quote
from webdav4.client import Client
url, user, password, local, odd = sys.argv[1:]
client = Client(url, auth=(user, password))
client.mkdir("one")
client.upload_file(local, "one/large")
client.upload_file(local, "one/large", overwrite=True)
client.download_file("one/large", "back")
client.copy("one/large", "one/copied")
client.move("one", "moved")
client.mkdir("odd")
before = "odd/start"
with open("small", "wb") as file:
    file.write(b"odd")
client.upload_file("small", before)
for name in json.loads(odd):
    # The library takes paths as they stand in addresses.
    client.move(before, f"odd/{quote(name)}")
    before = f"odd/{quote(name)}"
client.upload_file("small", "gone")
client.remove("gone")
with client.open("moved/large", mode="rb") as file:
    file.seek(1000)
    part = file.read(10).hex()
print(json.dumps({
    "same": open("back", "rb").read() == open(local, "rb").read(),
    "part": part,
    "size": client.content_length("moved/large"),
    "etag": client.etag("moved/large"),
    "modified": client.modified("moved/large") is not None,
    "listed": sorted(entry["name"] for entry in client.ls("moved")),
    "exists": [client.exists("moved/large"), client.exists("gone")],
}))
"""


def test_webdav4(server: Server, dav: Dav, area: str, tmp_path: Path) -> None:
    """Upload, download, parts, copy, move, listing."""
    pytest.importorskip("webdav4.client")
    (tmp_path / "local").write_bytes(BODY)
    url = f"{server.url}{area.removeprefix('/dav/')}"
    told = _python(tmp_path, WEBDAV4, url, ADMIN, PASSWORD, "local", json.dumps(ODD_NAMES))
    assert told == {
        "same": True, "part": BODY[1000:1010].hex(), "size": len(BODY), "etag": dav("HEAD", f"{area}moved/large").etag,
        "modified": True, "listed": ["moved/copied", "moved/large"], "exists": [True, False],
    }  # fmt: skip
    expected = {"moved/": b"", "moved/large": BODY, "moved/copied": BODY, "odd/": b"", f"odd/{ODD_NAMES[-1]}": b"odd"}
    assert tree(dav, area) == expected


WEBDAVCLIENT3 = """\
import json, sys
from webdav3.client import Client
url, user, password, local = sys.argv[1:]
client = Client({"webdav_hostname": url, "webdav_login": user, "webdav_password": password})
client.mkdir("one")
client.upload_sync("one/large ;#%", local)
client.download_sync("one/large ;#%", "back")
client.copy("one/large ;#%", "one/copied")
client.move("one/copied", "one/moved")
client.set_property("one/moved", {"namespace": "urn:x", "name": "colour", "value": "blue"})
client.upload_sync("gone", local)
client.clean("gone")
print(json.dumps({
    "same": open("back", "rb").read() == open(local, "rb").read(),
    "size": client.info("one/moved")["size"],
    "free": int(client.free()) > 0,
    "colour": client.get_property("one/moved", {"namespace": "urn:x", "name": "colour"}),
    "listed": sorted(client.list("one")),
    "exists": [client.check("one/moved"), client.check("gone"), client.is_dir("one")],
}))
"""


def test_webdavclient3(server: Server, dav: Dav, area: str, tmp_path: Path) -> None:
    """Upload, download, copy, move, properties, free space."""
    pytest.importorskip("webdav3.client")
    (tmp_path / "local").write_bytes(BODY)
    url = f"{server.url}{area.removeprefix('/dav/')}"
    told = _python(tmp_path, WEBDAVCLIENT3, url, ADMIN, PASSWORD, "local")
    assert {"large ;#%", "moved"} <= set(told.pop("listed"))
    assert told == {
        "same": True, "size": str(len(BODY)), "free": True, "colour": "blue", "exists": [True, False, True],
    }  # fmt: skip
    assert tree(dav, area) == {"one/": b"", "one/large ;#%": BODY, "one/moved": BODY}
    assert "D:getetag" in properties(dav, f"{area}one/moved", "D:getetag")
