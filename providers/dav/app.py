"""The WSGI application of the face: WsgiDAV's application, middleware, provider and request server, made ours.

What upstream does on each request and why it does not stay:

- ``WsgiDAVApp.__call__`` decodes and normalises the path (an invalid one ends without an answer), reads unread
  bodies to their end and closes connections on its own: the path is decoded once, strictly, from the undecoded
  target, and bodies are the HTTP layer's matter.
- ``HTTPAuthenticator`` asks its domain controller several times and fails on broken credentials with 500.
- ``RequestResolver`` and ``RequestServer`` answer through nested generators, look at locks and conditions before
  the write instead of in its transaction, and build listings element by element. ``lock_storage`` and
  ``property_manager`` are therefore off: locks and properties are use cases in SQL (appliance.files).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from wsgidav.dav_provider import DAVProvider
from wsgidav.dc.base_dc import BaseDomainController
from wsgidav.http_authenticator import HTTPAuthenticator
from wsgidav.request_resolver import RequestResolver
from wsgidav.request_server import RequestServer
from wsgidav.wsgidav_app import WsgiDAVApp

from appliance import faults
from appliance.accounts.policy import Action
from appliance.accounts.signin import SignIn
from appliance.backends.base import Buffer
from appliance.errors import HoldfastError, QuotaExceeded, TokenInvalid, Unauthenticated
from appliance.files import read
from appliance.principal import Principal
from providers.dav import answer
from providers.dav.destination import ForeignDestination
from providers.dav.errors import answer_error
from providers.dav.methods import folders, get, lock, options, post, propfind, proppatch, put, report, transfer
from providers.dav.request import DavRequest, Face
from providers.front.credentials import REALM, basic_credentials, bearer_token, challenges
from providers.front.messages import Answer
from providers.front.metering import Admit
from providers.http.access import shown_path
from providers.http.environ import PRINCIPAL
from providers.tus import protocol as tus

_log = logging.getLogger(__name__)

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Method = Callable[[DavRequest], Answer]

_METHODS: dict[str, Method] = {
    "OPTIONS": options.options,
    "GET": get.get,
    "HEAD": get.get,
    "PUT": put.put,
    "POST": post.post,
    "DELETE": folders.delete,
    "MKCOL": folders.mkcol,
    "PROPFIND": propfind.propfind,
    "PROPPATCH": proppatch.proppatch,
    "REPORT": report.report,
    "COPY": transfer.copy,
    "MOVE": transfer.move,
    "LOCK": lock.take,
    "UNLOCK": lock.release,
}


class AccountsController(BaseDomainController):
    """Signs in with the product's own accounts."""

    def __init__(self, wsgidav_app: Any, config: Any) -> None:
        super().__init__(wsgidav_app, config)
        self._sign_in: SignIn = config["holdfast"]["sign_in"]
        self._admit: Admit | None = config["holdfast"]["admit"]

    def get_domain_realm(self, path_info: str, environ: Environ) -> str:
        return REALM

    def require_authentication(self, realm: str, environ: Environ | None) -> bool:
        return True

    def supports_http_digest_auth(self) -> bool:
        return False

    def basic_auth_user(self, realm: str, user_name: str, password: str, environ: Environ) -> bool:
        try:
            environ[PRINCIPAL] = self._sign_in.principal(
                user_name,
                password,
                face="dav",
                address=environ.get("REMOTE_ADDR", ""),
                foresight=get.foresight(environ),
            )
        except Unauthenticated:
            return False
        if self._admit is not None:
            self._admit(environ, environ[PRINCIPAL])
        return True

    def bearer(self, token: str, environ: Environ) -> None:
        """The same with a bearer token.

        Raises:
            TokenInvalid
        """
        environ[PRINCIPAL] = self._sign_in.bearer(
            token, face="dav", address=environ.get("REMOTE_ADDR", ""), foresight=get.foresight(environ)
        )


class Authenticator(HTTPAuthenticator):
    """Basic, or a bearer token; anything that is neither is answered 401, never 500, and before the body."""

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[Buffer]:
        refusal = self.refusal(environ)
        if refusal is not None:
            return send(refusal, start_response)
        found: Iterable[Buffer] = self.next_app(environ, start_response)
        return found

    def refusal(self, environ: Environ) -> Answer | None:
        """None if the request carries valid credentials; the principal is then in ``environ``."""
        header = environ.get("HTTP_AUTHORIZATION", "")
        credentials = basic_credentials(header)
        try:
            if credentials is not None:
                return None if self.domain_controller.basic_auth_user(REALM, *credentials, environ) else challenge()
            token = bearer_token(header)
            if token is None:
                return challenge()
            self.domain_controller.bearer(token, environ)
            return None
        except TokenInvalid as error:
            return answer.text(401, str(error), challenges(error, offers_bearer=False))
        except HoldfastError as error:
            # Too many were wrong, or the database fails: nobody knows whether these are right. Or they are, and the
            # user has had too much.
            found = answer_error(error, prefix="", is_folder=lambda _: False)
            note_failure(environ, found, error)
            return found


