"""``holdfast tls``: a certificate for a home network, and how devices come to trust it."""

from __future__ import annotations

import argparse
import ipaddress
import shlex
import socket
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from appliance.cli.context import Context
from appliance.tls import authority
from appliance.tls.authority import Files, Made

# Nothing is sent there: asking for the way tells which of our addresses others see (RFC 5737, RFC 3849).
_ELSEWHERE = ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1"))


def add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the commands of this group to the parser."""
    group = commands.add_parser("tls", help="certificates for a home network").add_subparsers(
        title="commands", metavar="COMMAND", required=True
    )
    command = group.add_parser(
        "self-signed", parents=[common], help="make a certificate, or renew it; devices that trust it already go on so"
    )
    command.add_argument(
        "hosts",
        nargs="*",
        metavar="HOST",
        help="names and addresses that devices use (default: all of this machine, and those of the certificate before)",
    )
    command.set_defaults(run=_make)
    command = group.add_parser("trust", parents=[common], help="tell how each system comes to trust the certificate")
    command.set_defaults(run=_tell_trust)


def _make(context: Context, options: argparse.Namespace) -> int:
    files = Files.of(context.settings.data)
    hosts = options.hosts or list(dict.fromkeys((*own_hosts(), *authority.hosts_of(files))))
    made = authority.make(files, hosts, datetime.now(UTC))
    print(_result(files, made))
    print(trust_help(files, made.fingerprint))
    return 0


def _tell_trust(context: Context, options: argparse.Namespace) -> int:
    files = Files.of(context.settings.data)
    print(trust_help(files, authority.root_fingerprint(files)))
    return 0


def own_hosts() -> Iterator[str]:
    """Names and addresses under which this machine may be known."""
    name = socket.gethostname().rstrip(".")
    if name:
        yield name
        yield f"{name.partition('.')[0]}.local"
    yield from _own_addresses(name)
    yield from ("localhost", "127.0.0.1", "::1")


def _own_addresses(name: str) -> Iterator[str]:
    found = []
    with suppress(OSError, UnicodeError):
        found += [str(entry[4][0]) for entry in socket.getaddrinfo(name, None)]
    for family, elsewhere in _ELSEWHERE:
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect((elsewhere, 9))
            found.append(sock.getsockname()[0])
    for text in dict.fromkeys(found):
        ip = ipaddress.ip_address(text.partition("%")[0])
        if not (ip.is_loopback or ip.is_link_local or ip.is_unspecified):
            yield str(ip)


def _result(files: Files, made: Made) -> str:
    root = "a new authority" if made.root_is_new else "the same authority as before: devices that trust it go on so"
    return f"""\
Certificate for {", ".join(made.hosts)}
  until {made.ends:%Y-%m-%d}, signed by {root} (until {made.root_ends:%Y-%m-%d}).
  A server that shows it already takes the new one within seconds.

Settings:
  listen: 0.0.0.0:8443
  tls_certificate: {files.certificate}
  tls_key: {files.key}
or on the command line:
  holdfast serve --listen 0.0.0.0:8443 --tls-certificate {shlex.quote(str(files.certificate))} \
--tls-key {shlex.quote(str(files.key))}
"""


def trust_help(files: Files, fingerprint: str) -> str:
    """What a person does on each system, once."""
    root = shlex.quote(str(files.root))
    return f"""\
Authority: {files.root}
SHA-256:   {fingerprint}

Copy this file, and never {files.root_key.name}, to each device, and let it be trusted there:

  Windows    certutil -addstore -f Root ca.pem (as administrator), or rename it to ca.crt, open it, and install it
             for the local machine under "Trusted Root Certification Authorities".
  macOS      sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain ca.pem
  iOS        Send it to the device and open it. Settings > General > VPN & Device Management: install the profile.
             Then Settings > General > About > Certificate Trust Settings: switch it on.
  Android    Settings > Security > Encryption & credentials > Install a certificate > CA certificate. Apps may ignore
             it; those for WebDAV have an option of their own mostly.
  Linux      Debian, Ubuntu: sudo cp ca.pem /usr/local/share/ca-certificates/holdfast.crt
                             sudo update-ca-certificates
             Fedora:         sudo cp ca.pem /etc/pki/ca-trust/source/anchors/ && sudo update-ca-trust
  Firefox    Settings > Privacy & Security > Certificates > View Certificates > Authorities > Import.
  rclone     rclone --ca-cert {root} … (or RCLONE_CA_CERT), unless the system trusts it.
  curl       curl --cacert {root} …

Compare the fingerprint where a system shows it. Whoever has {files.root_key.name} can pretend to be any web site to
these devices: it stays in {shlex.quote(str(files.folder))}, where only this user reads it."""
