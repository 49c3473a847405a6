"""Blobs as objects of an S3 bucket: the key, behind the place's prefix, is the object's name.

Four calls are enough: PutObject with a known length, GetObject with a range, DeleteObject and ListObjectsV2; HeadObject
is a fifth that costs the store less than a read. A store that is offline, or is another one, never looks like one
without blobs: a blob is missing only if the store says so in S3's own words.
"""

from __future__ import annotations

import io
import os
import re
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Protocol, TypeVar

from minio import Minio
from minio.error import MinioException, S3Error
from urllib3.response import BaseHTTPResponse

from appliance.backends.base import REMOTE, Backend, Blob, Buffer, Held, Source, check_key
from appliance.backends.gather import Gathered, Room
from appliance.backends.s3_client import Client, Encryption, Limits
from appliance.backends.s3_errors import FOREIGN, is_behind_the_end, is_missing, translate
from appliance.backends.s3_place import Credentials, Place
from appliance.backends.s3_presign import URL_S, Presigner
from appliance.backends.s3_sums import LARGE, SummingMinio, sum_of
from appliance.errors import BackendError, BlobMissing

_T = TypeVar("_T")
# Above it the client would cut a blob into parts; no store takes more in one request.
_LARGEST = 5 * 1024**3
# The client demands this much, whatever the size of the blob is.
_LEAST_PART = 5 * 1024**2
_RANGE = re.compile(r"bytes ([0-9]+)-([0-9]+)/([0-9]+|\*)")
_OK, _PARTIAL = 200, 206


class Again(Protocol):
    """Makes a request, and makes it again while that can help."""

    def __call__(self, key: str, request: Callable[[], _T], /) -> _T: ...


def once(key: str, request: Callable[[], _T], /) -> _T:
    """No second attempt."""
    return request()


