"""A store whose blobs are sealed, as a server's start, its workers and the commands see it."""

from __future__ import annotations

from pathlib import Path

from appliance import config
from appliance.backends.base import Backend
from appliance.chunks import identity
from appliance.config import Settings
from appliance.db.database import Database
from appliance.sealing import opening
from appliance.sealing.changing import KeyChange
from appliance.sealing.master import MasterKey

BLOB = "packs/00000001/00000001"


class Keeping:
    """A database, the blobs beside it, and the settings of a node."""

    def __init__(self, database: Database, plain: Backend, folder: Path, **settings: str) -> None:
        self.database = database
        self.plain = plain
        self.folder = folder
        self.given = {"seal": "on", **settings}
        self.store_id = identity.establish(database, plain).store_id
        self.told: list[str] = []

    @property
    def settings(self) -> Settings:
        """Of this node."""
        given = {f"HOLDFAST_{name.upper()}": value for name, value in self.given.items()}
        return config.load(None, {"HOLDFAST_DATA": str(self.folder), **given}, {})

    def start(self) -> Backend:
        """As the server's start opens it."""
        return opening.establish(self.settings, self.database, self.plain, self.store_id, tell=self.told.append)

    def open(self) -> Backend:
        """As everybody else does."""
        return opening.recognize(self.settings, self.database, self.plain, self.store_id)

    def kept(self) -> opening.Kept:
        """Rows and blob."""
        return opening.load(self.database, self.plain, self.store_id)

    def change(self) -> KeyChange:
        """With the master key of the settings."""
        return KeyChange(self.database, self.plain, self.store_id, opening.master_of(self.settings))

    def give(self, master: MasterKey) -> None:
        """Start with another master key from now on."""
        self.given["master_key"] = master.text

    def require_agreement(self, *, keys: int) -> None:
        """Rows and blob say the same, and one key is not retired."""
        kept = self.kept()
        assert kept.rows == kept.blob
        assert len(kept.rows) == keys
        assert [each.retired_at is None for each in kept.rows] == [False] * (keys - 1) + [True]
