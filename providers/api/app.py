"""The WSGI application of the API: who asks, which route answers, and what an error is answered with."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from appliance import faults
from appliance.accounts.signin import SignIn
from appliance.backends.base import Buffer
from appliance.errors import HoldfastError, NotFound, QuotaExceeded, Unauthenticated
from appliance.principal import Principal
from appliance.uploads.service import Uploads
from providers.api import cors, files, manifest, signed, uploads, zipped
from providers.api.problems import WrongMethod, problem
from providers.api.request import Api, Request
from providers.front import compression
from providers.front.credentials import basic_credentials
from providers.front.messages import Answer
from providers.http.access import shown_path
from providers.http.environ import PRINCIPAL

_log = logging.getLogger(__name__)

PREFIX = "/api/v1"

_SIGNED = PREFIX + signed.PATH

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Handler = Callable[[Request], Answer]


@dataclass(frozen=True, slots=True)
class _Route:
    """``groups`` of the pattern are the request's ``values``."""

    pattern: re.Pattern[str]
    handlers: dict[str, Handler]


def _route(path: str, **handlers: Handler) -> _Route:
    """``path``: below the prefix, with ``{name}`` where a value stands."""
    pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]{1,200})", path)
    return _Route(re.compile(pattern), {method.upper(): handler for method, handler in handlers.items()})


_ROUTES = (
    _route("/files", post=uploads.begin_upload),
    _route("/files/{fileId}", get=files.show_file),
    _route("/files/{fileId}/manifest", get=manifest.show_manifest),
    _route("/files/{fileId}/zip", get=zipped.get_zip),
    _route("/uploads/{uploadId}", get=uploads.show, delete=uploads.abort_upload),
    _route("/uploads/{uploadId}/content", put=uploads.put_content),
    _route("/uploads/{uploadId}/parts/{number}", put=uploads.put_part),
    _route("/uploads/{uploadId}/complete", post=uploads.complete_upload),
)


class ApiApp:
    """``/api/v1/…``. One object for all threads."""

    def __init__(
        self,
        service: Uploads,
        sign_in: SignIn,
        public_urls: tuple[str, ...],
        *,
        cdn_base_url: str | None = None,
        revocation_s: int = 0,
        cors_origins: tuple[str, ...] = (),
    ) -> None:
        self._api = Api(service, self._base, PREFIX, cdn_base_url, revocation_s)
        self._cors_origins = cors_origins
        self._sign_in = sign_in
        self._public_urls = public_urls

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[Buffer]:
        found = cors.preflight(environ, self._cors_origins)
        if found is None:
            found = compression.compress_document(environ, self._answer(environ))
        start_response(found.status_line, cors.shared(environ, self._cors_origins, found.headers))
        return [] if environ["REQUEST_METHOD"] == "HEAD" else found.blocks

    def _answer(self, environ: Environ) -> Answer:
        try:
            if environ["holdfast.target"].startswith(_SIGNED):
                return signed.serve(self._api, environ)
            principal = environ[PRINCIPAL] = self._signed_in(environ)
            request = Request(self._api, environ, principal)
            found = _handler(request)(request)
            faults.point("answer.ready")
            return found
        except HoldfastError as error:
            refused = problem(error, request_id=environ["holdfast.request_id"])
            _note(environ, refused, error)
            return refused

    def _signed_in(self, environ: Environ) -> Principal:
        credentials = basic_credentials(environ.get("HTTP_AUTHORIZATION", ""))
        if credentials is None:
            raise Unauthenticated
        return self._sign_in.principal(*credentials, face="api", address=environ.get("REMOTE_ADDR", ""))

    def _base(self, environ: Environ) -> str:
        """As the client sees the server, or as the first of ``public_urls`` says."""
        if self._public_urls:
            return self._public_urls[0].rstrip("/") + PREFIX
        return f"{environ['wsgi.url_scheme']}://{environ.get('HTTP_HOST', '')}{PREFIX}"


def _handler(request: Request) -> Handler:
    """What answers; the values of the path are noted in the request.

    Raises:
        NotFound, WrongMethod
    """
    path = request.environ["PATH_INFO"].removeprefix(PREFIX)
    method = request.environ["REQUEST_METHOD"]
    for route in _ROUTES:
        match = route.pattern.fullmatch(path)
        if match is not None:
            handler = route.handlers.get("GET" if method == "HEAD" else method)
            if handler is None:
                raise WrongMethod(method=method, allowed=tuple(route.handlers))
            request.values = match.groupdict()
            return handler
    raise NotFound(what="this part of the API")


def _note(environ: Environ, refused: Answer, error: HoldfastError) -> None:
    """Log what is answered with 5xx under the request's id; but not what is the client's."""
    if refused.status < 500 or isinstance(error, QuotaExceeded):
        return
    _log.warning(
        "request %s: %s %s: %d, %s",
        environ["holdfast.request_id"],
        environ["REQUEST_METHOD"],
        shown_path(environ["holdfast.target"]),
        refused.status,
        error,
        exc_info=_log.isEnabledFor(logging.DEBUG),
    )
