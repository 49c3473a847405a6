"""A certificate authority for one home network: makes the server's certificate, signed by an own root.

Devices trust the root once; the server's certificate can then be renewed as often as it has to be. Elliptic-curve keys
(P-256), which every system of the last ten years takes.
"""

from __future__ import annotations

import ipaddress
import os
import re
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from appliance.errors import BadRequest, Fatal

_AUTHORITY_DAYS = 3652
# macOS and iOS refuse certificates that are valid for more than 825 days, also those of an own authority.
_SERVER_DAYS = 820
# A device's clock may be slow.
_CLOCKS_DIFFER = timedelta(hours=1)
_NAME = re.compile(
    r"(\*\.)?([A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
)
_MOST_NAME = 253
_MOST_COMMON_NAME = 64


@dataclass(frozen=True, slots=True)
class Files:
    """Where the authority keeps what it makes: a folder of the data folder, for its owner only."""

    folder: Path

    @classmethod
    def of(cls, data: Path) -> Files:
        """Those of a data folder."""
        return cls(data / "tls")

    @property
    def root(self) -> Path:
        """The certificate that devices have to trust."""
        return self.folder / "ca.pem"

    @property
    def root_key(self) -> Path:
        return self.folder / "ca.key"

    @property
    def certificate(self) -> Path:
        """The server's, for ``tls_certificate``."""
        return self.folder / "server.pem"

    @property
    def key(self) -> Path:
        """For ``tls_key``."""
        return self.folder / "server.key"


@dataclass(frozen=True, slots=True)
class Made:
    """What ``make`` has made, or found: names in the order given, and until when server and root are valid."""

    hosts: tuple[str, ...]
    fingerprint: str
    ends: datetime
    root_ends: datetime
    root_is_new: bool


def make(files: Files, hosts: Sequence[str], now: datetime) -> Made:
    """A new server certificate for ``hosts``, names or addresses; the root is made if there is none.

    The server's key stays the same, so that certificate and key belong together at every moment. Raises:

        BadRequest: a host is none.
        Fatal: the files that are there cannot be used.
        OSError: they cannot be written.
    """
    named = [_general_name(host) for host in dict.fromkeys(hosts)]
    files.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    files.folder.chmod(0o700)
    root_is_new = not files.root.exists()
    root_key = _key(files.root_key, make=root_is_new)
    root = _make_root(root_key, hosts[0], now) if root_is_new else _root(files, root_key, now)
    certificate = _make_certificate(root, root_key, _key(files.key, make=True), named, hosts[0], now)
    if root_is_new:
        _write(files.root, _pem(root))
    _write(files.certificate, _pem(certificate))
    return Made(
        tuple(dict.fromkeys(hosts)),
        fingerprint(root),
        certificate.not_valid_after_utc,
        root.not_valid_after_utc,
        root_is_new,
    )


def hosts_of(files: Files) -> tuple[str, ...]:
    """Names and addresses of the certificate that was made last; none if there is none that can be read."""
    try:
        certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound):
        return ()
    return tuple(str(name.value) for name in names)


def root_fingerprint(files: Files) -> str:
    """Raises ``Fatal`` if there is no root that can be read."""
    return fingerprint(_load_root(files))


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256, as systems show it."""
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        # What is digits and dots only was meant to be an address.
        if len(host) > _MOST_NAME or not _NAME.fullmatch(host) or not host.strip("0123456789."):
            raise BadRequest(reason=f"{host[:80]!r} is neither a host name nor an address") from None
        return x509.DNSName(host)


def _root(files: Files, key: ec.EllipticCurvePrivateKey, now: datetime) -> x509.Certificate:
    root = _load_root(files)
    if root.public_key() != key.public_key():
        raise Fatal(f"{files.root_key} is not the key of {files.root}; put back the ones that belong together")
    if root.not_valid_after_utc <= now + timedelta(days=1):
        raise Fatal(
            f"the certificate in {files.root} ended on {root.not_valid_after_utc:%Y-%m-%d}; remove it and "
            f"{files.root_key}, run this again, and let each device trust the new one"
        )
    return root


def _load_root(files: Files) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(files.root.read_bytes())
    except OSError as error:
        raise Fatal(f"{files.root} cannot be read ({error.strerror}); `holdfast tls self-signed` makes it") from error
    except ValueError as error:
        raise Fatal(f"{files.root} holds no certificate; put it back from a copy, or remove it") from error


def _key(path: Path, *, make: bool) -> ec.EllipticCurvePrivateKey:
    if make and not path.exists():
        made = ec.generate_private_key(ec.SECP256R1())
        pem = made.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        _write(path, pem)
        return made
    try:
        found = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise Fatal(f"{path} cannot be read ({error.strerror}); put it back from a copy") from error
    except (ValueError, TypeError) as error:
        raise Fatal(f"{path} holds no key that can be used; put it back from a copy, or remove it") from error
    if not isinstance(found, ec.EllipticCurvePrivateKey):
        raise Fatal(f"{path} holds a key of another kind; put it back from a copy, or remove it")
    return found


def _make_root(key: ec.EllipticCurvePrivateKey, host: str, now: datetime) -> x509.Certificate:
    # The random part tells apart the roots of two servers, or of two attempts, in a device's list.
    name = f"Holdfast {secrets.token_hex(4)} {host}"[:_MOST_COMMON_NAME]
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = _begin(subject, subject, key, now, now + timedelta(days=_AUTHORITY_DAYS))
    return (
        builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )


def _make_certificate(
    root: x509.Certificate,
    root_key: ec.EllipticCurvePrivateKey,
    key: ec.EllipticCurvePrivateKey,
    names: Iterable[x509.GeneralName],
    host: str,
    now: datetime,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host[:_MOST_COMMON_NAME])])
    ends = min(now + timedelta(days=_SERVER_DAYS), root.not_valid_after_utc)
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(root_key.public_key())
    return (
        _begin(subject, root.subject, key, now, ends)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(issuer, critical=False)
        .sign(root_key, hashes.SHA256())
    )


def _begin(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, now: datetime, ends: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCKS_DIFFER)
        .not_valid_after(ends)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all: a server that runs takes the file as soon as it changes."""
    beside = path.with_suffix(path.suffix + ".new")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
