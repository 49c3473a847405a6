"""The operations that are broken: everything that changes a store, and reading it.

Each ends in an ``Outcome``, whatever happens to it. A request's outcome is what its client sees.
"""

from __future__ import annotations

import hashlib
import os
import signal
import time
from collections.abc import Callable

from appliance import clock, retention
from appliance.accounts import app_passwords, users
from appliance.audit import expire as audit_expire
from appliance.audit import keys as audit_keys
from appliance.audit import seal
from appliance.backends.reserve import Reserve
from appliance.files import history, lock, trash
from appliance.moments import Moment
from appliance.sealing.changing import KeyChange
from appliance.sealing.opening import master_of
from appliance.serve import supervisor
from appliance.stores import open_unopened
from appliance.tree.paths import parse
from appliance.tree.versions import names
from appliance.upkeep import durable, expire, prune, repair, scrub, sweep
from appliance.upkeep.expire import Rules
from appliance.upkeep.prune import Policy
from appliance.upkeep.repack import Repacker, groups
from appliance.upkeep.weights import Weights
from tests.faults import uploads
from tests.faults.operation import Operation, Refused
from tests.faults.stage import Stage
from tests.server.content import noise
from tests.server.running import ADMIN, PASSWORD

KIB = 1024
SMALL, ONE, SEVERAL = noise(700, seed=1), noise(200 * KIB, seed=2), noise(3_300 * KIB, seed=3)
SECOND = b"a second version\n"
STORED = noise(150 * KIB, seed=4)
STORED_LARGE = noise(2_500 * KIB, seed=5)
"""Content of /docs/one and of /docs/large in the scenes."""


# -- requests ---------------------------------------------------------------------------------------------------------


def _ask(
    method: str, path: str, body: bytes | list[bytes] | None = None, target: str = "", **headers: str
) -> Callable[[Stage], str]:
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    if target:
        fields["Destination"] = f"/dav{target}"

    def act(stage: Stage) -> str:
        sent = {name: value.format(token=stage.known.token) for name, value in fields.items()}
        answer = stage.dav(method, f"/dav{path}", body, sent)
        if answer.status >= 300:
            raise Refused(answer.status)
        return str(answer.status)

    return act


def _get(path: str, content: bytes) -> Callable[[Stage], str]:
    def act(stage: Stage) -> str:
        answer = stage.dav("GET", f"/dav{path}")
        if answer.status != 200:
            raise Refused(answer.status)
        assert hashlib.sha256(answer.body).digest() == hashlib.sha256(content).digest(), "wrong bytes were served"
        return "200"

    return act


def _pieces(body: bytes) -> list[bytes]:
    return [body[at : at + 70_000] for at in range(0, len(body), 70_000)]


_LOCK = (
    b'<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope><locktype><write/></locktype>'
    b"<owner>me</owner></lockinfo>"
)
_PROPPATCH = (
    b'<propertyupdate xmlns="DAV:"><set><prop><color xmlns="urn:x">blue</color></prop></set>'
    b'<remove><prop><old xmlns="urn:x"/></prop></remove></propertyupdate>'
)

REQUESTS = [
    Operation("put-small-new", _ask("PUT", "/new", SMALL)),
    Operation("put-small-over", _ask("PUT", "/docs/small", SMALL)),
    Operation("put-empty", _ask("PUT", "/new", b"")),
    Operation("put-one-new", _ask("PUT", "/docs/new", ONE)),
    Operation("put-one-over", _ask("PUT", "/docs/one", ONE)),
    Operation("put-several-new", _ask("PUT", "/new", SEVERAL)),
    Operation("put-several-over", _ask("PUT", "/docs/small", SEVERAL)),
    Operation("put-chunked", _ask("PUT", "/new", _pieces(SEVERAL))),
    Operation("put-known", _ask("PUT", "/new", STORED), scene="epoch"),
    Operation("mkcol", _ask("MKCOL", "/docs/sub")),
    Operation("move", _ask("MOVE", "/docs", target="/papers")),
    Operation("move-over", _ask("MOVE", "/docs/one", target="/docs/small")),
    Operation("copy-file", _ask("COPY", "/docs/one", target="/copy")),
    Operation("copy-folder", _ask("COPY", "/docs", target="/copy")),
    Operation("copy-over", _ask("COPY", "/docs/one", target="/docs/small")),
    Operation("delete-file", _ask("DELETE", "/docs/one")),
    Operation("delete-folder", _ask("DELETE", "/docs")),
    Operation("proppatch", _ask("PROPPATCH", "/docs/small", _PROPPATCH)),
    Operation("lock", _ask("LOCK", "/docs/one", _LOCK)),
    Operation("lock-new", _ask("LOCK", "/new", _LOCK)),
    Operation("unlock", _ask("UNLOCK", "/held", Lock_Token="<{token}>")),
    Operation("get-small", _get("/docs/small", SECOND)),
    Operation("get-large", _get("/docs/large", STORED_LARGE)),
    Operation("put-sealed", _ask("PUT", "/docs/small", SEVERAL[70_000:]), scene="sealed"),
    Operation("get-sealed", _get("/docs/sealed", SEVERAL), scene="sealed"),
    Operation("propfind", _ask("PROPFIND", "/docs", Depth="1")),
]


