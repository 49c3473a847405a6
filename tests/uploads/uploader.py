"""Somebody who uploads in parts."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from dataclasses import dataclass

from appliance import clock
from appliance.files.write import Announced
from appliance.tree.paths import parse
from appliance.uploads import begin, complete, parts, status
from appliance.uploads.begin import Wanted
from appliance.uploads.complete import Completed
from appliance.uploads.rows import Upload
from appliance.uploads.service import Uploads
from tests.files.person import Person

LIFE_S = 3600


@dataclass(frozen=True)
class Uploader:
    """A person, and the service."""

    person: Person
    uploads: Uploads

    @classmethod
    def of(cls, person: Person, *, staged_bytes: int = 1 << 40) -> Uploader:
        """With uploads that live for an hour."""
        return cls(person, Uploads(person.files, LIFE_S * clock.SECOND, staged_bytes))

    def begin(self, path: str, size: int, *, part_size: int, **options: object) -> Upload:
        *folder, name = parse(path)
        wanted = Wanted(tuple(folder), name, size)._replace(**options)
        return begin.begin(self.uploads, self.person.principal, wanted, part_size=part_size)

    def put(self, upload: Upload, number: int, data: bytes, **options: object) -> str:
        options.setdefault("length", len(data))
        put = parts.put_part(self.uploads, self.person.principal, upload.token, number, io.BytesIO(data), **options)
        return put.etag

    def put_whole(self, upload: Upload, data: bytes) -> Completed:
        checksum = Announced({}, {"SHA256": hashlib.sha256()})
        token, body = upload.token, io.BytesIO(data)
        return complete.put_whole(self.uploads, self.person.principal, token, body, length=len(data), checksum=checksum)

    def complete(self, upload: Upload, **options: object) -> Completed:
        return complete.complete(self.uploads, self.person.principal, upload.token, **options)

    def status(self, upload: Upload) -> status.Status:
        return status.status(self.uploads, self.person.principal, upload.token)

    def abort(self, upload: Upload) -> None:
        status.abort(self.uploads, self.person.principal, upload.token)

    def upload(
        self, path: str, content: bytes, *, part_size: int, order: Iterable[int] | None = None, **options: object
    ) -> Completed:
        """All of it, part by part; ``order``: the numbers from 1."""
        upload = self.begin(path, len(content), part_size=part_size, **options)
        for number in order or range(1, upload.total + 1):
            self.put(upload, number, part_of(content, part_size, number))
        return self.complete(upload)

    def manifest(self, path: str) -> bytes:
        """Of the file as it is now."""
        node = self.person.node(path)
        select = "SELECT manifest FROM version WHERE node_id = :id AND seq = :seq"
        (row,) = self.person.rows(select, id=node.id, seq=node.version_seq)
        return bytes(row[0])


def part_of(content: bytes, part_size: int, number: int) -> bytes:
    """The bytes of a part."""
    return content[(number - 1) * part_size : number * part_size]
