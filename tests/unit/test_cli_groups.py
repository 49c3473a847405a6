"""A command loads what it needs, and nothing of the others."""

from __future__ import annotations

import argparse
import importlib
import subprocess
import sys

import pytest

from appliance.cli.main import COMMANDS


@pytest.mark.parametrize("group", COMMANDS)
def test_group_is_found_by_each_of_its_commands(group: str) -> None:
    """A command that is in no group's line would be refused."""
    commands = argparse.ArgumentParser().add_subparsers()
    importlib.import_module(f"appliance.cli.{group}").add_commands(commands, argparse.ArgumentParser(add_help=False))
    assert tuple(commands.choices) == COMMANDS[group]


@pytest.mark.parametrize(
    ("command", "unneeded"),
    [("user", {"minio", "rich", "apscheduler", "jinja2", "wsgidav", "cheroot"}), ("serve", {"minio"})],
)
def test_command_starts_without_what_others_need(command: str, unneeded: set[str]) -> None:
    """Half of the time of a short command would be the libraries of the web server and of S3."""
    program = (
        "import sys; from appliance.cli.main import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: print(*(name for name in sys.modules if '.' not in name))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, command, "--help"], check=True, capture_output=True, text=True
    )
    assert "argparse" in done.stdout
    assert not unneeded & set(done.stdout.split())