# -- commands ---------------------------------------------------------------------------------------------------------


def _restore_version(stage: Stage) -> str:
    files, path = stage.appliance.files, parse("/docs/small")
    found = history.list_versions(files, stage.principal, path)
    history.restore_version(files, stage.principal, path, names(found)[-1])
    return "done"


def _restore_at(stage: Stage) -> str:
    history.restore_at(stage.appliance.files, stage.principal, parse("/docs"), Moment(at=stage.known.moment))
    return "done"


def _restore_trash(stage: Stage) -> str:
    trash.restore_removed(stage.appliance.files, stage.principal, stage.known.trashed_id)
    return "done"


def _add_user(stage: Stage) -> str:
    users.add(stage.appliance.database, "bob", PASSWORD)
    return "done"


def _set_password(stage: Stage) -> str:
    database = stage.appliance.database
    users.set_password(database, users.get(database, ADMIN), "another password")
    return "done"


def _purge_user(stage: Stage) -> str:
    database = stage.appliance.database
    users.purge_user(database, users.get(database, "carol"))
    return "done"


def _add_device(stage: Stage) -> str:
    database = stage.appliance.database
    app_passwords.add(database, users.get(database, ADMIN), "phone")
    return "done"


def _break_locks(stage: Stage) -> str:
    lock.break_locks(stage.appliance.files, stage.principal, parse("/held"))
    return "done"


def _sweep(stage: Stage) -> str:
    sweep.sweep(stage.appliance.database, stage.appliance.backend)
    return "done"


def _prune(stage: Stage) -> str:
    prune.prune(stage.appliance.database, stage.appliance.backend)
    return "done"


def _hold(stage: Stage) -> str:
    """What is needless goes into quarantine."""
    prune.prune(stage.appliance.database, stage.appliance.backend, Policy(quarantine_s=3600))
    return "done"


def _undo(stage: Stage) -> str:
    prune.undo(stage.appliance.database)
    return "done"


def _merge(stage: Stage) -> str:
    """Every pack is small, and two are many."""
    repacker = Repacker(stage.appliance.database, stage.appliance.backend, stage.appliance.backend)
    try:
        for group in groups(Weights(stage.appliance.database).packs()):
            repacker.move(group, is_marked=False)
    finally:
        repacker.end()
    return "done"


def _expire(stage: Stage) -> str:
    """All that is past, and the trash."""
    expire.expire(stage.appliance.database, Rules(retention.parse("none"), 0))
    return "done"


def _scrub(stage: Stage) -> str:
    scrub.everything(stage.appliance.database, stage.appliance.backend)
    return "done"


def _repair(stage: Stage) -> str:
    """What is left to prune needs living writers to follow first."""
    stage.appliance.chunks.writers.retire()
    repair.repair(stage.appliance.database, stage.appliance.backend, acts=True)
    return "done"


def _keys(stage: Stage) -> KeyChange:
    database, plain = open_unopened(stage.settings)
    database.close()
    return KeyChange(
        stage.appliance.database, plain, stage.appliance.chunks.identity.store_id, master_of(stage.settings)
    )


def _rotate(stage: Stage) -> str:
    _keys(stage).rotate()
    return "done"


