"""The command ``holdfast``."""

from __future__ import annotations

import argparse
import importlib
import io
import logging
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from appliance import __version__, config, faults
from appliance.cli.context import Context, visible
from appliance.errors import Fatal, HoldfastError, Invalid
from appliance.faults import Fault
from appliance.logs.setup import log_to_stderr

DONE, NOT_DONE, WRONG, INTERRUPTED = 0, 1, 2, 130

COMMANDS = {
    "serve": ("serve",),
    "accounts": ("user", "app-password"),
    "tokens": ("token",),
    "logins": ("login",),
    "sessions": ("session",),
    "history": ("versions", "keep", "diff", "restore", "trash"),
    "expire": ("expire",),
    "usage": ("usage",),
    "locks": ("lock",),
    "audit": ("audit",),
    "jobs": ("jobs",),
    "check": ("check",),
    "prune": ("prune",),
    "scrub": ("scrub", "repair"),
    "backup": ("backup", "check-backup", "restore-backup"),
    "migrate": ("migrate",),
    "tls": ("tls",),
    "keys": ("key",),
    "signing": ("signing-key",),
}
"""The commands of each module of this package."""

_log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code. Errors that can be expected are one line, never a traceback."""
    # Whatever is created is for its owner only.
    os.umask(0o077)
    _write_whatever_the_terminal_can()
    try:
        try:
            return _run(arguments)
        finally:
            _flush()
    except (Fatal, Invalid) as error:
        _say(error)
        return WRONG
    except HoldfastError as error:
        _say(error)
        return NOT_DONE
    except BrokenPipeError:
        # Whoever read the output has seen enough (`| head`).
        return NOT_DONE
    except OSError as error:
        _log.debug("the system refused", exc_info=True)
        where = "" if error.filename is None else f" ({error.filename})"
        _say(f"{error.strerror or error}{where}")
        return NOT_DONE
    except KeyboardInterrupt:
        return INTERRUPTED


def _run(arguments: Sequence[str] | None) -> int:
    given = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser(given).parse_args(given)
    settings = config.load(options.config, os.environ, _overrides(options))
    _set_up_logging(settings.log_level.upper())
    _arm(config.fault(os.environ))
    code: int = options.run(Context(settings), options)
    return code


def _wanted(given: Sequence[str]) -> Iterable[str]:
    """The modules that the arguments need: a command pays for its own imports alone, help and a mistake for all."""
    if given and given[0] == "--version":
        return ()
    found = [group for group, names in COMMANDS.items() if given and given[0] in names]
    return found or COMMANDS


def _arm(fault: Fault | None) -> None:
    """Test builds only; a server that breaks on purpose says so first."""
    if fault is not None:
        _log.warning("HOLDFAST_FAULT is armed: %s at passage %d of %s", fault.action, fault.number, fault.name)
        faults.arm(fault)


def _write_whatever_the_terminal_can() -> None:
    """Names and passwords hold what a terminal's character set may not: that is shown escaped, or refused later."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="surrogateescape" if stream is sys.stdin else "backslashreplace")


def _flush() -> None:
    """What is still buffered fails here, where it can be said, instead of at the end of the interpreter."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except OSError:
        _discard(sys.stdout)
        raise


def _discard(stream: TextIO) -> None:
    """Let what a stream could not write go nowhere: at its end the interpreter would try again, and exit with 120."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _say(error: object) -> None:
    """One line, with what notes of the error add."""
    text = "; ".join([str(error), *getattr(error, "__notes__", ())])
    if sys.stderr is None:
        return
    try:
        print(f"holdfast: {visible(text)}", file=sys.stderr, flush=True)
    except OSError:
        _discard(sys.stderr)


def _set_up_logging(level: str) -> None:
    log_to_stderr(level)
    if level != "DEBUG":
        # Both tell at "info" what only their own developers want to know.
        for name in ("alembic", "apscheduler"):
            logging.getLogger(name).setLevel(logging.WARNING)


def _overrides(options: argparse.Namespace) -> Mapping[str, object]:
    """Settings given as options of ``serve``."""
    names = ("listen", "workers", "durability", "tls_certificate", "tls_key")
    given = {name: getattr(options, name, None) for name in names}
    return {name: value for name, value in given.items() if value is not None}


def _parser(given: Sequence[str]) -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config", type=Path, metavar="FILE", help="configuration file (or HOLDFAST_CONFIG)")
    parser = argparse.ArgumentParser(prog="holdfast", description="A self-hosted WebDAV and sync appliance.")
    parser.add_argument("--version", action="version", version=f"holdfast {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in _wanted(given):
        group = importlib.import_module(f"appliance.cli.{name}")
        group.add_commands(commands, common)
    return parser


if __name__ == "__main__":
    sys.exit(main())