class S3Backend(Backend):
    """A bucket, or a part of one. Usable after a fork: each process has connections of its own."""

    habits = REMOTE

    def __init__(
        self,
        place: Place,
        credentials: Credentials,
        *,
        limits: Limits | None = None,
        scratch: Path | None = None,
        again: Again = once,
        presigner: Presigner | None = None,
    ) -> None:
        """Asks the store nothing; ``probe`` does.

        ``scratch`` is a folder, best on a disk, for blocks that memory has no room for (None: where temporary files
        lie). ``again`` is for sending a put: only here are its blocks at hand for a second attempt.
        Without ``presigner`` no URL is given to anybody.
        """
        self.place = place
        self._credentials = credentials
        self._limits = limits or Limits()
        self._scratch = scratch
        self._again = again
        self._presigner = presigner
        self._sse = Encryption(place) if place.sse else None
        self._clients: dict[int, Client] = {}

    def put(self, key: str, blocks: Iterable[Buffer]) -> int:
        check_key(key)
        with Gathered(self._client().room, key) as gathered:
            for block in blocks:
                gathered.add(block)
            if gathered.size > _LARGEST:
                raise BackendError(key=key, reason=f"{gathered.size} bytes are more than an S3 store takes at once")
            self._again(key, lambda: self._send(key, gathered))
            return gathered.size

    def _send(self, key: str, gathered: Gathered) -> None:
        with gathered.content() as content, self._asking(key) as store, self._summed(store, content, gathered.size):
            written = store.put_object(
                self.place.bucket,
                self.place.prefix + key,
                content,
                gathered.size,
                sse=self._sse,
                part_size=max(gathered.size, _LEAST_PART),
            )
            if not written.etag:
                raise BackendError(key=key, reason=f"{self.place.store} says OK to a PUT as no S3 store does")

    def _summed(self, store: SummingMinio, content: io.BytesIO, size: int) -> AbstractContextManager[None]:
        """In it, the store refuses other bytes than these (appliance.backends.s3_sums)."""
        if size < LARGE or not self._client().compares(sse=self._sse):
            return nullcontext()
        # The value of what nobody wrote to is not copied; a view of it would be.
        return store.with_sum(sum_of(content.getvalue()))

    def get(self, key: str, start: int, length: int) -> bytes:
        check_key(key)
        if not length:
            size = self.head(key)
            if size is None or start > size:
                raise BlobMissing(key=key) if size is None else BlobMissing(key=key, reason=f"ends before {start}")
            return b""
        with self._asking(key) as store:
            try:
                response = store.get_object(self.place.bucket, self.place.prefix + key, start, length)
            except S3Error as error:
                if is_behind_the_end(error):
                    raise BlobMissing(key=key, reason=f"ends before {start + length}") from error
                raise
            with _closing(response):
                self._check_range(response, key, start, length)
                data = response.read(decode_content=False)
        if len(data) != length:
            raise BackendError(key=key, reason=f"{len(data)} bytes came instead of {length}", temporary=True)
        return data

    def get_up_to(self, key: str, start: int, length: int) -> Buffer:
        if not length:
            return super().get_up_to(key, start, length)
        return self.receive(key, start, length, lambda source: source.read(length))

    def receive(self, key: str, start: int, length: int, take: Callable[[Source], _T]) -> _T:
        check_key(key)
        if not length:
            return super().receive(key, start, length, take)
        # What ``take`` raises is not the store's, so it is never called where the store's errors are translated.
        with self._client().connected(key) as store:
            response = self._open(store, key, start, length)
            if response is None:
                return take(Held(b""))
            with _closing(response):
                wanted = self._wanted(response, key, start, length)
                if wanted is not None:
                    source = _Incoming(response, key, wanted, self._translated)
                    taken = take(source)
                    source.finish()
                    return taken
                response.close()
        return take(Held(super().get_up_to(key, start, length)))

    def _wanted(self, response: BaseHTTPResponse, key: str, start: int, length: int) -> int | None:
        """How many bytes come of those asked for; None: whether the blob ends with them cannot be told."""
        with self._translated(key):
            first, last, total = _range_of(response)
            if total is None:
                return length if (first, last) == (start, start + length - 1) else None
            if not total and first == 0:
                # Some stores give all of an empty blob, whatever range was asked for.
                return 0
            wanted = min(start + length, total) - start
            self._check_range(response, key, start, wanted)
            return wanted

    def _open(self, store: Minio, key: str, start: int, length: int) -> BaseHTTPResponse | None:
        """The answer to a GET; None: the blob ends before."""
        with self._translated(key):
            try:
                return store.get_object(self.place.bucket, self.place.prefix + key, start, length)
            except S3Error as error:
                if is_behind_the_end(error):
                    return None
                raise

    def _check_range(self, response: BaseHTTPResponse, key: str, start: int, length: int) -> None:
        """Refuse an answer that holds other bytes than were asked for."""
        first, last, total = _range_of(response)
        partial = response.status == _PARTIAL
        # Some stores give all of an empty blob, whatever range was asked for.
        if total is not None and start + length > total and (partial or not total):
            raise BlobMissing(key=key, reason=f"ends at {total}, before {start + length}")
        if (first, last) != (start, start + length - 1):
            reason = f"{self.place.store} answers bytes {first} to {last} instead of {start} to {start + length - 1}"
            raise BackendError(key=key, reason=reason, temporary=partial)

    @property
    def url_s(self) -> int:
        return 0 if self._presigner is None else URL_S

    def presign(self, key: str, start: int, length: int, seconds: int) -> str | None:
        check_key(key)
        if self._presigner is None or length < 1 or not 1 <= seconds <= URL_S:
            return None
        return self._presigner.url(key, start, length, seconds)

    def head(self, key: str) -> int | None:
        check_key(key)
        with self._asking(key) as store:
            try:
                found = store.stat_object(self.place.bucket, self.place.prefix + key)
            except (MinioException, ValueError):
                found = None
        if found is None:
            return self._size_by_get(key)
        if not found.etag or "content-length" not in (found.metadata or {}):
            raise BackendError(key=key, reason=f"{self.place.store} answers HEAD as no S3 store does")
        return found.size

    def _size_by_get(self, key: str) -> int | None:
        """The size, when HEAD has failed: unlike its answer, that to GET says why."""
        with self._asking(key) as store:
            try:
                response = store.get_object(self.place.bucket, self.place.prefix + key, 0, 1)
            except S3Error as error:
                if is_missing(error):
                    return None
                if is_behind_the_end(error):
                    return 0
                raise
            with _closing(response):
                total = _range_of(response)[2]
                if total is None or response.status != _PARTIAL:
                    raise ValueError("an answer that does not tell the size, or is no range")
                response.read()
                return total

    def delete(self, key: str) -> None:
        check_key(key)
        with self._asking(key) as store:
            try:
                store.remove_object(self.place.bucket, self.place.prefix + key)
            except S3Error as error:
                if not is_missing(error):
                    raise

    def list(self, prefix: str) -> Iterator[Blob]:
        if {"", ".", ".."} & set(prefix.split("/")[:-1]) or prefix.rpartition("/")[2] in (".", ".."):
            # No key begins so, and stores refuse such names.
            return
        with self._asking(prefix or "*") as store:
            objects = store.list_objects(self.place.bucket, self.place.prefix + prefix, recursive=True)
        last = ""
        while True:
            # Every thousandth step is a request.
            with self._asking(prefix or "*"):
                found = next(objects, None)
            if found is None:
                return
            key = (found.object_name or "").removeprefix(self.place.prefix)
            if not key or key.endswith("/"):
                # Consoles mark folders by such objects.
                continue
            if key <= last or not key.startswith(prefix) or found.size is None:
                raise BackendError(key=prefix or "*", reason=f"{self.place.store} does not list keys in their order")
            last = key
            yield Blob(key, found.size)

    def probe(self) -> None:
        """Write a small blob, find and read it, delete it.

        Raises:
            BackendError, StorageFull: what of it does not work, and why.
        """
        key, content = f"probe-{secrets.token_hex(8)}", secrets.token_bytes(64)
        self.put(key, [content])
        try:
            if self.get(key, 1, 62) != content[1:63] or self.head(key) != 64:
                raise BackendError(key=key, reason=f"{self.place.store} gives back other bytes than were put")
            if [blob.key for blob in self.list(key)] != [key]:
                raise BackendError(key=key, reason=f"{self.place.store} does not list what was put")
        finally:
            self.delete(key)
        if self.head(key) is not None:
            raise BackendError(key=key, reason=f"{self.place.store} still has what was deleted")

    @contextmanager
    def _asking(self, key: str) -> Iterator[SummingMinio]:
        """The client for one request, with its errors in the product's words."""
        with self._client().connected(key) as store, self._translated(key):
            yield store

    @contextmanager
    def _translated(self, key: str) -> Iterator[None]:
        try:
            yield
        except FOREIGN as error:
            raise translate(error, key, self.place) from error

    def _client(self) -> Client:
        """This process's; those of the process that it was forked from are dropped."""
        process = os.getpid()
        client = self._clients.get(process)
        if client is None:
            room = Room(self._limits.memory_bytes, self._scratch)
            client = Client(self.place, self._credentials, self._limits, room)
            self._clients = {process: self._clients.setdefault(process, client)}
            client = self._clients[process]
        return client


