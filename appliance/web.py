"""The faces over the services: the WSGI application of a worker."""

from __future__ import annotations

from collections.abc import Callable

from admin_ui.app import FACES as PANEL_FACES
from admin_ui.app import Panel
from admin_ui.pages import LANDING_CSP, LandingPage
from admin_ui.request import Services
from appliance import __version__
from appliance.app import Appliance, lives
from appliance.chunks import identity
from appliance.db.sql import Sql
from appliance.errors import Unavailable
from appliance.rates.limiter import make_limiter
from appliance.roster import Roster
from providers.api.app import PREFIX as API_PREFIX
from providers.api.app import ApiApp
from providers.dav.app import DavApp, Environ
from providers.dav.past import PastApp
from providers.dav.request import Face, Tus
from providers.dav.root import RootApp
from providers.front.app import Front
from providers.front.forwarded import stands_for_many
from providers.front.messages import Answer
from providers.front.metering import Admit, Meter
from providers.front.refusals import Refusals
from providers.http.environ import PRINCIPAL

DAV_PREFIX = "/dav"
PAST_PREFIX = "/at"
# The first name of its paths.
_API = API_PREFIX.strip("/").partition("/")[0]

_PING = Sql("SELECT incarnation FROM store")


def build_wsgi(
    appliance: Appliance, roster: Roster | None = None, *, is_leaving: Callable[[], bool] = lambda: False
) -> Front:
    """The application that a worker serves; ``roster`` tells of the processes around it.

    While ``is_leaving`` it says that it is not ready, and serves all the same.
    """
    settings = appliance.settings
    refusals = Refusals()
    meter = _meter(appliance, refusals)
    admit = None if meter is None else meter.admit
    api = _api(appliance, admit)
    refusals.add(_API, api.refusal)
    face = Face(
        files=appliance.files,
        tus=Tus(appliance.uploads, api.tus_base),
        prefix=DAV_PREFIX,
        public_urls=settings.public_urls,
        max_xml_bytes=settings.max_xml_size,
        lock_s=settings.lock_seconds,
        max_lock_s=settings.max_lock_seconds,
    )
    dav = DavApp(face, appliance.sign_in, admit)
    root = RootApp(dav, face, _Landing(settings.public_urls))
    panel = Panel(_panel_services(appliance, roster), version=__version__, principal_key=PRINCIPAL, admit=admit)
    return Front(
        {
            DAV_PREFIX.strip("/"): dav,
            PAST_PREFIX.strip("/"): PastApp(dav, face, PAST_PREFIX),
            _API: api,
            **dict.fromkeys(PANEL_FACES, panel),
        },
        root,
        lambda: _require_ready(appliance, is_leaving),
        settings.public_urls,
        settings.trusted_proxies,
        {_API: settings.cors_origins},
        refusals,
        meter,
    )


def _api(appliance: Appliance, admit: Admit | None) -> ApiApp:
    settings = appliance.settings
    return ApiApp(
        appliance.uploads,
        appliance.sign_in,
        settings.public_urls,
        watch=appliance.watch,
        cdn_base_url=settings.cdn_base_url,
        revocation_s=settings.cdn_revocation_seconds,
        cors_origins=settings.cors_origins,
        admit=admit,
    )


def _meter(appliance: Appliance, refusals: Refusals) -> Meter | None:
    """Where the settings set rate limits."""
    limiter = make_limiter(appliance.settings, appliance.database)
    if limiter is None:
        return None
    proxies = appliance.settings.trusted_proxies
    return Meter(limiter, refusals, exempt=lambda share: stands_for_many(share, proxies))


def _panel_services(appliance: Appliance, roster: Roster | None) -> Services:
    settings = appliance.settings
    return Services(
        database=appliance.database,
        sign_in=appliance.sign_in,
        lives=lives(settings),
        default_quota=settings.default_quota,
        public_urls=settings.public_urls,
        free_bytes=appliance.files.free_bytes,
        files=appliance.files,
        trash_days=settings.trash_days,
        processes=None if roster is None else roster.processes,
    )


class _Landing:
    """The page at "/", with the address under which the visitor sees the server."""

    def __init__(self, public_urls: tuple[str, ...]) -> None:
        self._page = LandingPage()
        self._public_urls = public_urls

    def __call__(self, environ: Environ) -> Answer:
        seen = f"{environ['wsgi.url_scheme']}://{environ.get('HTTP_HOST', '')}"
        body = self._page.render(self._public_urls[0] if self._public_urls else seen, __version__)
        headers = [
            ("Content-Type", "text/html; charset=utf-8"),
            ("Content-Security-Policy", LANDING_CSP),
            ("X-Content-Type-Options", "nosniff"),
            ("Content-Length", str(len(body))),
        ]
        return Answer(200, headers, [body])


def _require_ready(appliance: Appliance, is_leaving: Callable[[], bool]) -> None:
    """Raise unless database and blobs answer, and will go on to."""
    if is_leaving():
        raise Unavailable(reason="this server is about to stop")
    with appliance.database.read() as session:
        incarnation = session.value(_PING)
    if incarnation != appliance.files.incarnation:
        raise Unavailable(reason="the store was restored; this process has to restart")
    if appliance.backend.head(identity.KEY) is None:
        raise Unavailable(reason="the blobs are not there")
