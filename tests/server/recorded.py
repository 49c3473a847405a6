"""A tree that changes, and what it held at some moments."""

from __future__ import annotations

import random
from urllib.parse import quote

from appliance import clock, moments
from tests.server.dav_client import Dav
from tests.server.listing import properties, tree


def seq_of(dav: Dav) -> int:
    """The number of the last change of the tree, which the root's ETag ends with."""
    return int(properties(dav, "/dav/", "D:getetag")["D:getetag"].strip('"').split("-")[-1], 16)


class Recorded:
    """A tree that changes at random, and what it held at some moments, by the names of these."""

    def __init__(self, dav: Dav, files: int) -> None:
        self._dav = dav
        self._random = random.Random(files)
        self._files = files
        self.then: dict[str, dict[str, bytes]] = {}
        for number in range(max(files // 50, 3)):
            dav.ok("MKCOL", f"/dav/folder%20{number}/")
        for number in range(files):
            dav.ok("PUT", self._path(number), self._body())
        self.remember()

    def _path(self, number: int) -> str:
        return quote(f"/dav/folder {number % max(self._files // 50, 3)}/file {number}; é?")

    def _body(self) -> bytes:
        return self._random.randbytes(self._random.choice((0, 10, 3_000, 40_000)))

    def remember(self) -> None:
        """The present, by its time to the microsecond, and by the number of its change."""
        state = tree(self._dav, "/dav/")
        seq = seq_of(self._dav)
        self.then[f"seq-{seq}"] = state
        # The server's clock is this one; the last change was before now, and the next one comes later.
        self.then[moments.show(clock.now(), exact=True)] = state

    def disturb(self, moment: int) -> None:
        """Contents, names, folders: each kind of change."""
        for number in self._random.sample(range(self._files), self._files // 4):
            self._dav.ok("PUT", self._path(number), self._body())
        for number in self._random.sample(range(self._files), self._files // 10):
            self._dav("DELETE", self._path(number))
        target = {"Destination": f"/dav/moved-{moment}/", "Overwrite": "F"}
        self._dav.ok("MOVE", f"/dav/folder%20{moment % 3}/", headers=target)
        self._dav.ok("MKCOL", f"/dav/folder%20{moment % 3}/")
        self._dav.ok("COPY", f"/dav/moved-{moment}/", headers={"Destination": f"/dav/copied-{moment}/"})
        if moment:
            self._dav.ok("DELETE", f"/dav/copied-{moment - 1}/")
