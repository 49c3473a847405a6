"""The command line: `python -m benchmarks COMMAND`."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence

from benchmarks import cli_compare, cli_scale, cli_sizes, cli_store
from benchmarks.failures import NotAvailable, WrongAnswer


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code: 1 where a mark is missed or something could not be measured, 2 for a mistake in the use."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Holdfast beside its peers, and alone.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for group in (cli_compare, cli_store, cli_sizes, cli_scale):
        group.add_commands(commands)
    options = parser.parse_args(arguments)
    try:
        code: int = options.run(options)
        return code
    except (NotAvailable, WrongAnswer) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    except (ValueError, FileNotFoundError) as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # Whoever read the output has seen enough (`| head`).
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    # As Ctrl-C: the servers that were started are stopped on the way out.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sys.exit(main())
