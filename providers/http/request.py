"""One request: the application is called, and whatever it raises becomes an answer."""

from __future__ import annotations

import traceback
from http import HTTPStatus

from cheroot.server import HTTPRequest

from appliance.errors import BodyIncomplete, BodyStalled
from providers.http.body import ChunkedBody, FixedBody
from providers.http.environ import request_environ
from providers.http.head import Head
from providers.http.response import Channel, Response


class Request(HTTPRequest):
    """A request whose head was parsed already.

    Of HTTPRequest only its place between connection and application is left: its ``parse_request`` reads a line at a
    time and leniently (``providers.http.head`` does it), its ``respond`` and ``send_headers`` read what is left of a
    body into memory, send head and body apart, and answer ``Expect`` before the application was asked.
    """

    # Replaces HTTPRequest.__init__, which prepares for all that.
    def __init__(self, channel: Channel, head: Head) -> None:
        self._channel = channel
        self._head = head
        self._body = ChunkedBody(channel) if head.length is None else FixedBody(channel, head.length)
        self._id = channel.service.request_id()
        self._response = Response(channel, head, self._body, self._id)
        channel.expects_continue = head.expects_continue and not self._body.done

    # Replaces HTTPRequest.respond; see above.
    def respond(self) -> bool:  # type: ignore[override]
        """Whether the connection can take another request. Raises ``OSError`` only for a peer that is gone."""
        channel, response = self._channel, self._response
        try:
            self._call()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - also sys.exit(), which must not end a worker
            if channel.gone:
                return False  # the peer's right, and no matter which exception the application made of it
            self._fail(error)
        if response.closes:
            # A close that the client did not ask for, or that leaves its bytes unread, would reset the connection.
            channel.lingers = self._head.keep_alive or not self._body.done or channel.buffered > 0
            return False
        return True

    def _call(self) -> None:
        channel = self._channel
        environ = request_environ(channel.environ, self._head, self._body, self._id)
        blocks = channel.service.app(environ, self._response.start)
        try:
            self._response.send_all(blocks)
        finally:
            close = getattr(blocks, "close", None)
            if close is not None:
                close()

    def _fail(self, error: BaseException) -> None:
        response = self._response
        if not isinstance(error, (BodyIncomplete, BodyStalled)):
            what = "".join(traceback.format_exception(error))
            self._channel.service.report(f"request {self._id}: {self._head.method} {self._head.path}\n{what}")
        if response.begun:
            response.closes = True
            self._channel.resets = response.ends_by_close
        elif isinstance(error, BodyIncomplete):
            self._answer(HTTPStatus.BAD_REQUEST, str(error), error)
        elif isinstance(error, BodyStalled):
            self._answer(HTTPStatus.REQUEST_TIMEOUT, str(error), error)
        else:
            text = f"internal error; the request's id is {self._id}"
            self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, text, error)

    def _answer(self, status: HTTPStatus, text: str, error: BaseException) -> None:
        response = self._response
        headers = [("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff")]
        response.start(f"{status.value} {status.phrase}", headers, (type(error), error, None))
        response.send_all([f"{text}\n".encode()])