def _rewrap(stage: Stage) -> str:
    """With the master key that it has, so that the stage opens afterwards."""
    master = master_of(stage.settings)
    assert master is not None
    _keys(stage).rewrap(master)
    return "done"


class _GettingFull(Reserve):
    """However much is free."""

    roomy = 1 << 40


def _reserve(stage: Stage) -> str:
    """The ballast is made, and given back to the last byte."""
    reserve = _GettingFull(stage.settings.data, 1024 * KIB)
    reserve.renew()
    while reserve.make_room(certain=True):
        pass
    return "done"


def _sync(stage: Stage) -> str:
    durable.sync_packs(stage.appliance.database, stage.appliance.backend)
    return "done"


def _seal(stage: Stage) -> str:
    keys = audit_keys.load(stage.settings)
    assert keys is not None
    seal.seal(stage.appliance.database, keys)
    return "done"


def _let_go(stage: Stage) -> str:
    """Of all that is sealed."""
    keys = audit_keys.load(stage.settings)
    assert keys is not None
    audit_expire.expire(stage.appliance.database, keys, clock.now() + clock.DAY)
    return "done"


COMMANDS = [
    Operation("restore-version", _restore_version),
    Operation("restore-at", _restore_at),
    Operation("restore-trash", _restore_trash),
    Operation("user-add", _add_user),
    Operation("user-password", _set_password),
    Operation("user-purge", _purge_user),
    Operation("app-password", _add_device),
    Operation("lock-break", _break_locks),
    Operation("sweep", _sweep, scene="killed"),
    Operation("prune", _prune, scene="broken-off"),
    Operation("prune-hold", _hold, scene="broken-off"),
    Operation("prune-release", _prune, scene="held"),
    Operation("prune-undo", _undo, scene="held"),
    Operation("repack", _prune, scene="heavy"),
    Operation("merge", _merge),
    Operation("expire", _expire),
    Operation("scrub", _scrub, scene="frame"),
    Operation("heal", _ask("PUT", "/docs/large", STORED_LARGE), scene="hole"),
    Operation("repair-frame", _repair, scene="frame"),
    Operation("repair-rows", _repair, scene="rowless"),
    Operation("repair-copy", _repair, scene="copied"),
    Operation("repair-needless", _repair, scene="needless"),
    Operation("key-rotate", _rotate, scene="sealed"),
    Operation("key-rewrap", _rewrap, scene="sealed"),
    Operation("audit-seal", _seal),
    Operation("audit-expire", _let_go, ready=_seal),
    Operation("reserve", _reserve),
    Operation("sync", _sync, scene="fast", ready=_ask("PUT", "/unsynced", ONE)),
]


# -- starting and stopping --------------------------------------------------------------------------------------------


def _start(stage: Stage) -> str:
    try:
        stage.start()
        stage.serve()
        stage.end_serving()
    finally:
        stage.let_go()
    return "done"


def _stop(stage: Stage) -> str:
    """What was stopped already is started before it."""
    if stage.opened is None:
        stage.open()
    try:
        stage.end_serving()
        stage.finish()
    finally:
        stage.let_go()
    return "done"


def _serve(stage: Stage) -> str:
    """The whole server with its processes; told to stop as soon as it answers."""

    def announce(host: str, port: int) -> None:
        # The jobs run once at the start.
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGTERM)

    supervisor.serve(stage.settings, tell=stage.told.append, announce=announce)
    return "done"


LIFE = [
    Operation("first-start", _start, scene="nothing", serves=False, keeps=False),
    Operation("start", _start, serves=False),
    Operation("start-sealing", _start, scene="sealing", serves=False),
    Operation("start-older", _start, scene="older", serves=False),
    Operation("start-after-kill", _start, scene="killed", serves=False),
    Operation("recover", _start, scene="damaged", serves=False, keeps=False),
    Operation("stop", _stop),
    Operation("stop-fast", _stop, scene="fast", ready=_ask("PUT", "/unsynced", ONE)),
    Operation("serve-first", _serve, scene="nothing", serves=False, forks=True, keeps=False),
    Operation("serve", _serve, scene="killed", serves=False, forks=True),
]

OPERATIONS = [*REQUESTS, *COMMANDS, *uploads.OPERATIONS, *LIFE]
