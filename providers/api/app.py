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
from appliance.files.watch import Watch
from appliance.principal import Principal
from appliance.uploads.service import Uploads
from providers.api import activity, changes, cors, files, manifest, nodes, signed, tokens, tus, uploads, zipped
from providers.api.openapi import serving
from providers.api.problems import WrongMethod, problem
from providers.api.request import Api, Request
from providers.front import compression
from providers.front.credentials import basic_credentials, bearer_token
from providers.front.messages import Answer
from providers.front.metering import Admit
from providers.http.access import shown_path
from providers.http.environ import PRINCIPAL
from providers.http.later import Later
from providers.tus.uploading import options as tus_options

_log = logging.getLogger(__name__)

PREFIX = "/api/v1"

_SIGNED = PREFIX + signed.PATH
_READING = ("GET", "HEAD")

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Handler = Callable[[Request], Answer | Later]


@dataclass(frozen=True, slots=True)
class Route:
    """``path`` is below the prefix, with ``{name}`` where a value stands, which is among the request's ``values``."""

    path: str
    pattern: re.Pattern[str]
    handlers: dict[str, Handler]


def _route(path: str, **handlers: Handler) -> Route:
    pattern = re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]{1,200})", path)
    return Route(path, re.compile(pattern), {method.upper(): handler for method, handler in handlers.items()})


ROUTES = (
    _route("/files", get=nodes.list_folder, post=uploads.begin_upload),
    _route("/files/{fileId}", get=files.show_file, patch=nodes.alter, delete=nodes.delete),
    _route("/files/{fileId}/copy", post=nodes.copy),
    _route("/files/{fileId}/restore", post=nodes.restore),
    _route("/files/{fileId}/versions", get=nodes.list_versions),
    _route("/files/{fileId}/versions/{version}/restore", post=nodes.restore_version),
    _route("/files/{fileId}/changes", get=changes.changes_of_file),
    _route("/files/{fileId}/manifest", get=manifest.show_manifest),
    _route("/files/{fileId}/zip", get=zipped.get_zip),
    _route("/activity", get=activity.show_activity),
    _route("/folders", post=nodes.make_folder),
    _route("/trash", get=nodes.list_trash),
    _route("/changes", get=changes.changes),
    _route("/uploads/{uploadId}", get=uploads.show, delete=uploads.abort_upload),
    _route("/uploads/{uploadId}/content", put=uploads.put_content),
    _route("/uploads/{uploadId}/parts/{number}", put=uploads.put_part),
    _route("/uploads/{uploadId}/complete", post=uploads.complete_upload),
    _route("/tus/?", post=tus.create),
    _route("/tus/{uploadId}", head=tus.head, patch=tus.patch, delete=tus.terminate),
    _route("/tokens", get=tokens.list_tokens, post=tokens.make_token),
    _route("/tokens/{tokenId}", delete=tokens.revoke_token),
)


OPEN: dict[str, Callable[[str], Answer]] = {
    "/openapi.json": serving.get_description,
    "/docs": serving.get_page,
}
"""What anybody may get; made of what the API's URLs begin with."""


class ApiApp:
    """``/api/v1/…``. One object for all threads."""

    def __init__(
        self,
        service: Uploads,
        sign_in: SignIn,
        public_urls: tuple[str, ...],
        *,
        watch: Watch,
        cdn_base_url: str | None = None,
        revocation_s: int = 0,
        cors_origins: tuple[str, ...] = (),
        admit: Admit | None = None,
    ) -> None:
        self._api = Api(service, watch, self._base, PREFIX, cdn_base_url, revocation_s)
        self._cors_origins = cors_origins
        self._sign_in = sign_in
        self._public_urls = public_urls
        self._admit = admit

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[Buffer]:
        found = cors.preflight(environ, self._cors_origins)
        if found is None:
            answer = self._answer(environ)
            if isinstance(answer, Later):
                return answer
            found = compression.compress_document(environ, answer)
        start_response(found.status_line, cors.shared(environ, self._cors_origins, found.headers))
        return [] if environ["REQUEST_METHOD"] == "HEAD" else found.blocks

    def refusal(self, environ: Environ, error: HoldfastError) -> Answer:
        """The answer to a request that is refused before it is known who asks."""
        refused = problem(error)
        return refused._replace(headers=cors.shared(environ, self._cors_origins, refused.headers))

    def _answer(self, environ: Environ) -> Answer | Later:
        is_signed = environ["holdfast.target"].startswith(_SIGNED)
        is_tus = tus.is_below(_path(environ))
        if is_tus and environ["REQUEST_METHOD"] == "OPTIONS":
            # Clients ask before they sign in.
            return tus_options(self._api.uploads.files.max_file_bytes)
        try:
            if is_signed:
                return signed.serve(self._api, environ)
            if (page := OPEN.get(_path(environ))) is not None:
                if environ["REQUEST_METHOD"] not in _READING:
                    raise WrongMethod(method=environ["REQUEST_METHOD"], allowed=_READING)
                return page(self._base(environ))
            principal = environ[PRINCIPAL] = self._signed_in(environ)
            if self._admit is not None:
                self._admit(environ, principal)
            request = Request(self._api, environ, principal)
            found = _handler(request)(request)
            faults.point("answer.ready")
            return found
        except HoldfastError as error:
            refused = problem(error, request_id=environ["holdfast.request_id"])
            _note(environ, refused, error)
            if is_signed:
                return signed.refused(refused)
            return tus.refused(refused, error) if is_tus else refused

    def _signed_in(self, environ: Environ) -> Principal:
        header, address = environ.get("HTTP_AUTHORIZATION", ""), environ.get("REMOTE_ADDR", "")
        credentials = basic_credentials(header)
        if credentials is not None:
            return self._sign_in.principal(*credentials, face="api", address=address)
        token = bearer_token(header)
        if token is None:
            raise Unauthenticated
        return self._sign_in.bearer(token, face="api", address=address)

    def tus_base(self, environ: Environ) -> str:
        """What the URLs of uploads by tus begin with."""
        return self._base(environ) + uploads.TUS_PATH

    def _base(self, environ: Environ) -> str:
        """As the client sees the server, or as the first of ``public_urls`` says."""
        if self._public_urls:
            return self._public_urls[0].rstrip("/") + PREFIX
        return f"{environ['wsgi.url_scheme']}://{environ.get('HTTP_HOST', '')}{PREFIX}"


def _path(environ: Environ) -> str:
    """Below the prefix."""
    path: str = environ["PATH_INFO"]
    return path.removeprefix(PREFIX)


def _handler(request: Request) -> Handler:
    """What answers; the values of the path are noted in the request.

    Raises:
        NotFound, WrongMethod
    """
    path = _path(request.environ)
    method = tus.method_of(request.environ) if tus.is_below(path) else request.environ["REQUEST_METHOD"]
    for route in ROUTES:
        match = route.pattern.fullmatch(path)
        if match is not None:
            handler = route.handlers.get(method)
            if handler is None and method == "HEAD":
                handler = route.handlers.get("GET")
            if handler is None:
                raise WrongMethod(method=method, allowed=_methods(route))
            request.values = match.groupdict()
            return handler
    raise NotFound(what="this part of the API")


def _methods(route: Route) -> tuple[str, ...]:
    """Where GET is possible, HEAD is."""
    heads = ("HEAD",) if "GET" in route.handlers else ()
    return (*route.handlers, *heads)


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
