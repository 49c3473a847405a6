"""Uploads in parts, as operations that are broken."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import suppress

from appliance.accounts import users
from appliance.db.sql import Sql
from appliance.errors import NotFound
from appliance.principal import Principal
from appliance.tree.paths import parse
from appliance.uploads import begin, complete, concatenating, parts, status, stream, sweep
from appliance.uploads.begin import Wanted
from tests.faults.operation import Operation
from tests.faults.stage import Stage
from tests.files.person import principal_of
from tests.server.content import noise
from tests.server.running import ADMIN

KIB = 1024
CONTENT = noise(3_300 * KIB, seed=3)
_LAST_UPLOAD = Sql("SELECT token FROM upload ORDER BY id DESC LIMIT 1")
_PARTIALS = Sql("SELECT token FROM upload WHERE concat = 'partial' ORDER BY id")
_PART = 1_200 * KIB
_PIECES = (b"the first piece, ", b"and the second one")


def _admin(stage: Stage) -> Principal:
    """Uploads are of users."""
    return principal_of(users.get(stage.appliance.database, ADMIN))


def _upload_begin(stage: Stage) -> str:
    wanted = Wanted(parse("/docs"), "upload", len(CONTENT))
    begin.begin(stage.appliance.uploads, _admin(stage), wanted, part_size=_PART)
    return "done"


def _upload_parts(*numbers: int) -> Callable[[Stage], str]:
    """Each of them, in this order."""

    def act(stage: Stage) -> str:
        for number in numbers:
            body = io.BytesIO(CONTENT[(number - 1) * _PART : number * _PART])
            parts.put_part(stage.appliance.uploads, _admin(stage), _token(stage), number, body, length=None)
        return "done"

    return act


def _uploaded(*numbers: int) -> Callable[[Stage], object]:
    return lambda stage: (_upload_begin(stage), _upload_parts(*numbers)(stage))


def _upload_complete(stage: Stage) -> str:
    complete.complete(stage.appliance.uploads, _admin(stage), _token(stage))
    return "done"


def _upload_abort(stage: Stage) -> str:
    """What is left by one that broke off is for the job."""
    with suppress(NotFound):
        status.abort(stage.appliance.uploads, _admin(stage), _token(stage))
    sweep.sweep(stage.appliance.database)
    return "done"


def _stream_begin(stage: Stage) -> str:
    begin.begin(stage.appliance.uploads, _admin(stage), Wanted(parse("/docs"), "stream", len(CONTENT)), part_size=0)
    return _stream_to(_PART)(stage)


def _stream_to(end: int) -> Callable[[Stage], str]:
    """Go on from where it is."""

    def act(stage: Stage) -> str:
        service, principal, token = stage.appliance.uploads, _admin(stage), _token(stage)
        offset = status.status(service, principal, token).upload.offset
        stream.append(service, principal, token, offset, io.BytesIO(CONTENT[offset:end]), length=None)
        return "done"

    return act


def _partials(stage: Stage) -> None:
    for name in _PIECES:
        upload = begin.begin_partial(stage.appliance.uploads, _admin(stage), len(name), metadata=name.decode())
        body = io.BytesIO(name)
        stream.append(stage.appliance.uploads, _admin(stage), upload.token, 0, body, length=None)


def _concatenate(stage: Stage) -> str:
    with stage.appliance.database.read() as session:
        tokens = [row[0] for row in session.rows(_PARTIALS)]
    wanted = Wanted(parse("/docs"), "joined", 0, concat="final;" + " ".join(tokens))
    concatenating.concatenate(stage.appliance.uploads, _admin(stage), wanted, tokens)
    return "done"


def _token(stage: Stage) -> str:
    with stage.appliance.database.read() as session:
        row = session.row(_LAST_UPLOAD)
    return "" if row is None else row[0]


OPERATIONS = [
    Operation("upload-begin", _upload_begin),
    Operation("upload-part", _upload_parts(2), ready=_uploaded(3, 1)),
    Operation("upload-part-again", _upload_parts(2), ready=_uploaded(1, 2, 3)),
    Operation("upload-complete", _upload_complete, ready=_uploaded(1, 2, 3)),
    Operation("upload-stream", _stream_to(2 * _PART), ready=_stream_begin),
    Operation("upload-concat", _concatenate, ready=_partials),
    Operation("upload-abort", _upload_abort, ready=_uploaded(1, 3)),
]
