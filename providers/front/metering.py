"""Rate limits, before the faces and around their answers (docs/design/rate-limits.md).

An address is looked at before a face is asked, a user and a token when the face knows them; either is before the body
is read. Bytes are counted when they have passed, so they refuse what comes next.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from typing import Any, Protocol

from appliance.backends.base import Buffer
from appliance.errors import RateLimited
from appliance.principal import Principal
from appliance.rates.allowance import Allowance, Told
from appliance.rates.limit import WINDOW_S, RateLimit
from appliance.rates.limiter import RateLimiter, Subject
from providers.front.messages import Headers
from providers.front.refusals import Refusals
from providers.http.addresses import share_of
from providers.http.later import RESUMED, Later

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[Buffer]]
Admit = Callable[[Environ, Principal], None]
"""Raises ``RateLimited`` if whoever has signed in may not have this request now; to be called before the body is read.
"""

_SPENDING = "holdfast.spending"
# Whoever asks whether the server lives has to be told.
_NEVER_LIMITED = ("/healthz", "/readyz")
_share_of = lru_cache(maxsize=4096)(share_of)


class Meter:
    """Any thread. ``exempt(share)``: many may come from this address."""

    def __init__(
        self,
        limiter: RateLimiter,
        refusals: Refusals | None = None,
        *,
        exempt: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._limiter = limiter
        self._exempt = lru_cache(maxsize=4096)(exempt)
        self._refusals = refusals or Refusals()

    def through(self, app: Application, environ: Environ, start_response: StartResponse) -> Iterable[Buffer]:
        """What ``app`` answers, or the refusal; counted, and with what is left in its head."""
        if environ["holdfast.target"] in _NEVER_LIMITED:
            return app(environ, start_response)
        spending = environ[_SPENDING] = _Spending(start_response, has_waited=RESUMED in environ)
        addresses = self._limiter.addresses
        if addresses.are_limited:
            share = _share_of(environ["REMOTE_ADDR"])
            if not self._exempt(share):
                try:
                    spending.admit(addresses.of(share))
                except RateLimited as error:
                    wait = ("Retry-After", str(error.retry_after_s))
                    return self._refusals.answer(environ, error, spending.start, 429, wait)
        return spending.counted(app, environ)

    def admit(self, environ: Environ, principal: Principal) -> None:
        """``Admit``, for the faces."""
        spending: _Spending | None = environ.get(_SPENDING)
        if spending is None:
            return
        limiter = self._limiter
        if limiter.users.are_limited and principal.user_id is not None:
            spending.admit(limiter.users.of(principal.user_id))
        if limiter.tokens.are_limited and (token := _token_of(principal)) is not None:
            spending.admit(limiter.tokens.of(token))


def _token_of(principal: Principal) -> str | int | None:
    """The bearer token, or else the app password, that a request came with."""
    return principal.device_id if principal.token_id is None else f"bearer {principal.token_id}"


class _Body(Protocol):
    @property
    def arrived(self) -> int: ...


class _Spending:
    """What one request counts for. One thread at a time."""

    __slots__ = ("_has_waited", "_start_response", "_subjects", "bytes")

    def __init__(self, start_response: StartResponse, *, has_waited: bool) -> None:
        self._start_response = start_response
        self._has_waited = has_waited
        self._subjects: list[Subject] = []
        self.bytes: list[Allowance] = []

    def admit(self, subject: Subject) -> None:
        """Count the request now, and what passes then.

        Raises:
            RateLimited: it may not be had; no byte of it counts.
        """
        self._subjects.append(subject)
        # Who has waited for an answer was counted when the question came.
        if not self._has_waited:
            subject.admit(time.monotonic())
        if subject.bytes is not None:
            self.bytes.append(subject.bytes)

    def charge(self, count: int) -> None:
        """So many bytes have passed."""
        now = time.monotonic()
        for allowance in self.bytes:
            allowance.charge(count, now)

    def start(self, status: str, headers: Headers, exc_info: Any = None) -> Any:
        """WSGI's start_response; the head tells what is left (draft-ietf-httpapi-ratelimit-headers-11)."""
        # What a shared cache keeps is for others as well.
        if self._subjects and not _is_public(headers):
            now = time.monotonic()
            fields = [_fields(subject.told(now)) for subject in self._subjects]
            headers = [
                *headers,
                ("RateLimit-Policy", ", ".join([policy for policy, _ in fields])),
                ("RateLimit", ", ".join([left for _, left in fields])),
            ]
        return self._start_response(status, headers, exc_info)

    def counted(self, app: Application, environ: Environ) -> Iterable[Buffer]:
        """What ``app`` answers, its bytes and those of the body counted."""
        blocks: Iterable[Buffer] = ()
        try:
            blocks = app(environ, self.start)
        finally:
            if self.bytes:
                body: _Body = environ["wsgi.input"]
                is_whole = isinstance(blocks, (list, tuple)) and environ["REQUEST_METHOD"] != "HEAD"
                self.charge(body.arrived + (sum(map(len, blocks)) if is_whole else 0))
        if not self.bytes or isinstance(blocks, (list, tuple, Later)):
            return blocks
        return _Passing(blocks, self)


class _Passing:
    """Blocks that are counted as they are asked for. Keeps none of them: their memory is for the next one."""

    __slots__ = ("_blocks", "_next", "_spending")

    def __init__(self, blocks: Iterable[Buffer], spending: _Spending) -> None:
        self._blocks = blocks
        self._next = iter(blocks)
        self._spending = spending

    def __iter__(self) -> Iterator[Buffer]:
        return self

    def __next__(self) -> Buffer:
        block = next(self._next)
        self._spending.charge(len(block))
        return block

    def close(self) -> None:
        """PEP 3333: called whatever becomes of the answer."""
        close = getattr(self._blocks, "close", None)
        if close is not None:
            close()


def _is_public(headers: Headers) -> bool:
    return any(name == "Cache-Control" and value.startswith("public") for name, value in headers)


# A busy client is told the same several times in a row.
@lru_cache(maxsize=1024)
def _fields(told: tuple[Told, ...]) -> tuple[str, str]:
    """A subject's items of RateLimit-Policy, and of RateLimit."""
    return (
        ", ".join([_policy(each.limit) for each in told]),
        ", ".join([f'"{each.limit.name}";r={each.left};t={each.seconds}' for each in told]),
    )


def _policy(limit: RateLimit) -> str:
    unit = "" if limit.what == "requests" else ';qu="content-bytes"'
    return f'"{limit.name}";q={limit.most}{unit};w={WINDOW_S}'
