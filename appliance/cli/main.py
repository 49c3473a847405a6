"""The command ``holdfast``."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from appliance import __version__, config
from appliance.cli import accounts, check, history, serve
from appliance.cli.context import Context
from appliance.errors import Fatal, HoldfastError

DONE, NOT_DONE, WRONG = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code. Errors that the product knows are one line, never a traceback."""
    # Whatever is created is for its owner only.
    os.umask(0o077)
    options = _parser().parse_args(arguments)
    try:
        settings = config.load(options.config, os.environ, _overrides(options))
        _set_up_logging(settings.log_level.upper())
        code: int = options.run(Context(settings), options)
        return code
    except Fatal as error:
        print(f"holdfast: {error}", file=sys.stderr)
        return WRONG
    except HoldfastError as error:
        print(f"holdfast: {error}", file=sys.stderr)
        return NOT_DONE
    except BrokenPipeError:
        # Whoever read the output has seen enough (`| head`).
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return NOT_DONE


def _set_up_logging(level: str) -> None:
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    if level != "DEBUG":
        # Both tell at "info" what only their own developers want to know.
        for name in ("alembic", "apscheduler"):
            logging.getLogger(name).setLevel(logging.WARNING)


def _overrides(options: argparse.Namespace) -> Mapping[str, object]:
    """Settings given as options of ``serve``."""
    given = {name: getattr(options, name, None) for name in ("listen", "workers", "durability")}
    return {name: value for name, value in given.items() if value is not None}


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config", type=Path, metavar="FILE", help="configuration file (or HOLDFAST_CONFIG)")
    parser = argparse.ArgumentParser(prog="holdfast", description="A self-hosted WebDAV and sync appliance.")
    parser.add_argument("--version", action="version", version=f"holdfast {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for group in (serve, accounts, history, check):
        group.add_commands(commands, common)
    return parser


if __name__ == "__main__":
    sys.exit(main())
