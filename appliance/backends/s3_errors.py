"""What an S3 store, or the way to it, says when something fails, in the product's words.

Nothing of an answer is passed on but its code and its short message: neither a page of some proxy nor a header.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http.client import IncompleteRead
from typing import Final
from xml.etree import ElementTree as ET

from minio.error import InvalidResponseError, MinioException, S3Error, ServerError
from urllib3 import exceptions as http

from appliance.backends.s3_place import ACCESS_KEY, SECRET_KEY, Place
from appliance.backends.s3_sums import REFUSALS
from appliance.errors import BackendError, BlobMissing, HoldfastError, StorageFull

FOREIGN: Final = (MinioException, http.HTTPError, OSError, ET.ParseError, ValueError)
"""All that a call of the client raises on its own."""

_FULL = {"XMinioStorageFull", "QuotaExceeded", "XMinioAdminBucketQuotaExceeded", "InsufficientStorage", "DiskFull"}
_INSUFFICIENT_STORAGE = 507
# MinIO has a code for its threshold, and calls what happens at the last block an internal error with this cause.
_FULL_DISK = "no space left on device"
# Clauses that follow the name of the store.
_CLAUSES = {
    "InvalidAccessKeyId": f"does not know the access key; see {ACCESS_KEY}",
    # versitygw's word for it
    "XAdminUserNotFound": f"does not know the access key; see {ACCESS_KEY}",
    "SignatureDoesNotMatch": f"refuses the signature: the secret key does not fit the access key; see {SECRET_KEY}",
    "AccessDenied": "denies access to the bucket {bucket}: the keys are wrong, or lack a right that docs/s3.md lists",
    "ExpiredToken": "says that the session token has expired",
    "InvalidToken": "does not know the session token",
    "NoSuchBucket": "has no bucket {bucket}",
    "PermanentRedirect": "has the bucket {bucket} in another region or at another address",
    "AuthorizationHeaderMalformed": "has the bucket {bucket} in another region than {region}",
    "InvalidRegion": "is another region than {region}",
}
# What arrived was not what was sent: worth to send again.
_BROKEN_ON_THE_WAY = {*REFUSALS, "IncompleteBody"}
_TEMPORARY = {
    "SlowDown",
    "SlowDownRead",
    "SlowDownWrite",
    "ServiceUnavailable",
    "InternalError",
    "RequestTimeout",
    "OperationAborted",
    "TooManyRequests",
    "ThrottlingException",
    "XMinioServerNotInitialized",
    # No key is a folder of others: to versitygw one is for a moment, while the last blob of a folder is deleted.
    "ExistingObjectIsDirectory",
}
_SKEWED = "RequestTimeTooSkewed"
# Stores take requests whose clock is off by 15 minutes at most.
_SKEW = timedelta(minutes=15)
_DENIED = 403
_TOO_MANY = 429
_NOT_IMPLEMENTED = 501


def is_missing(error: S3Error) -> bool:
    """Whether the store says, itself and in so many words, that the bucket is there and the blob is not."""
    return error.code == "NoSuchKey" and bool(error.response.data)


def is_behind_the_end(error: S3Error) -> bool:
    """Whether the blob is there and ends before the range."""
    return error.code == "InvalidRange"


def translate(error: Exception, key: str, place: Place) -> HoldfastError:
    """The product's error for one of ``FOREIGN``."""
    if isinstance(error, S3Error):
        return _refused(error, key, place)
    if isinstance(error, (InvalidResponseError, ServerError)):
        return _unexplained(_status(error), key, place)
    if isinstance(error, (ET.ParseError, ValueError)) and not isinstance(error, (http.HTTPError, OSError)):
        return BackendError(key=key, reason=f"{place.store} gives answers that are none of S3 ({type(error).__name__})")
    untrusted = next((cause for cause in _causes(error) if isinstance(cause, ssl.SSLCertVerificationError)), None)
    if untrusted is not None:
        reason = f"the certificate of {place.store} is not trusted: {untrusted.verify_message}"
        return BackendError(key=key, reason=reason)
    return BackendError(key=key, reason=f"{place.store} does not answer: {_short(error)}", temporary=True)


def _refused(error: S3Error, key: str, place: Place) -> HoldfastError:
    code, status = error.code or "", error.response.status
    if code in _FULL or status == _INSUFFICIENT_STORAGE or _FULL_DISK in (error.message or ""):
        return StorageFull()
    if is_missing(error):
        return BlobMissing(key=key)
    theirs = _clock_of(error)
    if code == _SKEWED or (status == _DENIED and theirs is not None and abs(theirs - _now()) > _SKEW):
        there = f"{theirs:%Y-%m-%dT%H:%M:%SZ}" if theirs else "another time"
        clause = f"refuses requests since the clocks differ: here it is {_now():%Y-%m-%dT%H:%M:%SZ}, there {there}"
        return BackendError(key=key, reason=f"{place.store} {clause}")
    if code in _BROKEN_ON_THE_WAY:
        return BackendError(key=key, reason=f"{place.store} received other bytes than were sent", temporary=True)
    if code in _CLAUSES:
        clause = _CLAUSES[code].format(bucket=place.bucket, region=place.region)
        return BackendError(key=key, reason=f"{place.store} {clause}")
    said = f"{code} {(error.message or '')[:200]}".strip() or f"status {status}"
    return BackendError(
        key=key, reason=f"{place.store} answers {said}", temporary=code in _TEMPORARY or _passes(status)
    )


def _unexplained(status: int, key: str, place: Place) -> HoldfastError:
    """An answer without S3's explanation: of a proxy, or of something that is no S3 store."""
    if status == _INSUFFICIENT_STORAGE:
        return StorageFull()
    reason = f"{place.store} answers status {status}"
    if not _passes(status):
        reason += " without an explanation, which no S3 store does; is the endpoint the right one?"
    return BackendError(key=key, reason=reason, temporary=_passes(status))


def _passes(status: int) -> bool:
    """Whether a request that got this may pass later."""
    return status == _TOO_MANY or (status >= 500 and status != _NOT_IMPLEMENTED)


def _status(error: InvalidResponseError | ServerError) -> int:
    if isinstance(error, ServerError):
        return error.status_code
    # The client has it, and offers it nowhere else.
    return int(getattr(error, "_code", 0))


def _clock_of(error: S3Error) -> datetime | None:
    try:
        return parsedate_to_datetime(error.response.headers.get("Date", ""))
    except ValueError:
        return None


def _now() -> datetime:
    return datetime.now(UTC)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error, what it was raised from, and what it carries as an argument, as HTTP libraries do."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        found = waiting.pop()
        if id(found) in seen:
            continue
        seen.add(id(found))
        yield found
        nested = [*found.args, getattr(found, "reason", None), found.__cause__, found.__context__]
        waiting += [other for other in nested if isinstance(other, BaseException)]


def _short(error: Exception) -> str:
    causes = list(_causes(error))
    if any(isinstance(cause, http.NameResolutionError) for cause in causes):
        return "its name is not known"
    # One that was refused is a timeout to urllib3 as well.
    refused = any(isinstance(cause, http.NewConnectionError) for cause in causes)
    if not refused and any(isinstance(cause, TimeoutError | http.TimeoutError) for cause in causes):
        return "it took too long"
    said = [cause.strerror for cause in causes if isinstance(cause, OSError) and cause.strerror]
    if said:
        return said[-1]
    if any(isinstance(cause, http.IncompleteRead | IncompleteRead) for cause in causes):
        return "its answer ended early"
    return "the connection broke off"
