"""S3 clients by themselves, with one object of the large file's bytes: what the S3 service gives without Holdfast."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import urllib3
from minio import Minio

from appliance.backends.s3_place import Credentials, Place, parse_place, read_credentials
from benchmarks.compare import temporary_folder
from benchmarks.failures import WrongAnswer
from benchmarks.payload import MIB, Payload

_MEMORY = Path("/dev/shm")


class Bare(NamedTuple):
    """A client; its ``rates`` measure by the name of a workload, in MB/s, ``put_large`` first."""

    name: str
    rates: Mapping[str, Callable[[], float]]


def clients(url: str, variables: Mapping[str, str], payload: Payload, closing: ExitStack) -> list[Bare]:
    """The `minio` client, and the S3 service's own command `mc`, if that is installed."""
    place, keys = parse_place(url), read_credentials(variables)
    found = [_python(place, keys, payload)]
    if program := shutil.which("mc"):
        # Into memory, as the others do.
        folder = closing.enter_context(temporary_folder(_MEMORY if _MEMORY.is_dir() else None))
        found.append(_mc(program, place, keys, payload, folder))
    return found


def _python(place: Place, keys: Credentials, payload: Payload) -> Bare:
    client = Minio(
        place.host, access_key=keys.access_key, secret_key=keys.secret_key, secure=place.secure,
        region=place.region, http_client=urllib3.PoolManager(maxsize=16),
    )  # fmt: skip
    name = f"{place.prefix}bare-{secrets.token_hex(4)}"

    def put_large() -> float:
        """The client sends parts side by side."""
        blob = payload.blob(0)
        began = time.perf_counter()
        with os.fdopen(os.dup(blob.descriptor), "rb") as file:
            file.seek(0)
            client.put_object(place.bucket, name, file, blob.size)
        return blob.size / (time.perf_counter() - began) / 1e6

    def get_large() -> float:
        """In one request, into the same memory as that of the other download."""
        room = payload.room(0)
        room.clear()
        at, view = 0, room.view
        began = time.perf_counter()
        response = client.get_object(place.bucket, name)
        while count := response.readinto(view[at : at + MIB]):
            at += count
        response.release_conn()
        seconds = time.perf_counter() - began
        room.require(payload.blob(0))
        return at / seconds / 1e6

    return Bare("the bare client", {"put_large": put_large, "get_large": get_large})


def _mc(program: str, place: Place, keys: Credentials, payload: Payload, folder: Path) -> Bare:
    scheme = "https" if place.secure else "http"
    variables = {**os.environ, "MC_HOST_bench": f"{scheme}://{keys.access_key}:{keys.secret_key}@{place.host}"}
    name = f"bench/{place.bucket}/{place.prefix}mc-{secrets.token_hex(4)}"
    here, back = folder / "sent", folder / "received"

    def copy(source: str, target: str) -> float:
        command = [program, "--config-dir", str(folder / "mc"), "--quiet", "cp", source, target]
        began = time.perf_counter()
        done = subprocess.run(command, env=variables, check=False, capture_output=True, text=True)
        if done.returncode != 0:
            raise WrongAnswer(f"mc: {done.stderr.strip()[:200]}")
        return payload.size / (time.perf_counter() - began) / 1e6

    def put_large() -> float:
        with os.fdopen(os.dup(payload.blob(0).descriptor), "rb") as file, here.open("wb") as sent:
            file.seek(0)
            shutil.copyfileobj(file, sent, MIB)
        rate = copy(str(here), name)
        here.unlink()
        return rate

    def get_large() -> float:
        rate = copy(name, str(back))
        if back.stat().st_size != payload.size:
            raise WrongAnswer("mc received a file of another size")
        back.unlink()
        return rate

    return Bare("mc cp", {"put_large": put_large, "get_large": get_large})
