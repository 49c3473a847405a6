"""Every path of the API, in the order in which people read it."""

from __future__ import annotations

from typing import Any

from providers.api.openapi.operations import (
    BYTES,
    CURSOR,
    DIGEST,
    FILE_ID,
    IF_MATCH,
    LIMIT,
    UPLOAD_ID,
    Reply,
    in_path,
    operation,
    parameter,
)
from providers.api.openapi.shapes import integer, moment, ref, text

_UPLOADS, _FILES, _CHANGES, _SIGNED = "Uploading", "Files", "Changes", "Signed URLs"
_CHANGING = (409, 412, 423, 507)

_UPLOADING: dict[str, dict[str, Any]] = {
    "/uploads/{uploadId}": {
        "get": operation(
            "getUpload",
            "How far an upload is",
            _UPLOADS,
            [Reply(200, "its state", ref("Upload"))],
            parameters=[UPLOAD_ID, parameter("firstPart", integer(minimum=1, maximum=10_000), "whose URLs come first")],
        ),
        "delete": operation(
            "abortUpload",
            "Give an upload up",
            _UPLOADS,
            [Reply(204, "what has come of it is removed")],
            parameters=[UPLOAD_ID],
            errors=(409,),
        ),
    },
    "/uploads/{uploadId}/content": {
        "put": operation(
            "putContent",
            "Send a small file",
            _UPLOADS,
            [Reply(200, "it is there", ref("Completed"), headers=("ETag",))],
            parameters=[UPLOAD_ID, DIGEST],
            body=BYTES,
            errors=_CHANGING,
        )
    },
    "/uploads/{uploadId}/parts/{number}": {
        "put": operation(
            "putPart",
            "Send a part",
            _UPLOADS,
            [Reply(200, "it is stored", ref("Part"), headers=("ETag",))],
            description="Any order, several at a time, again if need be.",
            parameters=[UPLOAD_ID, in_path("number", "^[0-9]{1,5}$", "from 1"), DIGEST],
            body=BYTES,
            errors=(409, 507),
        )
    },
    "/uploads/{uploadId}/complete": {
        "post": operation(
            "completeUpload",
            "Make the parts a file",
            _UPLOADS,
            [Reply(200, "the file", ref("Completed"), headers=("ETag",))],
            parameters=[UPLOAD_ID],
            body=ref("PartList"),
            optional_body=True,
            errors=_CHANGING,
        )
    },
}

_BY_ID: dict[str, dict[str, Any]] = {
    "/files": {
        "get": operation(
            "listFolder",
            "What is in a folder",
            _FILES,
            [Reply(200, "a page", ref("FolderPage"))],
            description="In the order of ids: no page shows a member twice, or leaves out one that was there.",
            parameters=[
                parameter("parentId", text(maxLength=20), "the folder's id; the root if nothing is said"),
                parameter("path", text(maxLength=4096), "the folder's path"),
                CURSOR,
                LIMIT,
            ],
            errors=(409,),
        ),
        "post": operation(
            "beginUpload",
            "Begin to upload a file",
            _UPLOADS,
            [Reply(201, "where its bytes go", ref("Begun"), headers=("Location",))],
            body=ref("NewUpload"),
            errors=_CHANGING,
        ),
    },
    "/files/{fileId}": {
        "get": operation(
            "getFile",
            "A file or folder, and a URL for its bytes",
            _FILES,
            [Reply(200, "what is known", ref("File"))],
            parameters=[FILE_ID, parameter("disposition", text(enum=["attachment", "inline"]), "of downloadUrl")],
        ),
        "patch": operation(
            "alterFile",
            "Another name, folder or time",
            _FILES,
            [Reply(200, "as it is now", ref("File"), headers=("ETag",))],
            parameters=[FILE_ID, IF_MATCH],
            body=ref("Alteration"),
            errors=_CHANGING,
        ),
        "delete": operation(
            "deleteFile",
            "Into the trash",
            _FILES,
            [Reply(204, "it is there")],
            parameters=[FILE_ID, IF_MATCH],
            errors=(409, 412, 423),
        ),
    },
    "/files/{fileId}/copy": {
        "post": operation(
            "copyFile",
            "A copy, of a folder with all in it",
            _FILES,
            [
                Reply(200, "in place of another", ref("File")),
                Reply(201, "the copy", ref("File"), headers=("Location",)),
            ],
            parameters=[FILE_ID, IF_MATCH],
            body=ref("Copy"),
            errors=_CHANGING,
        )
    },
    "/files/{fileId}/restore": {
        "post": operation(
            "restoreFile",
            "Out of the trash",
            _FILES,
            [Reply(200, "it is there again", ref("File"), headers=("ETag",))],
            parameters=[FILE_ID],
            body=ref("Place"),
            optional_body=True,
            errors=_CHANGING,
        )
    },
    "/files/{fileId}/versions": {
        "get": operation(
            "listVersions",
            "Earlier versions",
            _FILES,
            [Reply(200, "a page, the newest first", ref("Versions"))],
            parameters=[FILE_ID, CURSOR, LIMIT],
            errors=(409,),
        )
    },
    "/files/{fileId}/versions/{version}/restore": {
        "post": operation(
            "restoreVersion",
            "Make an earlier version the newest",
            _FILES,
            [Reply(200, "as it is now", ref("File"), headers=("ETag",))],
            parameters=[FILE_ID, in_path("version", "^[0-9]{1,18}([.][0-9]{1,18})?$", "as listed"), IF_MATCH],
            errors=_CHANGING,
        )
    },
    "/files/{fileId}/manifest": {
        "get": operation(
            "getManifest",
            "The chunks of a version, and where their bytes are",
            _FILES,
            [Reply(200, "a page", ref("Manifest"))],
            parameters=[
                FILE_ID,
                parameter("version", text(pattern="^[0-9]{1,18}$"), "the current one if nothing is said"),
                CURSOR,
                LIMIT,
            ],
            errors=(409,),
        )
    },
    "/files/{fileId}/zip": {
        "get": operation(
            "zipFolder",
            "A folder with all in it as a ZIP file",
            _FILES,
            [Reply(200, "made while it is sent", text(format="binary"), "application/zip")],
            parameters=[FILE_ID],
            errors=(409,),
        )
    },
    "/folders": {
        "post": operation(
            "makeFolder",
            "A new folder",
            _FILES,
            [Reply(201, "it is there", ref("File"), headers=("Location", "ETag"))],
            body=ref("NewFolder"),
            errors=_CHANGING,
        )
    },
    "/trash": {
        "get": operation(
            "listTrash",
            "What can be restored",
            _FILES,
            [Reply(200, "a page, the last deleted first", ref("Page"))],
            parameters=[CURSOR, LIMIT],
        )
    },
}

