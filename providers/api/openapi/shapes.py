"""The documents that go over the wire, as JSON Schema 2020-12."""

from __future__ import annotations

from typing import Any

from appliance.accounts.tokens import LIFE_MOST_S

Schema = dict[str, Any]


def ref(name: str) -> Schema:
    """One of ``SCHEMAS``."""
    return {"$ref": f"#/components/schemas/{name}"}


def text(description: str = "", **more: Any) -> Schema:
    return _typed("string", description, more)


def integer(description: str = "", **more: Any) -> Schema:
    return _typed("integer", description, more)


def flag(description: str = "") -> Schema:
    return _typed("boolean", description, {})


def moment(description: str = "") -> Schema:
    return text(description, format="date-time")


def nullable(schema: Schema) -> Schema:
    """Or null."""
    return {**schema, "type": [schema["type"], "null"]}


def listed(items: Schema, description: str = "", **more: Any) -> Schema:
    return _typed("array", description, {"items": items, **more})


def document(required: dict[str, Schema], optional: dict[str, Schema] | None = None, description: str = "") -> Schema:
    """An object; what else it may have is not said."""
    return _typed("object", description, {"properties": {**required, **(optional or {})}, "required": sorted(required)})


def asked(required: dict[str, Schema], optional: dict[str, Schema], description: str = "") -> Schema:
    """What a request brings: what may be missing may be null as well."""
    return document(required, {name: nullable(schema) for name, schema in optional.items()}, description)


def _typed(kind: str, description: str, more: dict[str, Any]) -> Schema:
    return {"type": kind, **({"description": description} if description else {}), **more}


ID = text("an id; never reused", pattern="^[0-9]{1,19}$")
ETAG = text("names the state of the content, or of all in a folder; with its quotes")
SHA256 = text("64 hex digits", pattern="^[0-9a-f]{64}$")
TOKEN = text("names the upload", pattern="^[0-9a-f]{32}$")
CURSOR = nullable(text("where the next page begins; null: this was the last one"))
NAME = text("a file's name", minLength=1, maxLength=255)

_FILE = {
    "fileId": ID,
    "fileName": text("the root's is empty"),
    "isFolder": flag(),
    "fileSize": integer("bytes; of a folder those of all files in and below it", minimum=0),
    "size": integer("fileSize once more", minimum=0),
    "mimeType": nullable(text("as the client called it, else by the name; null for folders")),
    "ownerId": ID,
    "parentId": nullable(ID),
    "path": nullable(text("where it is, or was; null while it is on its way here")),
    "createdAt": moment(),
    "updatedAt": moment("its modification time, which clients may set"),
    "status": text("", enum=["uploading", "completed", "deleted"]),
    "version": nullable(text("of its content; null for folders")),
    "sha256": nullable(SHA256),
    "etag": nullable(ETAG),
}
_MAYBE = {
    "fileCount": integer("files in and below a folder", minimum=0),
    "deletedAt": moment("of what is in the trash"),
    "reason": text("why it is there", enum=["deleted", "replaced"]),
    "uploadId": TOKEN,
    "downloadUrl": text("the bytes, for anybody who has the URL", format="uri"),
    "expiresAt": moment("when that URL ends"),
    "source": text("who answers there", enum=["cdn", "storage"]),
}
_PART_URL = document({"partNumber": integer(minimum=1, maximum=10_000), "url": text(format="uri")})
_TOKEN = {
    "tokenId": ID,
    "name": text(),
    "scopes": listed(text()),
    "deviceId": nullable(ID),
    "createdAt": moment(),
    "expiresAt": moment(),
}
_PAGED = {"cursor": CURSOR, "hasMore": flag()}
_TARGET = {
    "parentId": text("the folder's id; this or path", maxLength=20),
    "path": text("the folder's path; this or parentId", maxLength=4096),
}
_REPLACING = {
    "overwrite": flag("whether what has the name may be replaced"),
    "ifMatch": text("only if it has this ETag, or is there (*)", maxLength=200),
}

