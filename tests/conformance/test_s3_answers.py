"""What the S3 backend makes of answers that no real store gives on demand."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import pytest

from appliance.backends.base import Source
from appliance.backends.s3 import S3Backend
from appliance.backends.s3_place import Credentials, Place
from appliance.errors import BackendError, BlobMissing, HoldfastError, StorageFull

XML = {"Content-Type": "application/xml"}
PAGE = {"Content-Type": "text/html"}
HTML = b"<html><body>Please sign in</body></html>"


class Answer(NamedTuple):
    """One for each request."""

    status: int
    headers: Mapping[str, str]
    body: bytes = b""


class Store(http.server.ThreadingHTTPServer):
    """Gives one answer to whatever it is asked, or one for each method."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = Answer(200, {})
        self.by_method: dict[str, Answer] = {}
        self.asked: list[str] = []
        self.connections = 0
        self.late_s = 0.0

    def backend(self) -> S3Backend:
        return S3Backend(Place("bucket", endpoint=f"http://127.0.0.1:{self.server_port}"), Credentials("a", "b"))


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Store

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def answer(self) -> None:
        self.server.asked.append(self.command)
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        status, headers, body = self.server.by_method.get(self.command, self.server.answer)
        self.send_response(status)
        chunked = "Transfer-Encoding" in headers
        length = {} if chunked else {"Content-Length": str(len(body))}
        for name, value in {**length, "Connection": "close", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(b"%x\r\n%s\r\n" % (len(body), body) if chunked else body)
            if chunked:
                time.sleep(self.server.late_s)
                self.wfile.write(b"0\r\n\r\n")

    do_GET = do_PUT = do_HEAD = do_DELETE = answer  # noqa: N815 (named by the library)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def store() -> Iterator[Store]:
    """One that is told what to answer."""
    with Store() as made:
        threading.Thread(target=made.serve_forever, args=(0.05,), daemon=True).start()
        yield made
        made.shutdown()


def error(code: str, status: int, message: str = "some message") -> Answer:
    """As S3 words it."""
    text = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
    return Answer(status, XML, text.encode())


CALLS: dict[str, Callable[[S3Backend], object]] = {
    "put": lambda backend: backend.put("a", [b"x"]),
    "get": lambda backend: backend.get("a", 0, 10),
    "head": lambda backend: backend.head("a"),
    "delete": lambda backend: backend.delete("a"),
    "list": lambda backend: list(backend.list("")),
}
every_call = pytest.mark.parametrize("name", CALLS)


def raised(store: Store, name: str) -> HoldfastError:
    """What a call makes of the answer."""
    with pytest.raises(HoldfastError) as caught:
        CALLS[name](store.backend())
    return caught.value


@every_call
@pytest.mark.parametrize(
    "answer, kind, temporary, said",
    [
        (error("SlowDown", 503), BackendError, True, "SlowDown some message"),
        (error("InternalError", 500), BackendError, True, "InternalError"),
        (error("ExistingObjectIsDirectory", 409), BackendError, True, "ExistingObjectIsDirectory"),
        (error("SomethingNew", 503), BackendError, True, "SomethingNew"),
        (error("SomethingNew", 429), BackendError, True, "SomethingNew"),
        (error("SomethingNew", 400), BackendError, False, "SomethingNew some message"),
        (error("AccessDenied", 403), BackendError, False, "denies access to the bucket bucket"),
        (error("NoSuchBucket", 404), BackendError, False, "has no bucket bucket"),
        (error("NoSuchBucket", 409), BackendError, False, "has no bucket bucket"),
        (error("PermanentRedirect", 301), BackendError, False, "in another region"),
        (error("AuthorizationHeaderMalformed", 400), BackendError, False, "in another region than us-east-1"),
        (error("ExpiredToken", 400), BackendError, False, "session token has expired"),
        (error("NotImplemented", 501), BackendError, False, "NotImplemented"),
        (error("XMinioStorageFull", 507), StorageFull, None, "no room left"),
        (error("QuotaExceeded", 403), StorageFull, None, "no room left"),
        (Answer(507, PAGE, HTML), StorageFull, None, "no room left"),
        (Answer(502, PAGE, HTML), BackendError, True, "answers status 502"),
        (Answer(503, {}), BackendError, True, "status 503"),
        (Answer(429, PAGE, HTML), BackendError, True, "answers status 429"),
        (Answer(404, PAGE, HTML), BackendError, False, "is the endpoint the right one?"),
        (Answer(404, {}), BackendError, False, "is the endpoint the right one?"),
        (Answer(302, {**PAGE, "Location": "http://127.0.0.1:9/login"}, HTML), BackendError, False, "right one?"),
        (Answer(500, XML, b"no xml at all"), BackendError, False, "none of S3"),
        (Answer(403, XML, b"\xff\xfe"), BackendError, False, "none of S3"),
    ],
)
def test_refusal_is_told_in_words_of_the_product(
    store: Store, name: str, answer: Answer, kind: type[HoldfastError], temporary: bool | None, said: str
) -> None:
    """By every call alike, whether it helps to try again, and without pages of proxies."""
    store.answer = answer
    found = raised(store, name)
    assert type(found) is kind
    assert getattr(found, "temporary", None) is temporary
    assert said in str(found)
    assert "html" not in str(found)


@every_call
def test_page_in_place_of_an_answer_is_no_success(store: Store, name: str) -> None:
    """A proxy that wants a sign-in says 200: nothing was stored, deleted or missing by that."""
    if name == "delete":
        pytest.skip("an answer to DELETE has nothing that tells a store")
    store.answer = Answer(200, PAGE, HTML)
    found = raised(store, name)
    assert type(found) is BackendError


@pytest.mark.parametrize("body", [b"", HTML])
def test_missing_is_what_the_store_calls_missing(store: Store, body: bytes) -> None:
    """A 404 is not enough, neither to HEAD nor to GET."""
    store.answer = Answer(404, PAGE, body)
    assert type(raised(store, "head")) is BackendError
    assert type(raised(store, "get")) is BackendError
    store.answer = error("NoSuchKey", 404)
    assert store.backend().head("a") is None
    assert type(raised(store, "get")) is BlobMissing
    store.backend().delete("a")
    # The bucket goes between the two requests that a head can be.
    store.by_method["HEAD"] = error("NoSuchKey", 404)
    store.answer = error("NoSuchBucket", 404)
    assert "has no bucket" in str(raised(store, "head"))


TAG = {"ETag": '"x"'}


@pytest.mark.parametrize(
    "answer, temporary, said",
    [
        (Answer(200, TAG, b"x" * 100), False, "answers bytes 0 to 99 instead of 0 to 9"),
        (Answer(200, TAG, b"short"), False, "answers bytes 0 to 4 instead of 0 to 9"),
        (Answer(206, {**TAG, "Content-Range": "bytes 0-4/100"}, b"01234"), True, "answers bytes 0 to 4 instead"),
        (Answer(206, {**TAG, "Content-Range": "bytes 5-14/100"}, b"0123456789"), True, "answers bytes 5 to 14"),
        (Answer(206, {**TAG, "Content-Range": "bytes 0-9/100"}, b"01234"), True, "5 bytes came instead of 10"),
        (Answer(206, {**TAG, "Content-Range": "bytes 0-9/100", "Content-Length": "10"}, b"0123"), True, "ended early"),
        (Answer(206, TAG, b"0123456789"), False, "none of S3"),
        (Answer(206, {"Content-Range": "bytes 0-9/100"}, b"0123456789"), False, "none of S3"),
    ],
)
def test_other_bytes_than_those_asked_for_are_refused(store: Store, answer: Answer, temporary: bool, said: str) -> None:
    """A range that was ignored, another one, and an answer that is too short."""
    store.answer = answer
    found = raised(store, "get")
    assert type(found) is BackendError
    assert found.temporary is temporary
    assert said in found.reason


def test_answer_without_a_range_is_good_if_it_is_all_that_was_asked_for(store: Store) -> None:
    """Some stores say 200 if the range is the whole blob."""
    store.answer = Answer(200, TAG, b"0123456789")
    assert store.backend().get("a", 0, 10) == b"0123456789"
    store.answer = Answer(200, TAG, b"")
    assert type(raised(store, "get")) is BlobMissing


@pytest.mark.parametrize("total", ["100", "*"])
def test_store_that_does_not_tell_the_size_is_asked_once_where_all_came(store: Store, total: str) -> None:
    """The range that was asked for is what there is; a shorter one needs the size."""
    store.by_method["GET"] = Answer(206, {**TAG, "Content-Range": f"bytes 0-9/{total}"}, b"0123456789")
    store.by_method["HEAD"] = error("NoSuchKey", 404)
    assert store.backend().get_up_to("a", 0, 10) == b"0123456789"
    assert store.asked == ["GET"]


def test_connection_is_used_again_once_all_of_an_answer_came(store: Store) -> None:
    """Whatever follows the bytes: the end of a chunked answer may come late."""
    head = {**TAG, "Content-Range": "bytes 0-9/10", "Transfer-Encoding": "chunked", "Connection": "keep-alive"}
    store.answer = Answer(206, head, b"0123456789")
    store.late_s = 0.02
    backend = store.backend()
    for _ in range(5):
        assert backend.get_up_to("a", 0, 10) == b"0123456789"
    assert store.connections == 1


def test_what_the_receiver_raises_is_not_taken_for_the_stores_error(store: Store) -> None:
    """Also where the bytes had to be asked for another way."""

    def fail(source: Source) -> None:
        source.read(1)
        raise ValueError("mine")

    for answer in (
        Answer(206, {**TAG, "Content-Range": "bytes 0-9/*"}, b"0123456789"),
        Answer(206, {**TAG, "Content-Range": "bytes 0-9/10"}, b"0123456789"),
        Answer(200, TAG, b""),
    ):
        store.answer = answer
        with pytest.raises(ValueError, match="mine"):
            store.backend().receive("a", 0, 10, fail)


def listing(*keys: str, more: str = "") -> Answer:
    """A page of a list."""
    contents = "".join(f"<Contents><Key>{key}</Key><Size>1</Size></Contents>" for key in keys)
    end = f"<IsTruncated>true</IsTruncated><NextContinuationToken>{more}</NextContinuationToken>" if more else ""
    text = f"<ListBucketResult><Name>bucket</Name>{contents}{end}</ListBucketResult>"
    return Answer(200, XML, text.encode())


@pytest.mark.parametrize("answer", [listing("b", "a"), listing("a", "a"), listing("a", more="for ever")])
def test_list_without_order_is_refused(store: Store, answer: Answer) -> None:
    """Who relies on it would miss blobs; nor does one page come again and again."""
    store.answer = answer
    assert "does not list keys in their order" in str(raised(store, "list"))
    store.answer = listing("a", "b")
    assert [blob.key for blob in store.backend().list("")] == ["a", "b"]
