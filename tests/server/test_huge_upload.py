"""50 GiB by the API, in parts that are larger than usual, since there would be more than 10,000 of the usual ones."""

from __future__ import annotations

import hashlib
import json
import random
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.server.api_client import ask, path_of
from tests.server.content import noise
from tests.server.running import Server

GIB = 1 << 30
PERIOD = 64 << 20
PARALLEL = 4
SLOWEST_COMPLETE_S = 0.5
Start = Callable[..., Server]


@pytest.mark.soak
@pytest.mark.parametrize("size", [50 * GIB])
def test_fifty_gibibytes_in_parts(start: Start, size: int) -> None:
    """In any order, several at a time; completed in a moment, and every byte comes back.

    The content repeats itself after 64 MiB, so the disk holds that once; each byte is sent, cut, hashed and looked up.
    """
    base = noise(PERIOD, 50)
    base += base[: 16 << 20]
    server = start(settings={"max_file_size": size})
    with server.dav(timeout=600) as dav:
        status, begun = ask(dav, "POST", "/api/v1/files", {"fileName": "huge", "fileSize": size})
        assert status == 201
        part, count = begun["chunkSize"], begun["totalChunks"]
        assert (part, count) == (6 << 20, -(-size // (6 << 20)))
        assert len(begun["partUrls"]) == 1000
        assert begun["nextPartUrls"].endswith("?firstPart=1001")
        url = f"/api/v1/uploads/{begun['uploadId']}"
        numbers = list(range(1, count + 1))
        random.Random(1).shuffle(numbers)

        def put(some: list[int]) -> None:
            with server.dav(timeout=600) as connection:
                for number in some:
                    offset = (number - 1) * part
                    at = offset % PERIOD
                    body = base[at : at + min(part, size - offset)]
                    assert ask(connection, "PUT", f"{url}/parts/{number}", body)[0] == 200

        with ThreadPoolExecutor(PARALLEL) as pool:
            list(pool.map(put, [numbers[index::PARALLEL] for index in range(PARALLEL)]))
        began = time.monotonic()
        assert ask(dav, "POST", f"{url}/complete")[0] == 200
        assert time.monotonic() - began < SLOWEST_COMPLETE_S
        wanted, found = hashlib.sha256(), hashlib.sha256()
        for offset in range(0, size, GIB):
            span = min(GIB, size - offset)
            at = offset % PERIOD
            piece = (base[:PERIOD] * (span // PERIOD + 2))[at : at + span]
            answer = dav("GET", "/dav/huge", None, {"Range": f"bytes={offset}-{offset + span - 1}"})
            assert answer.status == 206
            wanted.update(piece)
            found.update(answer.body)
        assert found.digest() == wanted.digest()
        node_id = begun["fileId"]
        told = json.loads(dav.ok("GET", f"/api/v1/files/{node_id}").body)
        assert (told["fileSize"], told["status"]) == (size, "completed")
        assert dav("HEAD", path_of(told["downloadUrl"]), signed_in=False).headers["content-length"] == str(size)
