"""Reads the log of ``strace -f -xx -yy``: the calls in order, each with the moments of its beginning and its end.

A moment is the number of a line. strace sees a call before the kernel does and its return after the kernel is done, so
a call whose last line stands before another one's first line has happened before it; of others the order is unknown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

CHANGING = (
    "openat", "open", "creat", "write", "pwrite64", "writev", "pwritev", "pwritev2", "lseek", "ftruncate", "truncate",
    "fallocate", "rename", "renameat", "renameat2", "link", "linkat", "symlink", "symlinkat", "unlink", "unlinkat",
    "mkdir", "mkdirat", "rmdir", "mmap", "copy_file_range", "sendfile", "splice",
)  # fmt: skip
SYNCING = ("fsync", "fdatasync", "syncfs", "sync", "sync_file_range")
SENDING = ("sendto", "sendmsg")

NEVER = 1 << 62
"""The end of a call that did not return, because its process was killed."""

_DESCRIPTOR = re.compile(r"(?:-?\d+|AT_FDCWD)<([^<>]*)(?:<[^>]*>)?>(\(deleted\))?")


class Call(NamedTuple):
    """``arguments`` as printed, without the parentheses, but for bytes that were written or sent: those are ``data``.

    ``opened`` is the path of a descriptor that was returned.
    """

    process: int
    name: str
    arguments: list[str]
    result: int
    opened: str
    data: bytes
    begun: int
    ended: int


def read(log: Path) -> Iterator[Call]:
    """In the order of their ends; what never ended comes last."""
    begun: dict[int, tuple[int, str]] = {}
    with open(log, encoding="ascii") as lines:
        for at, line in enumerate(lines):
            process, _, rest = line.rstrip("\n").partition(" ")
            rest = rest.lstrip()
            pid = int(process)
            if rest.startswith(("+++", "---")):
                continue
            if rest.endswith("<unfinished ...>"):
                begun[pid] = (at, rest.removesuffix("<unfinished ...>").rstrip())
            elif rest.startswith("<... "):
                first, head = begun.pop(pid)
                yield _call(pid, head + rest[rest.index(">") + 1 :], first, at)
            else:
                yield _call(pid, rest, at, at)
    for pid, (first, head) in begun.items():
        yield _call(pid, head + ") = ?", first, NEVER)


def _call(process: int, text: str, begun: int, ended: int) -> Call:
    name, _, rest = text.partition("(")
    inner, _, result = rest.rpartition(" = ")
    arguments = inner.rstrip().removesuffix(")").split(", ")
    returned, *_ = result.split(" ", 1)
    number, _, _ = returned.partition("<")
    opened = _DESCRIPTOR.match(returned)
    if number == "?":
        ended = NEVER
    value = -1 if number == "?" else int(number, 0)
    data = b""
    if name in ("write", "pwrite64", "sendto"):
        # The text is four times as long: it goes.
        data, arguments[1] = quoted(arguments[1]), ""
    elif name in ("writev", "pwritev", "pwritev2"):
        data = b"".join(quoted(argument) for argument in arguments if "iov_base=" in argument)
        arguments[1:] = [argument for argument in arguments[1:] if "iov_" not in argument]
    return Call(process, name, arguments, value, unhex(opened[1]) if opened else "", data, begun, ended)


def unhex(text: str) -> str:
    """A path as ``-xx`` prints it; what is no path (``TCP:[…]``) is printed in plain."""
    return bytes.fromhex(text.replace("\\x", "")).decode() if text.startswith("\\x") else text


def quoted(argument: str) -> bytes:
    """The bytes of a string, whole."""
    first, last = argument.index('"'), argument.rindex('"')
    assert not argument.endswith("..."), "strace cut a string off; -s is too small"
    return bytes.fromhex(argument[first + 1 : last].replace("\\x", ""))


def descriptor(argument: str) -> str:
    """What a descriptor stands for: the path of a file by now, empty if nobody names it any more."""
    found = _DESCRIPTOR.match(argument)
    return "" if found is None or found[2] else unhex(found[1])
