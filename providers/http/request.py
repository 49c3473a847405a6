"""One request: the application is called, and whatever it raises becomes an answer."""

from __future__ import annotations

import time
import traceback
from http import HTTPStatus

from cheroot.server import HTTPRequest

from appliance import cores
from appliance.errors import BodyIncomplete, BodyStalled, HoldfastError
from appliance.principal import Principal
from providers.http.access import Ended, Entry, shown_path
from providers.http.body import ChunkedBody, FixedBody
from providers.http.environ import PRINCIPAL, request_environ
from providers.http.head import Head
from providers.http.later import RESUMED, Later
from providers.http.response import Channel, Response
from providers.http.service import Environ


def _told(error: BaseException) -> str:
    """An answer that a store broke off is explained by what it said; of a defect of ours the way there is wanted."""
    if isinstance(error, HoldfastError):
        return f": broken off, {error}"
    return "\n" + "".join(traceback.format_exception(error))


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
        self._began = time.monotonic()
        self._failed = False
        self._resumed = False
        self._environ: Environ = {}
        # What it waits for; None once it is answered.
        self.later: Later | None = None
        channel.expects_continue = head.expects_continue and not self._body.done

    # Replaces HTTPRequest.respond; see above.
    def respond(self) -> bool:  # type: ignore[override]
        """Whether the connection can take another request. Raises ``OSError`` only for a peer that is gone.

        If ``later`` is set then, it has to be called again.
        """
        channel, response = self._channel, self._response
        cores.stay()
        try:
            self._call()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - also sys.exit(), which must not end a worker
            if channel.gone:
                return False  # the peer's right, and no matter which exception the application made of it
            self._fail(error)
        if self.later is not None:
            return True
        if response.closes:
            # A close that the client did not ask for, or that leaves its bytes unread, would reset the connection.
            channel.lingers = self._head.keep_alive or not self._body.done or channel.buffered > 0
            channel.sends_on = self._sends_on()
            return False
        return True

    def _sends_on(self) -> bool:
        """Whether the client goes on with its body, and can tell the answer's end without that of the connection."""
        body, response = self._body, self._response
        whole = not (response.ends_by_close or response.is_short or self._failed)
        return self._head.keep_alive and whole and not (body.done or body.failed)

    def _call(self) -> None:
        channel = self._channel
        # Anew for the second time: whoever has looked at it may have changed it.
        self._environ = environ = request_environ(channel.environ, self._head, self._body, self._id)
        resumed, self._resumed, self.later = self._resumed, True, None
        if resumed:
            environ[RESUMED] = True
        blocks = channel.service.app(environ, self._response.start)
        if isinstance(blocks, Later) and not resumed:
            self.later = blocks
            return
        try:
            self._response.send_all(blocks)
        finally:
            close = getattr(blocks, "close", None)
            if close is not None:
                close()

    def _fail(self, error: BaseException) -> None:
        response = self._response
        if not isinstance(error, (BodyIncomplete, BodyStalled)):
            self._channel.service.report(f"request {self._id}: {self._shown}{_told(error)}")
        if response.begun:
            self._failed = True
            response.closes = True
            self._channel.resets = response.ends_by_close
        elif isinstance(error, BodyIncomplete):
            self._answer(HTTPStatus.BAD_REQUEST, str(error), error)
        elif isinstance(error, BodyStalled):
            self._answer(HTTPStatus.REQUEST_TIMEOUT, str(error), error)
        else:
            text = f"internal error; the request's id is {self._id}"
            self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, text, error)

    def entry(self) -> Entry:
        """The line of the access log; after ``respond``."""
        head, body, response = self._head, self._body, self._response
        seconds = time.monotonic() - self._began
        principal: Principal | None = self._environ.get(PRINCIPAL)
        return Entry(
            time.time() - seconds,
            self._id,
            # Which a proxy in front may have corrected.
            self._environ.get("REMOTE_ADDR") or self._channel.environ["REMOTE_ADDR"],
            None if principal is None else principal.name,
            None if principal is None else principal.device_id,
            None if principal is None else principal.token_id,
            head.method,
            head.path,
            head.query,
            response.status,
            body.arrived,
            response.sent,
            seconds,
            head.fields.get("HTTP_USER_AGENT", ""),
            self._ended(),
        )

    def _ended(self) -> Ended:
        channel, body = self._channel, self._body
        if channel.too_slow:
            return "slow"
        if channel.stalled or body.stalled:
            return "stalled"
        if channel.gone or body.failed:
            return "cut"
        return "failed" if self._failed or self._response.is_short else "complete"

    @property
    def _shown(self) -> str:
        return f"{self._head.method[:32]} {shown_path(self._head.path)}"

    def _answer(self, status: HTTPStatus, text: str, error: BaseException) -> None:
        response = self._response
        headers = [("Content-Type", "text/plain; charset=utf-8"), ("X-Content-Type-Options", "nosniff")]
        response.start(f"{status.value} {status.phrase}", headers, (type(error), error, None))
        response.send_all([f"{text}\n".encode()])