class Resolver(RequestResolver):
    """Hands the request to our own request server."""

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[Buffer]:
        server = DavRequestServer(environ["wsgidav.provider"])
        return server(environ, start_response)


class Provider(DAVProvider):
    """WsgiDAV's handle on the face. Resources are not objects here: methods call the use cases directly."""

    def __init__(self, face: Face) -> None:
        super().__init__()
        self.face = face

    def get_resource_inst(self, path: str, environ: Environ) -> None:
        return None


class DavRequestServer(RequestServer):
    """Dispatches to ``providers.dav.methods`` and turns domain errors into answers."""

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[Buffer]:
        face: Face = self._davProvider.face
        return send(respond(face, environ, environ[PRINCIPAL]), start_response)


class DavApp(WsgiDAVApp):
    """The application; mounted where ``face.prefix`` says."""

    def __init__(self, face: Face, sign_in: SignIn, admit: Admit | None = None) -> None:
        super().__init__(
            {
                "provider_mapping": {"/": Provider(face)},
                "middleware_stack": [Authenticator, Resolver],
                "http_authenticator": {
                    "domain_controller": AccountsController,
                    "accept_basic": True,
                    "accept_digest": False,
                    "default_to_digest": False,
                },
                "holdfast": _Shared(sign_in=sign_in, admit=admit),
                "lock_storage": False,
                "property_manager": False,
                "verbose": 1,
                "logging": {"enable": False},
            }
        )
        self._provider = self.provider_map["/"]

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[Buffer]:
        environ["wsgidav.provider"] = self._provider
        found: Iterable[Buffer] = self.application(environ, start_response)
        return found

    def signed_in(
        self, environ: Environ, start_response: StartResponse, page: Callable[[Environ, Principal], Answer]
    ) -> Iterable[Buffer]:
        """Answer a request outside of the tree with ``page``, for whoever signs in."""
        found = self.http_authenticator.refusal(environ)
        if found is None:
            try:
                found = page(environ, environ[PRINCIPAL])
            except HoldfastError as error:
                found = answer_error(error, prefix="", is_folder=lambda _: False)
                note_failure(environ, found, error)
        return send(found, start_response)


class _Shared(dict[str, Any]):
    """Services inside of WsgiDAV's configuration, which it copies deeply; these stay what they are."""

    def __deepcopy__(self, memo: object) -> _Shared:
        return self


def respond(face: Face, environ: Environ, principal: Principal) -> Answer:
    """What the method answers, or what its error is answered with."""
    method = _METHODS.get(environ["REQUEST_METHOD"])
    if method is None:
        allow = options.ALLOW if face.moment is None else options.READING
        return answer.text(405, f"{environ['REQUEST_METHOD']} is not possible here", [("Allow", allow)])
    if face.moment is not None and environ["REQUEST_METHOD"] not in options.READING.split(", "):
        return answer.text(403, "the past cannot be changed; restoring brings it back", [("Allow", options.READING)])
    try:
        request = DavRequest(face, environ, principal)
        request.require_no_body()
        found = method(request)
        faults.point("answer.ready")
        return found
    except HoldfastError as error:
        # Only who may write meets locks.
        is_folder = partial(read.is_folder, face.files, principal, action=Action.WRITE)
        refused = answer_error(error, prefix=face.prefix, is_folder=is_folder)
        note_failure(environ, refused, error)
        if environ["REQUEST_METHOD"] == "POST":
            return refused._replace(headers=[*tus.of_refusal(error), *refused.headers])
        return refused


def note_failure(environ: Environ, found: Answer, error: HoldfastError) -> None:
    """Log what is answered with 5xx under the request's id, which the answer tells; but not what is the client's."""
    if found.status < 500 or isinstance(error, (QuotaExceeded, ForeignDestination)):
        return
    said = [str(error)]
    cause = error.__cause__
    while cause is not None:
        # The first line only: databases tell the values of the row below.
        said.append(f"{type(cause).__name__}: {str(cause).partition(chr(10))[0]}")
        cause = cause.__cause__
    method, path = environ["REQUEST_METHOD"], shown_path(environ["holdfast.target"])
    _log.warning(
        "request %s: %s %s: %d, %s",
        environ["holdfast.request_id"],
        method,
        path,
        found.status,
        " < ".join(said),
        exc_info=_log.isEnabledFor(logging.DEBUG),
    )


def challenge() -> Answer:
    """401 with a Basic challenge, the only scheme offered: some clients give up at one that they do not know."""
    return answer.text(401, "sign in with user name and password", challenges(Unauthenticated(), offers_bearer=False))


def send(found: Answer, start_response: StartResponse) -> Iterable[Buffer]:
    """The answer in WSGI's form."""
    start_response(found.status_line, found.headers)
    return found.blocks