SCHEMAS: dict[str, Schema] = {
    "File": document(_FILE, _MAYBE, "A file or folder."),
    "Page": document({"files": listed(ref("File")), **_PAGED}),
    "FolderPage": document({"folder": ref("File"), "files": listed(ref("File")), **_PAGED}),
    "NewUpload": asked(
        {"fileName": NAME, "fileSize": integer("bytes", minimum=0, maximum=1 << 60)},
        {
            **_TARGET,
            **_REPLACING,
            "mimeType": text("as it will be told", maxLength=255),
            "sha256": text("the whole is held against it before anybody sees it", pattern="^[0-9a-fA-F]{64}$"),
            "modifiedAt": moment("the file's modification time"),
        },
    ),
    "Begun": document(
        {"fileId": ID, "uploadId": TOKEN, "expiresAt": moment()},
        {
            "uploadUrl": text("takes a file of at most 100,000,000 bytes", format="uri"),
            "chunkSize": integer("bytes of each part but the last", minimum=1),
            "totalChunks": integer("how many parts", minimum=1, maximum=10_000),
            "partUrls": listed(_PART_URL, "1,000 at a time"),
            "nextPartUrls": text("tells the next ones", format="uri"),
        },
    ),
    "Upload": document(
        {
            "uploadId": TOKEN,
            "fileSize": integer(minimum=0),
            "status": text(enum=["uploading", "completed"]),
            "bytes": integer("that are here", minimum=0),
            "percent": {"type": "number", "minimum": 0, "maximum": 100},
            "expiresAt": moment(),
        },
        {
            "fileId": ID,
            "fileName": NAME,
            "received": listed(integer(minimum=1), "numbers of the parts that are here; not of uploads by tus"),
            "tusUrl": text("where an upload by tus goes on", format="uri"),
            "chunkSize": integer(minimum=1),
            "totalChunks": integer(minimum=1),
            "partUrls": listed(_PART_URL),
            "nextPartUrls": text(format="uri"),
        },
    ),
    "Part": document({"partNumber": integer(minimum=1, maximum=10_000), "etag": text(), "size": integer(minimum=0)}),
    "PartList": asked(
        {},
        {
            "parts": listed(
                document({"partNumber": integer(minimum=1, maximum=10_000), "etag": text(maxLength=64)}),
                "all parts, as the client knows them",
                maxItems=10_000,
            )
        },
    ),
    "Completed": document(
        {
            "fileId": ID,
            "uploadId": TOKEN,
            "fileName": NAME,
            "fileSize": integer(minimum=0),
            "size": integer("fileSize once more", minimum=0),
            "mimeType": text("as the client called it, else by the name"),
            "ownerId": ID,
            "status": text(enum=["completed"]),
            "version": text(),
            "sha256": nullable(SHA256),
            "etag": ETAG,
        }
    ),
    "NewFolder": asked({"fileName": NAME}, {**_TARGET, "modifiedAt": moment(), "ifMatch": _REPLACING["ifMatch"]}),
    "Alteration": asked(
        {}, {"fileName": NAME, **_TARGET, **_REPLACING, "modifiedAt": moment("another modification time")}
    ),
    "Copy": asked({}, {"fileName": NAME, **_TARGET, **_REPLACING}),
    "Place": asked({}, {"fileName": NAME, **_TARGET}, "Where it is to be; where it was, if nothing is said."),
    "Versions": document(
        {
            "versions": listed(
                document(
                    {
                        "version": text("as restoring takes it"),
                        "fileId": ID,
                        "fileSize": integer(minimum=0),
                        "size": integer(minimum=0),
                        "createdAt": moment(),
                        "updatedAt": moment(),
                        "sha256": nullable(SHA256),
                        "deviceId": nullable(ID),
                        "name": nullable(text("what somebody called it")),
                        "isCurrent": flag(),
                    }
                )
            ),
            **_PAGED,
        }
    ),
    "Manifest": document(
        {
            "fileId": ID,
            "version": text(),
            "size": integer("bytes of the whole", minimum=0),
            "chunks": listed(
                document(
                    {
                        "sha256": SHA256,
                        "offset": integer("in the file", minimum=0),
                        "length": integer("of its plain bytes", minimum=1),
                        "run": integer("which of the runs has its bytes", minimum=0),
                        "runOffset": integer("where they begin in that", minimum=0),
                        "storedLength": integer("how many they are there", minimum=1),
                        "codec": text(enum=["raw", "zstd"]),
                    }
                )
            ),
            "runs": listed(
                document(
                    {
                        "url": text(format="uri"),
                        "headers": {"type": "object", "additionalProperties": text()},
                        "length": integer("bytes of the answer", minimum=1),
                        "expiresAt": moment(),
                        "source": text(enum=["s3", "storage", "cdn"]),
                    }
                )
            ),
        },
        {"nextCursor": text()},
    ),
    "Changes": document(
        {
            "changes": listed(
                document(
                    {
                        "fileId": ID,
                        "type": text(enum=["created", "modified", "deleted"]),
                        "timestamp": moment(),
                        "version": nullable(text("the one that it made")),
                        "deviceId": nullable(ID),
                        "fileName": text(),
                        "parentId": nullable(ID),
                        "isFolder": {"type": ["boolean", "null"]},
                        "path": nullable(text("where it is now; null: nowhere")),
                    },
                    {"previousParentId": ID, "previousName": text()},
                )
            ),
            "cursor": text("to ask with next time"),
            "hasMore": flag(),
        }
    ),
    "Activities": document(
        {
            "activities": listed(
                document(
                    {
                        "timestamp": moment(),
                        "action": text("what was done"),
                        "user": nullable(text("whose file or account it is")),
                        "by": nullable(text("who did it")),
                        "device": nullable(text("the app password's name")),
                        "deviceId": nullable(ID),
                        "face": text("by which way"),
                        "address": nullable(text()),
                        "fileId": nullable(ID),
                        "path": nullable(text()),
                        "version": nullable(text()),
                        "bytes": nullable(integer()),
                    },
                    {"requests": integer("of a download", minimum=1), "seconds": integer(minimum=0)},
                )
            ),
            "cursor": CURSOR,
        }
    ),
    "NewToken": asked(
        {
            "name": text("what it is for", minLength=1, maxLength=100),
            "scopes": listed(text(enum=["files:read", "files:write"]), minItems=1),
        },
        {"expiresIn": integer("seconds", minimum=1, maximum=LIFE_MOST_S)},
    ),
    "Token": document(_TOKEN),
    "MadeToken": document({**_TOKEN, "token": text("told this once")}),
    "Tokens": document({"tokens": listed(ref("Token"))}),
    "Problem": document(
        {
            "type": text("what went wrong, for programs: urn:holdfast:problem:…"),
            "title": text(),
            "status": integer(minimum=400, maximum=599),
            "detail": text("for people"),
        },
        {"instance": text("names the request in the server's log")},
        "RFC 9457.",
    ),
}
