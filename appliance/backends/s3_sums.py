"""How an S3 store is made to refuse other bytes than were sent.

The `minio` client signs SHA-256 of a body over http, and sends its MD5 over https. Both cost more than all that is done
to a blob besides, on both sides of the line. CRC-32C costs a tenth at most, and finds what lines do to bytes; who can
change them on purpose can change the answers too, and against that only TLS helps. But there are stores that do not
know it and say nothing, so each has to show first that it compares.
"""

from __future__ import annotations

import base64
import io
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import google_crc32c
from minio import Minio
from minio.error import InvalidResponseError, S3Error, ServerError

LARGE = 1_048_576
"""Bodies from this size on are worth it."""

REFUSALS = {
    "BadDigest",
    "XAmzContentSHA256Mismatch",
    "XAmzContentChecksumMismatch",
    "InvalidDigest",
}
"""What stores say when the sum is not that of the bytes."""

_HEADER = "x-amz-checksum-crc32c"
# Where the package comes without its extension, the sums of the client are faster.
_IS_FAST = google_crc32c.implementation == "c"


def sum_of(body: bytes) -> int:
    """CRC-32C."""
    value: int = google_crc32c.value(body)
    return value


class SummingMinio(Minio):
    """Within ``with_sum`` a body goes out with that CRC-32C, and with no other sum."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._mine = threading.local()

    @contextmanager
    def with_sum(self, crc: int) -> Iterator[None]:
        """For the requests of this thread that have a body."""
        self._mine.crc = crc
        try:
            yield
        finally:
            self._mine.crc = None

    # There is no public way to say how a body is signed. If the client comes to build its headers elsewhere its own
    # sums are sent, which is slower and no less safe; a test would tell.
    def _build_headers(
        self,
        host: str,
        headers: Any = None,
        body: bytes | None = None,
        creds: Any = None,
    ) -> tuple[Any, datetime]:
        crc = getattr(self._mine, "crc", None)
        if crc is None or not body or creds is None:
            return super()._build_headers(host, headers, body, creds)
        built, date = super()._build_headers(host, headers, None, creds)
        built["Content-Length"] = str(len(body))
        built["x-amz-content-sha256"] = "UNSIGNED-PAYLOAD"
        built[_HEADER] = base64.b64encode(crc.to_bytes(4)).decode()
        return built, date


def compares(store: SummingMinio, bucket: str, prefix: str, **named: Any) -> bool | None:
    """Whether the store takes a body with its CRC-32C, and says of another sum that it is wrong. Leaves nothing.

    None: it gave other reasons, which may be of the moment.

    ``prefix`` is that of a new name; ``named`` is for ``put_object``. Raises what the client raises when the store
    cannot be reached.
    """
    if not _IS_FAST:
        return False
    name, content = f"{prefix}probe-{secrets.token_hex(8)}", secrets.token_bytes(LARGE)

    def is_taken(crc: int) -> bool | None:
        try:
            with store.with_sum(crc):
                store.put_object(bucket, name, io.BytesIO(content), len(content), **named)
        except S3Error as error:
            return False if error.code in REFUSALS else None
        except (InvalidResponseError, ServerError):
            # Of something in between, which may not know the header; what the store itself says comes with the blob.
            return None
        store.remove_object(bucket, name)
        return True

    right = sum_of(content)
    wrong = is_taken(right ^ 1)
    if wrong is not False:
        return False if wrong else None
    return is_taken(right)