class _Incoming(Source):
    """What is left of an answer. Raises BackendError when it ceases to come."""

    def __init__(
        self,
        response: BaseHTTPResponse,
        key: str,
        left: int,
        translated: Callable[[str], AbstractContextManager[None]],
    ) -> None:
        self.left = left
        self._response = response
        self._key = key
        self._translated = translated

    def read(self, size: int) -> Buffer:
        wanted = min(size, self.left)
        if not wanted:
            return b""
        with self._translated(self._key):
            data = self._response.read(wanted, decode_content=False)
        if len(data) != wanted:
            raise BackendError(key=self._key, reason=f"{len(data)} bytes came instead of {wanted}", temporary=True)
        self.left -= wanted
        return data

    def finish(self) -> None:
        """The connection is for others, unless something of the answer may still come."""
        with self._translated(self._key):
            if self.left or self._response.read(1, decode_content=False):
                self._response.close()


@contextmanager
def _closing(response: BaseHTTPResponse) -> Iterator[None]:
    """Give the connection back for others, if its answer was read to its end; else it cannot be used again."""
    try:
        yield
    except BaseException:
        response.close()
        raise
    finally:
        response.release_conn()


def _range_of(response: BaseHTTPResponse) -> tuple[int, int, int | None]:
    """First and last byte of what an answer holds, and the size of the blob."""
    if not response.headers.get("ETag"):
        raise ValueError("an answer to GET without an ETag")
    if response.status == _PARTIAL:
        found = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if found is None:
            raise ValueError("an answer of a range without its range")
        total = None if found[3] == "*" else int(found[3])
        return int(found[1]), int(found[2]), total
    if response.status == _OK and response.headers.get("Content-Length", "").isdecimal():
        size = int(response.headers["Content-Length"])
        return 0, size - 1, size
    raise ValueError("an answer without a length")
