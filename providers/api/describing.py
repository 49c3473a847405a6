"""A file or folder as JSON: the same fields wherever one is told of."""

from __future__ import annotations

from typing import Any

from appliance.files.by_id import Entry
from appliance.tree.paths import show
from appliance.uploads.rows import Upload
from providers.api.request import Request
from providers.front.content_types import content_type_of, media_type_or
from providers.front.dates import format_iso_date

UPLOADING = "uploading"
COMPLETED = "completed"
DELETED = "deleted"


def describe(request: Request, entry: Entry) -> dict[str, Any]:
    """What is there, or in the trash. Of a folder the sizes are those of all files in and below it."""
    node, removed = entry.node, entry.removed
    is_folder = node.is_folder
    described = {
        "fileId": str(node.id),
        "fileName": node.name,
        "isFolder": is_folder,
        "fileSize": node.bytes,
        "size": node.bytes,
        "mimeType": None if is_folder else media_type_or(entry.media_type, content_type_of(node.name)),
        "ownerId": str(request.principal.home_id),
        "parentId": _id(entry.parent_id),
        "path": show(entry.path),
        "createdAt": format_iso_date(node.created_at),
        "updatedAt": format_iso_date(node.modified_at),
        "status": COMPLETED if removed is None else DELETED,
        "version": _id(node.version_seq),
        "sha256": entry.sha256,
        "etag": node.etag(request.api.uploads.files.incarnation),
    }
    if is_folder:
        described["fileCount"] = node.files
    if removed is not None:
        described |= {"deletedAt": format_iso_date(removed.removed_at), "reason": removed.reason}
    return described


def describe_upload(request: Request, upload: Upload) -> dict[str, Any]:
    """A file that is not there yet."""
    return {
        "fileId": str(upload.node_id),
        "fileName": upload.name,
        "isFolder": False,
        "fileSize": upload.size,
        "size": upload.size,
        "mimeType": media_type_or(upload.media_type, content_type_of(upload.name)),
        "ownerId": str(request.principal.home_id),
        "parentId": str(upload.parent_id),
        "path": None,
        "createdAt": format_iso_date(upload.created_at),
        "updatedAt": format_iso_date(upload.created_at),
        "status": UPLOADING,
        "version": None,
        "sha256": None,
        "etag": None,
        "uploadId": upload.token,
    }


def _id(number: int | None) -> str | None:
    return None if number is None else str(number)
