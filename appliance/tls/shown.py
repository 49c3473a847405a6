"""The certificate that the server shows: loaded, checked, and renewed while it runs."""

from __future__ import annotations

import logging
import ssl
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509

from appliance.errors import ConfigError

_log = logging.getLogger(__name__)

_SOON = timedelta(days=14)
_UNREADABLE = "write the path of a PEM file that this user may read"

# What tells that a file is another one: its inode, size and time; None where there is none.
_Mark = tuple[int, int, int] | None


class _Encrypted(Exception):
    """OpenSSL asked for the passphrase of a key."""


class ShownCertificate:
    """The certificate chain and key of two PEM files, which may be the same one.

    Made before the workers are forked, so that all of them begin with what was checked. Any thread.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        """
        Raises:
            ConfigError: the files cannot be used.
        """
        self._files = (certificate, key)
        self._marks = self._look()
        self._context, self._ends = load(certificate, key)

    @property
    def context(self) -> ssl.SSLContext:
        """For connections that begin now."""
        return self._context

    def renew(self) -> bool:
        """Take what the files hold now; whether that was possible. If not, the log says why and the old one stays."""
        self._marks = self._look()
        try:
            self._context, self._ends = load(*self._files)
        except ConfigError as error:
            _log.error("the new certificate is not taken, the one before stays: %s", error)
            return False
        return True

    def renew_if_changed(self) -> bool:
        """Whether the files are others than at the last look, and were taken."""
        return self._marks != self._look() and self.renew()

    def warn(self, now: datetime) -> None:
        """Log that it has ended, or will soon."""
        problem = expiry_problem(self._ends, now)
        if problem:
            _log.warning("tls_certificate: %s: %s; put a new one there, it is taken at once", self._files[0], problem)

    def _look(self) -> tuple[_Mark, ...]:
        return tuple(map(_mark, self._files))


def expiry_problem(ends: datetime, now: datetime) -> str:
    """What is wrong with a certificate that is valid until ``ends``; nothing if that is far away."""
    if ends <= now:
        return f"the certificate has expired on {ends:%Y-%m-%d}, clients refuse it"
    return f"the certificate expires on {ends:%Y-%m-%d}" if ends - now < _SOON else ""


def load(certificate: Path, key: Path) -> tuple[ssl.SSLContext, datetime]:
    """What connections are begun with, and until when the certificate is valid.

    Raises:
        ConfigError: one of the files cannot be read, holds something else, or they do not belong together.
    """
    chain = _certificates(certificate)
    _read("tls_key", key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # A client could make the server work for nothing by it; TLS 1.3 has none.
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key, password=_refuse_passphrase)
    except _Encrypted:
        raise ConfigError(
            setting="tls_key",
            problem=f"{key} is locked by a passphrase; store it without one, readable by this user only",
        ) from None
    except (ssl.SSLError, OSError) as error:
        raise _unusable(certificate, key, error) from error
    return context, chain[0].not_valid_after_utc


def _certificates(path: Path) -> list[x509.Certificate]:
    data = _read("tls_certificate", path)
    try:
        return x509.load_pem_x509_certificates(data)
    except ValueError as error:
        problem = f"{path} holds no certificate in PEM form; {_UNREADABLE}, the server's certificate first"
        raise ConfigError(setting="tls_certificate", problem=problem) from error


def _read(setting: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        problem = f"{path} cannot be read ({error.strerror}); {_UNREADABLE}"
        raise ConfigError(setting=setting, problem=problem) from error


def _unusable(certificate: Path, key: Path, error: OSError) -> ConfigError:
    reason = getattr(error, "reason", None) or str(error)
    if reason == "KEY_VALUES_MISMATCH":
        problem = f"{key} is not the key of the certificate in {certificate}; name two files that belong together"
    elif reason.endswith(("_TOO_SMALL", "_TOO_WEAK")):
        problem = f"OpenSSL refuses {certificate} as too weak ({reason}); have a new one made, with a key of today"
    else:
        problem = f"{key} holds no private key in PEM form that OpenSSL takes ({reason})"
    return ConfigError(setting="tls_key", problem=problem)


def _refuse_passphrase() -> str:
    # Without a function OpenSSL asks at the terminal, and a service would wait for ever.
    raise _Encrypted


def _mark(path: Path) -> _Mark:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns
