"""Damage as disks and people do it: bytes of blobs, and rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from appliance.db.database import Database
from appliance.db.sql import Sql


class Damage:
    """Changes a store behind the product's back."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self._blobs = folder / "blobs"

    def sql(self, text: str, **parameters: Any) -> int:
        """Run a statement; returns the number of rows changed."""
        return self._database.write(lambda session: session.run(Sql(text), **parameters))

    def packs(self) -> list[str]:
        """The keys of all packs, in order."""
        return sorted(str(path.relative_to(self._blobs)) for path in self._blobs.glob("packs/*/*"))

    def flip(self, key: str, offset: int) -> None:
        """Change one byte of a blob."""
        with open(self._blobs / key, "r+b") as blob:
            blob.seek(offset)
            old = blob.read(1)
            blob.seek(offset)
            blob.write(bytes([old[0] ^ 0xFF]))

    def truncate(self, key: str, size: int) -> None:
        """Cut a blob off."""
        with open(self._blobs / key, "r+b") as blob:
            blob.truncate(size)

    def delete(self, key: str) -> None:
        """Remove a blob."""
        (self._blobs / key).unlink()

    def append(self, key: str, more: bytes) -> None:
        """Make a blob longer."""
        with open(self._blobs / key, "ab") as blob:
            blob.write(more)

    def take(self, key: str) -> bytes:
        """Remove a blob, to put it back later."""
        content = (self._blobs / key).read_bytes()
        self.delete(key)
        return content

    def put_back(self, key: str, content: bytes) -> None:
        """What was taken."""
        (self._blobs / key).write_bytes(content)

    def hide(self) -> None:
        """All blobs, as if their disk were not mounted."""
        self._blobs.rename(self._blobs.with_name("elsewhere"))
        self._blobs.mkdir()

    def unhide(self) -> None:
        """The disk is mounted again."""
        self._blobs.rmdir()
        self._blobs.with_name("elsewhere").rename(self._blobs)

    def make(self, key: str, content: bytes) -> None:
        """A blob that nobody put."""
        (self._blobs / key).parent.mkdir(parents=True, exist_ok=True)
        (self._blobs / key).write_bytes(content)
