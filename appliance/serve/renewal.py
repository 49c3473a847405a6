"""Looks now and then whether the files of the certificate are new ones. For the supervisor."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime

from appliance.config import Settings
from appliance.tls.shown import ShownCertificate

_log = logging.getLogger(__name__)

_LOOK_S = 10.0
_WARN_S = 24 * 3600.0


def certificate_of(settings: Settings) -> ShownCertificate | None:
    """None without TLS.

    Raises:
        ConfigError: what the settings name cannot be used.
    """
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    return ShownCertificate(settings.tls_certificate, settings.tls_key)


class Renewal:
    """When to look next; all times are monotonic. Without a certificate there is nothing to do, ever."""

    def __init__(self, shown: ShownCertificate | None) -> None:
        self._shown = shown
        self._look_at = time.monotonic() + _LOOK_S
        self._warn_at = 0.0
        self._warn()

    @property
    def wait_s(self) -> float | None:
        """Time until ``look`` should be called; None: never."""
        return None if self._shown is None else max(0.0, self._look_at - time.monotonic())

    def look(self, *, asked: bool = False) -> bool:
        """Whether there is a new certificate that can be used; ``asked`` takes the files unseen."""
        now = time.monotonic()
        if self._shown is None or (now < self._look_at and not asked):
            return False
        self._look_at = now + _LOOK_S
        taken = self._shown.renew() if asked else self._shown.renew_if_changed()
        if taken:
            _log.info("the certificate was read anew; connections that begin now are shown it")
            self._warn_at = 0.0
        self._warn()
        return taken

    def _warn(self) -> None:
        if self._shown is not None and time.monotonic() >= self._warn_at:
            self._warn_at = time.monotonic() + _WARN_S
            self._shown.warn(datetime.now(UTC))
