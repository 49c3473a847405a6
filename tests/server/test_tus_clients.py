"""Clients of tus that people use: tus-js-client (Node.js, what Uppy is built on) and tuspy (Python)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.server.content import noise
from tests.server.dav_client import Dav
from tests.server.programs import NODE_MODULES, find
from tests.server.running import ADMIN, PASSWORD, Server

MIB = 1_048_576
CONTENT = noise(24 * MIB + 7, seed=41)


@pytest.fixture(scope="module")
def options() -> dict[str, Any]:
    """The disk's sync is not what is tested here."""
    return {"durability": "fast"}


# Each event is a line of JSON. An option that is null is left to the library. An upload of the same file that it finds
# is gone on with.
JAVASCRIPT = """\
import { Upload, FileUrlStorage } from "tus-js-client";
import { createReadStream, statSync } from "fs";
const [endpoint, user, password, local, stored, more] = process.argv.slice(2);
const say = (event) => console.log(JSON.stringify(event));
const file = createReadStream(local);
const options = {
  endpoint,
  chunkSize: 1048576,
  uploadSize: statSync(local).size,
  retryDelays: [100, 200],
  urlStorage: new FileUrlStorage(stored),
  storeFingerprintForResuming: true,
  headers: { Authorization: "Basic " + Buffer.from(user + ":" + password).toString("base64") },
  onUploadUrlAvailable: () => say({ url: upload.url }),
  onChunkComplete: (size, done) => say({ done }),
  onError: (error) => { say({ error: String(error) }); process.exit(1); },
  onSuccess: () => { say({ success: true }); },
  ...JSON.parse(more),
};
for (const name in options) if (options[name] === null) delete options[name];
const upload = new Upload(file, options);
const before = await upload.findPreviousUploads();
say({ previous: before.length });
if (before.length) upload.resumeFromPreviousUpload(before[0]);
upload.start();
"""

needs_tus_js = pytest.mark.skipif(
    find("node") is None or not (NODE_MODULES / "tus-js-client").is_dir(),
    reason="Node.js and its package tus-js-client are not installed",
)


class TusJs:
    """The library in a program, one upload each."""

    def __init__(self, folder: Path, server: Server) -> None:
        self._folder = folder
        self._url = f"{server.origin}/api/v1/tus/"
        (folder / "node_modules").symlink_to(NODE_MODULES)
        (folder / "program.mjs").write_text(JAVASCRIPT)
        (folder / "local").write_bytes(CONTENT)

    def begin(self, **more: object) -> subprocess.Popen[str]:
        """An upload that goes on in the background."""
        return subprocess.Popen(
            ["node", "program.mjs", self._url, ADMIN, PASSWORD, "local", "stored.json", json.dumps(more)],
            cwd=self._folder, env={**os.environ, "HOME": str(self._folder)},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def events(self, **more: object) -> list[dict[str, Any]]:
        """Of an upload to its end."""
        with self.begin(**more) as process:
            said, _ = process.communicate(timeout=60)
        return [json.loads(line) for line in said.splitlines()]


@pytest.fixture
def tus_js(tmp_path: Path, server: Server) -> TusJs:
    """Against the shared server."""
    return TusJs(tmp_path, server)


@needs_tus_js
def test_tus_js_that_is_killed_goes_on_from_its_stored_url(tus_js: TusJs, dav: Dav) -> None:
    """Not from the beginning, and the file is whole."""
    noted = {"filename": "by tus-js", "filetype": "x/own"}
    with tus_js.begin(metadata=noted) as process:
        assert process.stdout is not None
        done = 0
        for line in process.stdout:
            done = json.loads(line).get("done", 0)
            if done >= 5 * MIB:
                break
        process.send_signal(signal.SIGKILL)
    assert 5 * MIB <= done < len(CONTENT)
    assert dav("GET", "/dav/by%20tus-js").status == 404
    said = tus_js.events(metadata=noted)
    assert said[0] == {"previous": 1}
    assert said[-1] == {"success": True}
    sent = [event["done"] for event in said if "done" in event]
    assert sent[0] > 5 * MIB
    assert len(sent) < 21
    assert dav.ok("GET", "/dav/by%20tus-js").body == CONTENT


@needs_tus_js
@pytest.mark.parametrize(
    "more",
    [
        {"overridePatchMethod": True},
        {"uploadDataDuringCreation": True},
        {"chunkSize": None},
        {"parallelUploads": 3, "uploadSize": None},
    ],
    ids=["overridden", "with-creation", "one-request", "parallel"],
)
def test_tus_js_sends_it_in_every_way(tus_js: TusJs, dav: Dav, more: dict[str, Any]) -> None:
    """By POST alone, with the first request, in one request, and in three partial uploads at a time."""
    name = "-".join(more)
    said = tus_js.events(metadata={"filename": name}, **more)
    assert said[-1] == {"success": True}, said
    assert dav.ok("GET", f"/dav/{name}").body == CONTENT


@needs_tus_js
def test_tus_js_hears_that_a_name_is_taken(tus_js: TusJs, dav: Dav) -> None:
    """Also if it is taken while the upload goes on: the client must not believe that its file is there."""
    dav.ok("PUT", "/dav/taken", b"taken")
    said = tus_js.events(metadata={"filename": "taken"})
    assert "409" in said[-1]["error"]
    with tus_js.begin(metadata={"filename": "free"}) as process:
        assert process.stdout is not None
        lines = iter(process.stdout)
        assert any('"done"' in line for line in lines)
        dav.ok("PUT", "/dav/free", b"taken")
        last = [json.loads(line) for line in lines][-1]
    assert "409" in last["error"]
    assert dav.ok("GET", "/dav/free").body == b"taken"


TUSPY = """\
import sys
from tusclient.client import TusClient
from tusclient.storage.filestorage import FileStorage
endpoint, authorization, local, chunks = sys.argv[1:]
uploader = TusClient(endpoint, headers={"Authorization": authorization}).uploader(
    local, chunk_size=1 << 20, metadata={"filename": "by tuspy"}, store_url=True,
    url_storage=FileStorage("urls.json"), upload_checksum=True,
)
print(uploader.offset, flush=True)
uploader.upload(stop_at=int(chunks) << 20 or None)
print(uploader.offset, flush=True)
"""


def test_tuspy_goes_on_where_it_stopped(server: Server, dav: Dav, tmp_path: Path) -> None:
    """Each request with a checksum; in a second process, from the URL that the first one has stored."""
    (tmp_path / "program.py").write_text(TUSPY)
    (tmp_path / "local").write_bytes(CONTENT)

    def run(chunks: int) -> list[int]:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "program.py", f"{server.origin}/api/v1/tus/", dav.authorization, "local",
             str(chunks)],
            cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return [int(line) for line in done.stdout.split()]

    assert run(7) == [0, 7 * MIB]
    assert dav("GET", "/dav/by%20tuspy").status == 404
    assert run(0) == [7 * MIB, len(CONTENT)]
    assert dav.ok("GET", "/dav/by%20tuspy").body == CONTENT
