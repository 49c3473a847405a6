"""rclone's configuration for a server: one remote for each kind of server that rclone may take it for."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.server.running import ADMIN, PASSWORD, Server

VENDORS = ["other", "owncloud"]
"""Also the names of the remotes."""


def write_config(path: Path, server: Server) -> Path:
    """The file, with the administrator signed in."""
    secret = subprocess.run(["rclone", "obscure", PASSWORD], capture_output=True, text=True, check=True).stdout.strip()
    path.write_text(
        "".join(
            f"[{vendor}]\ntype = webdav\nurl = {server.url}\nvendor = {vendor}\nuser = {ADMIN}\npass = {secret}\n"
            for vendor in VENDORS
        )
    )
    return path
