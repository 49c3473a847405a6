"""Whether the settings name the place where the blobs are: else no server starts."""

from __future__ import annotations

import logging

from appliance.chunks import identity
from appliance.chunks.identity import ARRIVING, GENERATION
from appliance.config import Settings
from appliance.db import location
from appliance.db.database import Database
from appliance.db.location import DATA, Location
from appliance.db.sql import Session
from appliance.errors import ConfigError, HoldfastError
from appliance.stores.places import Places, is_same, named_blobs, shown_blobs

_log = logging.getLogger(__name__)


def require_named(settings: Settings, database: Database) -> Location:
    """Where the blobs are. While they move, the settings may name either place.

    Raises:
        ConfigError: they are somewhere else.
    """
    path = settings.database_path
    if path is not None and not path.exists():
        return Location()
    now = location.read(database) or Location()
    if not now.blobs_url or is_same(settings, now.blobs_url, ""):
        return now
    if now.is_halfway and is_same(settings, now.previous_url, ""):
        _log.warning("blobs move between %s and %s", *(shown_blobs(settings, url) for url in now[1:3]))
        return now
    if not now.state and _is_under_another_name(settings, database, now):
        return _rename(settings, database)
    there = shown_blobs(settings, now.blobs_url)
    what = "leave blobs_url unset" if now.blobs_url == DATA else f"set blobs_url to {there}"
    did = "are moving" if now.is_halfway else "have moved"
    raise ConfigError(
        setting="blobs_url",
        problem=f"{shown_blobs(settings, '')} is not where the blobs of this store are: they {did} to {there}; {what}",
    )


def _is_under_another_name(settings: Settings, database: Database, now: Location) -> bool:
    """Whether the place that is named is the one that blobs have moved to last: its host has another name, say."""
    try:
        blob = identity.read_blob(Places(settings).at(""))
    except (HoldfastError, OSError):
        return False
    return (
        blob is not None
        and blob["store"] == location.store_id(database)
        and not blob[ARRIVING]
        and blob[GENERATION] == str(now.generation)
    )


def _rename(settings: Settings, database: Database) -> Location:
    def work(session: Session) -> Location:
        location.alone(session)
        renamed = location.load(session)._replace(blobs_url=named_blobs(settings))
        location.store(session, renamed)
        return renamed

    return database.maintain(work)
