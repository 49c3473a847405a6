"""``holdfast serve``."""

from __future__ import annotations

import argparse
import ipaddress
import shlex
from contextlib import closing
from pathlib import Path
from typing import Any

from admin_ui.mounting import ANYBODY, mount_help
from appliance.accounts import users
from appliance.cli.context import Context
from appliance.config import Settings
from appliance.errors import HoldfastError
from appliance.logs.file import LogFile
from appliance.logs.setup import log_to_file, require_usable
from appliance.serve.supervisor import serve
from appliance.serve.worker import access_file
from appliance.stores import open_database
from appliance.tls.authority import Files


def add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the commands of this group to the parser."""
    command = commands.add_parser("serve", parents=[common], help="run the server")
    command.add_argument("--listen", metavar="HOST:PORT", help="where to listen (setting listen)")
    command.add_argument("--workers", metavar="N", help="processes that answer requests (setting workers)")
    command.add_argument("--durability", metavar="safe|fast", help="what survives a power cut (setting durability)")
    command.add_argument("--tls-certificate", metavar="FILE", help="speak https with it (setting tls_certificate)")
    command.add_argument("--tls-key", metavar="FILE", help="its private key (setting tls_key)")
    command.set_defaults(run=_serve)


def _serve(context: Context, options: argparse.Namespace) -> int:
    settings = context.settings
    _open_logs(settings)

    def announce(host: str, port: int) -> None:
        print(announcement(settings, host, port, _administrator(settings)), flush=True)

    return serve(settings, tell=lambda message: print(message, flush=True), announce=announce)


def _open_logs(settings: Settings) -> None:
    """What the server says goes to its log from here on; that something has to be put right first, to the terminal."""
    access = access_file(settings)
    if access is not None:
        require_usable(access, "access_log")
    if isinstance(settings.log_file, Path):
        own = LogFile(settings.log_file, most_bytes=settings.log_bytes, kept=settings.log_files_kept)
        require_usable(own, "log_file")
        log_to_file(own)


def announcement(settings: Settings, host: str, port: int, user: str) -> str:
    """What a server that listens on ``host`` says when it answers: where it is, and how ``user`` mounts it."""
    address = ipaddress.ip_address(host)
    everywhere = address.is_unspecified
    if everywhere:
        # Nobody can connect to an address that stands for all of them; this one is right for who reads the line.
        host = "::1" if ":" in host else "127.0.0.1"
    shown = f"[{host}]" if ":" in host else host
    scheme = "http" if settings.tls_certificate is None else "https"
    url = settings.public_urls[0] if settings.public_urls else f"{scheme}://{shown}:{port}"
    text = f"Holdfast serves {_store(settings)} at {url}/\n"
    if everywhere and not settings.public_urls:
        text += "That is its address on this machine; set public_urls to the address that others use.\n"
    if address.is_loopback and not (settings.public_urls or settings.trusted_proxies):
        text += (
            f"Only this machine reaches it. To serve the local network, stop it and type:\n{_opening(settings, port)}"
        )
    if settings.tls_certificate == Files.of(settings.data).certificate:
        text += "Each device has to trust its certificate once: `holdfast tls trust` says how, for each system.\n"
    return f"{text}\n{mount_help(url, user)}"


def _store(settings: Settings) -> str:
    """What is served, for people: the data folder, unless all of the store is somewhere else."""
    places = [place.shown for place in (settings.database_url, settings.blobs_url) if place is not None]
    return " with ".join(places if len(places) == 2 else [str(settings.data), *places])


def _opening(settings: Settings, port: int) -> str:
    """The command after which others in the network can connect."""
    files = Files.of(settings.data)
    makes = "holdfast tls self-signed && " if settings.tls_certificate is None else ""
    certificate = shlex.quote(str(settings.tls_certificate or files.certificate))
    key = shlex.quote(str(settings.tls_key or files.key))
    serves = f"holdfast serve --listen 0.0.0.0:{port} --tls-certificate {certificate} --tls-key {key}"
    return f"  {makes}{serves}\n"


def _administrator(settings: Settings) -> str:
    """The administrator of the settings; the store may have been made with another one."""
    # Closed before another worker is forked.
    with closing(open_database(settings)) as database:
        try:
            return users.get(database, settings.admin_user).name
        except HoldfastError:
            return ANYBODY
