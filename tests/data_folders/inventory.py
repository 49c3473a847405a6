"""What is in a store, as far as its users can tell."""

from __future__ import annotations

import hashlib
from typing import Any

from appliance.accounts import users
from appliance.app import Appliance
from appliance.db.sql import Sql
from appliance.files import history, read, trash
from appliance.files.context import Files
from appliance.principal import Principal, system
from appliance.tree.paths import Path, show
from appliance.uploads import rows
from appliance.uploads.rows import Upload

_OPEN = Sql(f"SELECT {', '.join(Upload._fields)} FROM upload WHERE state = 'open' ORDER BY id")


def inventory(appliance: Appliance) -> dict[str, Any]:
    """For each user: state, quota, every path with its content and versions, and the trash."""
    unfinished = _unfinished(appliance)
    return {
        user.name: {
            "role": user.role,
            "state": user.state,
            "quota_bytes": user.quota_bytes,
            "files": user.files,
            "bytes": user.bytes,
            "paths": dict(_paths(appliance.files, system(user.id, face="test"), ())),
            "trash": sorted(
                [removed.path, removed.reason]
                for removed in trash.list_trash(appliance.files, system(user.id, face="test"))
            ),
            **({"uploads": unfinished[user.id]} if user.id in unfinished else {}),
        }
        for user in users.listing(appliance.database)
    }


def _unfinished(appliance: Appliance) -> dict[int, list[Any]]:
    """What has come of uploads, by the user's id."""
    found: dict[int, list[Any]] = {}
    with appliance.database.read() as session:
        for upload in map(Upload._make, session.rows(_OPEN)):
            etags = [list(each) for each in rows.etags(session, upload.id)]
            found.setdefault(upload.user_id, []).append([upload.name, upload.size, upload.received, etags])
    return found


def _paths(files: Files, principal: Principal, path: Path) -> list[tuple[str, Any]]:
    listing = read.list_path(files, principal, path, members=True, with_properties=True, with_checksums=True)
    found: list[tuple[str, Any]] = [(show(path), {"properties": listing.extras.properties.get(listing.node.id, {})})]
    for member in listing.members:
        below = (*path, member.name)
        if member.is_folder:
            found += _paths(files, principal, below)
            continue
        opened = read.open_path(files, principal, below)
        versions = history.list_versions(files, principal, below)
        found.append(
            (
                show(below),
                {
                    "size": member.bytes,
                    "modified_at": member.modified_at,
                    "checksum": opened.checksum,
                    "sha256": _digest(read.content(files, opened, 0, member.bytes)),
                    "properties": listing.extras.properties.get(member.id, {}),
                    "versions": [[version.seq, version.size] for version in versions],
                },
            )
        )
    return found


def _digest(blocks: Any) -> str:
    digest = hashlib.sha256()
    for block in blocks:
        digest.update(block)
    return digest.hexdigest()
