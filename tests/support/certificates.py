"""Certificates for tests, made as `holdfast tls self-signed` makes them."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from appliance.tls import authority
from appliance.tls.authority import Files
from appliance.tls.shown import load


@dataclass(frozen=True)
class Certified:
    """A server's certificate for 127.0.0.1, and what clients need to trust it."""

    files: Files

    @classmethod
    def make(cls, folder: Path, *hosts: str, now: datetime | None = None) -> Certified:
        """In the folder ``tls`` below; the authority that is there already is used."""
        files = Files.of(folder)
        authority.make(files, hosts or ("localhost", "127.0.0.1"), now or datetime.now(UTC))
        return cls(files)

    def server(self) -> ssl.SSLContext:
        """What the server shows."""
        return load(self.files.certificate, self.files.key)[0]

    def client(self) -> ssl.SSLContext:
        """Trusts this authority and no other."""
        return ssl.create_default_context(cafile=str(self.files.root))

    @property
    def settings(self) -> dict[str, str]:
        """For a server."""
        return {"tls_certificate": str(self.files.certificate), "tls_key": str(self.files.key)}
