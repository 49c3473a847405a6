"""The commands about Holdfast by itself: bigstore, bigstore-measure, huge, idle, profile, s3, nodes, signed."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from benchmarks.bigstore import generate
from benchmarks.bigstore_measure import describe, measure_store
from benchmarks.huge import measure_huge
from benchmarks.idle import measure_idle
from benchmarks.nodes import measure_nodes
from benchmarks.profiling import profile
from benchmarks.s3 import measure_s3
from benchmarks.signed import measure_signed
from benchmarks.site import Sizes
from benchmarks.suite import BY_NAME


def add_commands(commands: Any) -> None:
    """Add the commands of this group to the parser."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--port", type=int, default=18300, help="ports are taken from here upwards (default: 18300)")
    common.add_argument("--scratch", type=Path, metavar="FOLDER", help="where a server's files are while it runs")
    _add_bigstore(commands, common)
    _add_huge(commands, common)
    _add_idle(commands, common)
    _add_profile(commands, common)
    _add_s3(commands)
    _add_nodes(commands, common)
    _add_signed(commands, common)


def _add_signed(commands: Any, common: argparse.ArgumentParser) -> None:
    command = commands.add_parser("signed", parents=[common], help="downloads by signed URL, beside WebDAV")
    command.add_argument("--runs", type=int, default=20, metavar="N", help="runs of both (default: 20)")
    command.set_defaults(run=_signed)


def _signed(options: argparse.Namespace) -> int:
    found = measure_signed(runs=options.runs, first_port=options.port, scratch=options.scratch)
    print(found)
    return 0 if found.holds else 1


def _add_nodes(commands: Any, common: argparse.ArgumentParser) -> None:
    command = commands.add_parser("nodes", parents=[common], help="over PostgreSQL and S3, beside the default")
    command.add_argument("database_url", metavar="DATABASE_URL", help="of an empty database")
    command.add_argument("blobs_url", metavar="BLOBS_URL", help="s3://BUCKET/PREFIX?endpoint=…")
    command.add_argument("--runs", type=int, default=3, metavar="N", help="interleaved runs (default: 3)")
    command.set_defaults(run=_nodes)


def _nodes(options: argparse.Namespace) -> int:
    figures = measure_nodes(
        options.database_url,
        options.blobs_url,
        rounds=options.runs,
        first_port=options.port,
        scratch=options.scratch,
    )
    for figure in figures:
        print(figure)
    return 0 if all(figure.holds for figure in figures) else 1


def _add_s3(commands: Any) -> None:
    command = commands.add_parser("s3", help="blobs in an S3 store, beside the bare client; keys from the environment")
    command.add_argument("url", metavar="URL", help="s3://BUCKET/PREFIX?endpoint=…")
    command.add_argument("--runs", type=int, default=5, metavar="N", help="interleaved runs (default: 5)")
    command.set_defaults(run=_s3)


def _s3(options: argparse.Namespace) -> int:
    for figure in measure_s3(options.url, rounds=options.runs):
        print(figure)
    return 0


def _add_bigstore(commands: Any, common: argparse.ArgumentParser) -> None:
    command = commands.add_parser("bigstore", help="make a big store in an empty folder")
    command.add_argument("folder", type=Path, metavar="FOLDER")
    command.add_argument("--nodes", type=int, default=1_000_000, metavar="N", help="files and folders")
    command.add_argument("--versions", type=int, default=3_000_000, metavar="N", help="of all files together")
    command.add_argument("--seed", type=int, default=1, metavar="N", help="the same seed makes the same store")
    command.set_defaults(run=_bigstore)
    command = commands.add_parser(
        "bigstore-measure", parents=[common], help="hold such a store against an almost empty one"
    )
    command.add_argument("folder", type=Path, metavar="FOLDER")
    command.add_argument("--runs", type=int, default=5, metavar="N", help="interleaved runs (default: 5)")
    command.set_defaults(run=_bigstore_measure)


def _bigstore(options: argparse.Namespace) -> int:
    if options.nodes < 10:
        raise ValueError("a big store has at least 10 nodes")
    notes = generate(options.folder, nodes=options.nodes, versions=options.versions, seed=options.seed)
    print(f"{notes.nodes:,} nodes and {notes.versions:,} versions in {notes.seconds:.0f} s")
    return 0


def _bigstore_measure(options: argparse.Namespace) -> int:
    outcome = measure_store(options.folder, rounds=options.runs, first_port=options.port, scratch=options.scratch)
    print(describe(outcome))
    return 0 if outcome.holds else 1


def _add_huge(commands: Any, common: argparse.ArgumentParser) -> None:
    command = commands.add_parser(
        "huge", parents=[common], help="one huge file there and back, and the memory it takes"
    )
    command.add_argument("--gib", type=float, default=50.0, metavar="N", help="its size (default: 50)")
    command.add_argument("--durability", choices=("fast", "safe"), default="safe")
    command.add_argument("--chunked", action="store_true", help="send it without telling its length")
    command.set_defaults(run=_huge)


def _huge(options: argparse.Namespace) -> int:
    if options.gib <= 0:
        raise ValueError("a huge file has at least a few bytes")
    found = measure_huge(
        gib=options.gib,
        durability=options.durability,
        chunked=options.chunked,
        first_port=options.port,
        scratch=options.scratch,
    )
    print(found)
    return 0 if found.holds else 1


def _add_idle(commands: Any, common: argparse.ArgumentParser) -> None:
    command = commands.add_parser("idle", parents=[common], help="cost of a server that nobody uses, and its starts")
    command.add_argument("--seconds", type=float, default=60.0, metavar="N", help="how long to wait (default: 60)")
    command.add_argument("--durability", choices=("fast", "safe"), default="safe")
    command.add_argument("--data", type=Path, metavar="FOLDER", help="a data folder that is there, not a new one")
    command.set_defaults(run=_idle)


def _idle(options: argparse.Namespace) -> int:
    found = measure_idle(
        seconds=options.seconds,
        durability=options.durability,
        data=options.data.resolve() if options.data else None,
        first_port=options.port,
        scratch=options.scratch,
    )
    print(found)
    return 0 if found.holds else 1


def _add_profile(commands: Any, common: argparse.ArgumentParser) -> None:
    command = commands.add_parser("profile", parents=[common], help="where one worker's time goes under a workload")
    command.add_argument("workload", metavar="WORKLOAD", help="as `compare --list` shows them")
    command.add_argument("--durability", choices=("fast", "safe"), default="fast")
    command.add_argument("--quick", action="store_true", help="small sizes")
    command.add_argument("--requests", type=int, metavar="N", help="small requests in a run, instead of the usual")
    command.add_argument("--keep", type=Path, metavar="FOLDER", help="also write WORKLOAD.txt there")
    command.set_defaults(run=_profile)


def _profile(options: argparse.Namespace) -> int:
    if options.workload not in BY_NAME:
        raise ValueError(f"no workload is called {options.workload}; `compare --list` shows them")
    sizes = Sizes.quick() if options.quick else Sizes()
    if options.requests is not None:
        sizes = dataclasses.replace(sizes, small=options.requests, looks=options.requests)
    text = profile(
        BY_NAME[options.workload],
        sizes,
        durability=options.durability,
        first_port=options.port,
        scratch=options.scratch,
    )
    print(text)
    if options.keep is not None:
        options.keep.mkdir(parents=True, exist_ok=True)
        (options.keep / f"{options.workload}.txt").write_text(text, encoding="utf-8")
    return 0
