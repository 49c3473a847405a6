"""URLs of an S3 store that need no credentials: Signature Version 4 in the query, for a GET of one range.

The `minio` client signs the header `host` alone in such a URL, so that it would give away all of an object. Here
`range` is signed as well: with another range, or without one, the store answers 403.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import quote, urlencode, urlsplit

from minio import Minio

from appliance import clock
from appliance.backends.s3_place import Credentials, Place

URL_S = 300
"""A URL holds so long."""

_ALGORITHM = "AWS4-HMAC-SHA256"
_UNSIGNED = "UNSIGNED-PAYLOAD"


class Presigner:
    """Makes URLs of one place. Any thread; it asks the store nothing."""

    def __init__(self, place: Place, credentials: Credentials, endpoint: str = "") -> None:
        """``endpoint``: scheme, host and port under which clients reach the store; empty: as this server does."""
        self._place = place._replace(endpoint=endpoint or place.endpoint)
        self._credentials = credentials
        self._base = urlsplit(_base_of(self._place))

    def url(self, key: str, start: int, length: int, seconds: int) -> str:
        """For the bytes of a range that is not empty."""
        path = self._base.path + key
        headers = {"host": self._base.netloc, "range": f"bytes={start}-{start + length - 1}"}
        now = datetime.fromtimestamp(clock.now() // clock.SECOND, UTC)
        query = sign_query(path, headers, self._credentials, self._place.region, now, seconds)
        return f"{self._base.scheme}://{self._base.netloc}{path}?{query}"


def sign_query(
    path: str, headers: Mapping[str, str], credentials: Credentials, region: str, now: datetime, seconds: int
) -> str:
    """The query that makes a GET of ``path`` with these headers (lower case) good from ``now`` on. ``path`` is written
    as in a URL.
    """
    fields = {
        "X-Amz-Algorithm": _ALGORITHM,
        "X-Amz-Credential": f"{credentials.access_key}/{_scope(now, region)}",
        "X-Amz-Date": _written(now),
        "X-Amz-Expires": str(seconds),
        "X-Amz-SignedHeaders": ";".join(sorted(headers)),
    }
    if credentials.session_token:
        fields["X-Amz-Security-Token"] = credentials.session_token
    query = urlencode(sorted(fields.items()), quote_via=quote, safe="")
    signature = sign(canonical(path, query, headers, _UNSIGNED), credentials, region, now)
    return f"{query}&X-Amz-Signature={signature}"


def canonical(path: str, query: str, headers: Mapping[str, str], payload: str) -> str:
    """A GET in the one form that both sides sign; ``payload``: the SHA-256 of its body, or that it is not signed."""
    lines = [f"{name}:{headers[name].strip()}" for name in sorted(headers)]
    return "\n".join(["GET", path, query, *lines, "", ";".join(sorted(headers)), payload])


def sign(request: str, credentials: Credentials, region: str, now: datetime) -> str:
    """The signature of a canonical request, in hexadecimal digits."""
    text = "\n".join([_ALGORITHM, _written(now), _scope(now, region), hashlib.sha256(request.encode()).hexdigest()])
    key = f"AWS4{credentials.secret_key}".encode()
    for part in (f"{now:%Y%m%d}", region, "s3", "aws4_request", text):
        key = hmac.digest(key, part.encode(), hashlib.sha256)
    return key.hex()


def _scope(now: datetime, region: str) -> str:
    return f"{now:%Y%m%d}/{region}/s3/aws4_request"


def _written(now: datetime) -> str:
    return f"{now:%Y%m%dT%H%M%SZ}"


def _base_of(place: Place) -> str:
    """What the URL of every object of the place begins with: the client knows how AWS and others name their hosts.

    Keys and prefixes consist of characters that stand in a URL as they are.
    """
    client = Minio(place.host, secure=place.secure, region=place.region)
    if place.style == "virtual":
        client.enable_virtual_style_endpoint()  # type: ignore[no-untyped-call]
    else:
        client.disable_virtual_style_endpoint()  # type: ignore[no-untyped-call]
    # Without keys it signs nothing.
    return client.get_presigned_url("GET", place.bucket, f"{place.prefix}-").removesuffix("-")
