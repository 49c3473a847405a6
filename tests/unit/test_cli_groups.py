"""A command loads what it needs, and nothing of the others."""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from appliance import config
from appliance.cli.main import COMMANDS
from appliance.serve.prepare import prepare_store

DATABASES = {"alembic", "psycopg", "sqlalchemy"}
"""What SQL servers and migrations need: half of the time of a start."""


@pytest.mark.parametrize("group", COMMANDS)
def test_group_is_found_by_each_of_its_commands(group: str) -> None:
    """A command that is in no group's line would be refused."""
    commands = argparse.ArgumentParser().add_subparsers()
    importlib.import_module(f"appliance.cli.{group}").add_commands(commands, argparse.ArgumentParser(add_help=False))
    assert tuple(commands.choices) == COMMANDS[group]


@pytest.mark.parametrize(
    ("command", "unneeded"),
    [
        ("user", {*DATABASES, "minio", "rich", "apscheduler", "jinja2", "wsgidav", "cheroot"}),
        ("check", {*DATABASES, "minio", "rich", "apscheduler", "jinja2", "wsgidav", "cheroot"}),
        ("serve", {*DATABASES, "minio"}),
    ],
)
def test_command_starts_without_what_others_need(command: str, unneeded: set[str]) -> None:
    """Most of the time of a short command would be the libraries of servers: for the web, for SQL, and for S3."""
    loaded = loaded_by(command, "--help")
    assert "argparse" in loaded
    assert not unneeded & loaded


def test_command_over_a_store_in_a_file_loads_no_server_of_databases(tmp_path: Path) -> None:
    """Not while it runs either: the revision is compared without what migrates."""
    environment = {"HOLDFAST_DATA": str(tmp_path)}
    prepare_store(config.load(None, environment, {}), tell=lambda message: None)
    loaded = loaded_by("user", "list", environment=environment)
    assert "sqlite3" in loaded
    assert not DATABASES & loaded


def loaded_by(*arguments: str, environment: Mapping[str, str] | None = None) -> set[str]:
    """The packages that a command has loaded at its end."""
    program = (
        "import sys; from appliance.cli.main import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "print(*(name for name in sys.modules if '.' not in name))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        env={**os.environ, **(environment or {})}, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return set(done.stdout.split())