_FEED: dict[str, dict[str, Any]] = {
    "/changes": {
        "get": operation(
            "listChanges",
            "What has changed, or the next change",
            _CHANGES,
            [Reply(200, "a page", ref("Changes"))],
            description="Without a cursor: only the one of now. With `wait` the answer comes when there is something to"
            " tell, or after so many seconds.",
            parameters=[
                parameter("cursor", text(maxLength=200), "from the answer before; 0: from the beginning"),
                parameter("wait", integer(minimum=0, maximum=300), "seconds"),
                LIMIT,
            ],
            errors=(410,),
        )
    },
    "/files/{fileId}/changes": {
        "get": operation(
            "listChangesOfFile",
            "What happened to a file",
            _CHANGES,
            [Reply(200, "a page", ref("Changes"))],
            parameters=[FILE_ID, parameter("since", text(maxLength=200), "a cursor"), LIMIT],
            errors=(410,),
        )
    },
}

_WHO = "Activity and tokens"
_ACCOUNT: dict[str, dict[str, Any]] = {
    "/activity": {
        "get": operation(
            "listActivity",
            "Who did what",
            _WHO,
            [Reply(200, "a page, the newest first", ref("Activities"))],
            parameters=[
                parameter("fileId", text(pattern="^[0-9]{1,18}$"), "of this file alone"),
                parameter("user", text(maxLength=100), "for administrators: of this user; empty: of everybody"),
                parameter("since", moment(), "not before"),
                parameter("until", moment(), "not after"),
                parameter("face", text(maxLength=20), "by this way alone: dav, api, signed, web, cli"),
                parameter("action", text(maxLength=20), "this alone"),
                CURSOR,
                LIMIT,
            ],
        )
    },
    "/tokens": {
        "get": operation("listTokens", "Tokens that hold", _WHO, [Reply(200, "without their secrets", ref("Tokens"))]),
        "post": operation(
            "makeToken",
            "A token for a program",
            _WHO,
            [Reply(201, "its secret, this once", ref("MadeToken"), headers=("Location",))],
            body=ref("NewToken"),
            errors=(409,),
        ),
    },
    "/tokens/{tokenId}": {
        "delete": operation(
            "revokeToken",
            "End a token",
            _WHO,
            [Reply(204, "it works no more")],
            parameters=[in_path("tokenId", "^[0-9]{1,18}$")],
        )
    },
}

_BYTES_OF_VERSION = Reply(200, "the bytes", text(format="binary"), "*/*", ("ETag", "Cache-Control"))
_URL = [in_path("text", "^[^/]+$"), in_path("signature", "^[^/]+$"), in_path("name", "^[^/]+$")]
_WITHOUT_SIGNING_IN: dict[str, dict[str, Any]] = {
    "/signed/{text}/{signature}/{name}": {
        "get": operation(
            "download",
            "The bytes of a version",
            _SIGNED,
            [
                _BYTES_OF_VERSION,
                Reply(206, "a range of them", text(format="binary"), "*/*", ("Content-Range",)),
                Reply(304, "the client has them"),
            ],
            description="As downloadUrl says; never put together by a client. Without a query.",
            parameters=_URL,
            errors=(412, 416),
            is_open=True,
        )
    },
    "/openapi.json": {
        "get": operation(
            "getDescription",
            "This description",
            "The API itself",
            [Reply(200, "OpenAPI 3.1", {"type": "object"})],
            is_open=True,
        )
    },
    "/docs": {
        "get": operation(
            "getPage",
            "The same for people",
            "The API itself",
            [Reply(200, "a page", text(), "text/html")],
            is_open=True,
        )
    },
}

PATHS: dict[str, dict[str, Any]] = {**_BY_ID, **_UPLOADING, **_FEED, **_ACCOUNT, **_WITHOUT_SIGNING_IN}
