"""How durable blobs have to be by the settings, and what of the local disk they have to spare."""

from __future__ import annotations

from collections.abc import Callable

from appliance.backends.reserve import Reserve
from appliance.config import Settings


def puts_synced(settings: Settings) -> bool:
    """Whether what requests store has to be on stable storage before they are answered.

    Only where one machine has it all can the next start find out what a power cut took.
    """
    return settings.durability == "safe" or settings.is_shared or settings.blobs_folder is None


def reserve_of(settings: Settings) -> Reserve:
    """Of the file system that is written to for every change: SQLite's, or that of the blobs."""
    path = settings.database_path
    return Reserve(path.parent if path is not None else settings.blobs_folder or settings.data, settings.reserve)


def room_for_content(settings: Settings) -> Callable[[], int | None]:
    """Tells, each time, the bytes that new content may take; None where nobody can tell, as of an S3 service."""
    folder = settings.blobs_folder
    return (lambda: None) if folder is None else Reserve(folder, settings.reserve).usable
