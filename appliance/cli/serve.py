"""``holdfast serve``."""

from __future__ import annotations

import argparse
from typing import Any

from admin_ui.mounting import mount_help
from appliance.cli.context import Context
from appliance.serve.supervisor import serve


def add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the commands of this group to the parser."""
    command = commands.add_parser("serve", parents=[common], help="run the server")
    command.add_argument("--listen", metavar="HOST:PORT", help="where to listen (setting listen)")
    command.add_argument("--workers", metavar="N", help="processes that answer requests (setting workers)")
    command.add_argument("--durability", metavar="safe|fast", help="what survives a power cut (setting durability)")
    command.set_defaults(run=_serve)


def _serve(context: Context, options: argparse.Namespace) -> int:
    settings = context.settings

    def announce(host: str, port: int) -> None:
        shown = f"[{host}]" if ":" in host else host
        url = settings.public_urls[0] if settings.public_urls else f"http://{shown}:{port}"
        print(f"Holdfast serves {settings.data} at {url}/\n\n{mount_help(url, settings.admin_user)}", flush=True)

    return serve(settings, tell=lambda message: print(message, flush=True), announce=announce)
