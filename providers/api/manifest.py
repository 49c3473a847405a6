"""The chunks of a version of a file, and where their bytes are: for programs that fetch only what they lack.

A chunk is told of by way of a version that the caller may read, and by no other way: nobody can ask whether content is
stored here. Pages are bounded, and so is what each costs: a look into the database for all chunks of a page.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from appliance.accounts import policy
from appliance.accounts.policy import Action
from appliance.chunks import codec
from appliance.chunks.lending import Loan
from appliance.chunks.manifest import Entry
from appliance.errors import BadRequest, NotFound
from appliance.files import read
from appliance.files.read import OpenedVersion
from appliance.tree import nodes
from providers.api import answers, signed
from providers.api.request import Request, row_id
from providers.front.dates import format_iso_date
from providers.front.messages import Answer

MOST = 1000
"""Chunks on a page."""

_RUN_BYTES = 16 * 1_048_576
"""Of what this server sends for one range; packs of a remote store have about this size too."""

_STORE = "s3"
_MISSING = "this version of this file"
"""Somebody else's is not found in the very words in which what does not exist is not found."""
_CODECS = {codec.RAW: "raw", codec.ZSTD: "zstd"}
_CURSOR = re.compile(r"([1-9][0-9]{0,17})-([1-9][0-9]{0,17})")


class _Asked(NamedTuple):
    """``seq`` None: the current version. ``start``: where the first chunk of the page begins."""

    seq: int | None
    start: int
    limit: int


def show_manifest(request: Request) -> Answer:
    """A page of the chunks of a version, with URLs for their bytes."""
    asked = _asked(request)
    found = _found(request, asked)
    node = found.opened.node
    chunks = request.api.uploads.files.chunks
    entries = chunks.entries(found.opened.manifest, asked.start, asked.limit)
    if not entries and asked.start:
        raise BadRequest(reason="the cursor is none of this version")
    page = _Page(request, found, chunks.lend(entries))
    end = page.add(entries, asked.start)
    answer: dict[str, Any] = {
        "fileId": str(node.id),
        "version": str(node.version_seq),
        "size": node.bytes,
        "chunks": page.chunks,
        "runs": page.finish(),
    }
    lent = sum(run["length"] for run in answer["runs"] if run["source"] == _STORE)
    if lent:
        read.lend(request.api.uploads.files, request.principal, found.opened, lent)
    if end < node.bytes:
        answer["nextCursor"] = f"{node.version_seq}-{end}"
    return answers.document(200, answer)


def _found(request: Request, asked: _Asked) -> OpenedVersion:
    node_id, seq = row_id(request.values["fileId"], what=_MISSING), asked.seq
    # Who may not read is not told which ids there are.
    policy.require(request.principal, Action.READ, owner_id=request.principal.home_id)
    with request.api.uploads.files.database.read() as session:
        if seq is None:
            node = nodes.get(session, node_id)
            seq = None if node is None else node.version_seq
        if seq is None:
            raise NotFound(what=_MISSING)
        return read.open_version(session, request.principal, node_id, seq)


def _asked(request: Request) -> _Asked:
    query = request.query("version", "cursor", "limit")
    version, cursor = query.text("version"), query.text("cursor")
    seq, start = None if version is None else row_id(version, what=_MISSING), 0
    if cursor is not None:
        match = _CURSOR.fullmatch(cursor)
        if match is None or seq not in (None, int(match[1])):
            raise BadRequest(reason="the cursor is none of this version")
        seq, start = int(match[1]), int(match[2])
    return _Asked(seq, start, query.integer("limit", least=1, most=MOST, default=MOST))


@dataclass(slots=True)
class _Plain:
    """A run of plain bytes, which this server sends: ``first … end`` of the content."""

    number: int
    first: int
    end: int


@dataclass(slots=True)
class _Page:
    """Puts chunks and runs together; runs are numbered as chunks come to need them."""

    request: Request
    found: OpenedVersion
    loan: Loan
    chunks: list[dict[str, Any]] = field(default_factory=list)
    # Number on this page, by number in the loan.
    lent: dict[int, int] = field(default_factory=dict)
    plain: list[_Plain] = field(default_factory=list)

    def add(self, entries: Sequence[Entry], start: int) -> int:
        """Chunks that follow each other from ``start`` on; where they end."""
        for entry in entries:
            self.chunks.append({"sha256": entry.id.hex(), "offset": start, "length": entry.length})
            self.chunks[-1] |= self._of_store(entry) or self._of_server(entry, start)
            start += entry.length
        return start

    def finish(self) -> list[dict[str, Any]]:
        """The runs."""
        runs: dict[int, dict[str, Any]] = {}
        expires = format_iso_date(self.loan.expires_at)
        for number, at in self.lent.items():
            run = self.loan.runs[number]
            runs[at] = _run(run.url, run.first, run.end, expires, _STORE)
        if self.plain:
            node, request = self.found.opened.node, self.request
            assert node.version_seq is not None
            url = signed.url_for(
                request.api, request.environ, request.principal, node.id, node.version_seq, node.name, "attachment"
            )
            for each in self.plain:
                runs[each.number] = _run(url["downloadUrl"], each.first, each.end, url["expiresAt"], url["source"])
        return [runs[number] for number in range(len(runs))]

    def _of_store(self, entry: Entry) -> dict[str, Any] | None:
        lent = self.loan.chunks.get(entry.id)
        name = None if lent is None else _CODECS.get(lent.codec)
        if lent is None or name is None:
            return None
        number = self.lent.setdefault(lent.run, len(self.lent) + len(self.plain))
        return {"run": number, "runOffset": lent.start, "storedLength": lent.stored, "codec": name}

    def _of_server(self, entry: Entry, start: int) -> dict[str, Any]:
        last = self.plain[-1] if self.plain else None
        if last is None or last.end != start or last.end + entry.length - last.first > _RUN_BYTES:
            last = _Plain(len(self.lent) + len(self.plain), start, start)
            self.plain.append(last)
        last.end += entry.length
        return {
            "run": last.number,
            "runOffset": start - last.first,
            "storedLength": entry.length,
            "codec": _CODECS[codec.RAW],
        }


def _run(url: str, first: int, end: int, expires: str, source: str) -> dict[str, Any]:
    headers = {"Range": f"bytes={first}-{end - 1}"}
    return {"url": url, "headers": headers, "length": end - first, "expiresAt": expires, "source": source}
