"""The S3 backend beside the bare client: what gathering, bounds and checks cost."""

from __future__ import annotations

import io
import os
import secrets
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import urllib3
from minio import Minio

from appliance.backends.s3 import S3Backend
from appliance.backends.s3_place import Credentials, Place, parse_place, read_credentials
from benchmarks.failures import WrongAnswer

_BLOCK = 1024**2
_LEAST_PART = 5 * 1024**2

Put = Callable[[str, bytes], object]
Get = Callable[[str, int], bytes]


class Way(NamedTuple):
    """One of the two that are compared."""

    put: Put
    get: Get


class Figure(NamedTuple):
    """Of one size and one number of threads; megabytes are of 10⁶ bytes."""

    method: str
    size: int
    threads: int
    backend: float
    bare: float
    ratio: float
    """Backend to bare client; the median of the rounds' ratios."""

    def __str__(self) -> str:
        what = f"{self.method} of {self.size // 1024**2} MiB, {self.threads} at a time"
        return f"{what:28} {self.ratio:5.2f}   ({self.backend:.0f} MB/s, bare client {self.bare:.0f} MB/s)"


def measure_s3(
    url: str,
    *,
    rounds: int = 5,
    sizes: tuple[int, ...] = (8, 32),
    threads: tuple[int, ...] = (1, 4),
    bytes_each: int = 256 * 1024**2,
    variables: Mapping[str, str] = os.environ,
) -> list[Figure]:
    """Put and get below a new prefix of the place ``url``, which is empty again at the end. ``sizes`` are MiB."""
    place = parse_place(url)
    place = place._replace(prefix=f"{place.prefix}benchmark-{secrets.token_hex(4)}/")
    credentials = read_credentials(variables)
    backend = S3Backend(place, credentials)
    backend.probe()
    ways = [_of_backend(backend), _of_client(place, credentials)]
    figures: list[Figure] = []
    for size in (mebibytes * 1024**2 for mebibytes in sizes):
        for count in threads:
            blobs = max(bytes_each // size, count)
            figures += _measure(ways, backend, size, count, blobs, rounds)
    return figures


def _of_backend(backend: S3Backend) -> Way:
    def put(key: str, content: bytes) -> object:
        view = memoryview(content)
        return backend.put(key, (view[start : start + _BLOCK] for start in range(0, len(content), _BLOCK)))

    return Way(put, lambda key, size: backend.get(key, 0, size))


def _of_client(place: Place, credentials: Credentials) -> Way:
    client = Minio(
        place.host,
        access_key=credentials.access_key,
        secret_key=credentials.secret_key,
        secure=place.secure,
        region=place.region,
        http_client=urllib3.PoolManager(maxsize=16),
    )

    def put(key: str, content: bytes) -> object:
        part = max(len(content), _LEAST_PART)
        return client.put_object(place.bucket, place.prefix + key, io.BytesIO(content), len(content), part_size=part)

    def get(key: str, size: int) -> bytes:
        response = client.get_object(place.bucket, place.prefix + key, 0, size)
        try:
            return response.read()
        finally:
            response.release_conn()

    return Way(put, get)


def _measure(ways: list[Way], backend: S3Backend, size: int, threads: int, blobs: int, rounds: int) -> Iterator[Figure]:
    rates: dict[str, list[list[float]]] = {"put": [[], []], "get": [[], []]}
    content = secrets.token_bytes(size)
    for turn in range(rounds):
        # Another one begins each time.
        for way in (0, 1) if turn % 2 else (1, 0):
            keys = [f"{turn}/{way}/{number}" for number in range(blobs)]
            with ThreadPoolExecutor(threads) as pool:
                began = time.perf_counter()
                list(pool.map(lambda key, way=way: ways[way].put(key, content), keys))
                rates["put"][way].append(_rate(size * blobs, began))
                began = time.perf_counter()
                lengths = set(pool.map(lambda key, way=way: len(ways[way].get(key, size)), keys))
                rates["get"][way].append(_rate(size * blobs, began))
            if lengths != {size} or ways[way].get(keys[0], size) != content:
                raise WrongAnswer("other bytes came back than were put")
            for key in keys:
                backend.delete(key)
    for method, (of_backend, of_client) in rates.items():
        ratio = statistics.median(one / other for one, other in zip(of_backend, of_client, strict=True))
        yield Figure(method, size, threads, statistics.median(of_backend), statistics.median(of_client), ratio)


def _rate(size: int, began: float) -> float:
    return size / (time.perf_counter() - began) / 1e6
