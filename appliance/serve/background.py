"""The scheduler process: one for a server, next to its workers."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from appliance import clock, faults
from appliance.accounts import failures, sessions, tokens
from appliance.accounts.sessions import Lives
from appliance.app import Appliance, lives, open_appliance
from appliance.audit import job as audit_job
from appliance.audit import keys as audit_keys
from appliance.audit.job import Auditing
from appliance.backends.base import Backend
from appliance.backends.paced import PacedBackend, Pacer
from appliance.backends.reserve import Reserve
from appliance.config import Settings
from appliance.db.database import Database
from appliance.jobs.performing import Job
from appliance.jobs.scheduler import Scheduler
from appliance.rates import buckets
from appliance.roster import BEAT_S, Roster
from appliance.serve.process import StopSignal, repeat
from appliance.serve.whereabouts import follow_moves
from appliance.stores import open_database, puts_synced, reserve_of, room_for_content
from appliance.upkeep import checksums, durable, measure, purging, scrub, sweep
from appliance.upkeep.expire import Rules
from appliance.upkeep.expire_job import ExpireJob
from appliance.upkeep.prune import Policy
from appliance.upkeep.prune_job import PruneJob
from appliance.upkeep.turn import Turn
from appliance.uploads import sweep as uploads

_log = logging.getLogger(__name__)

_MINUTE = 60
# Between two looks at the room: prune has to have freed what expired before more does.
_PRESSED_MINUTES = 15


def run_scheduler(settings: Settings, supervisor_pipe: int, roster: Roster) -> None:
    """The life of the scheduler process, whose seat is the roster's last."""
    stop = StopSignal(supervisor_pipe)
    faults.point("scheduler.begun")
    appliance = open_appliance(settings)
    durably = open_database(settings)
    # What one of the two hears of the blobs' whereabouts holds for the other.
    durably.guard = appliance.database.guard
    scheduler = Scheduler(appliance.database, jobs_of(settings, appliance, durably, stop.wait))
    faults.point("scheduler.ready")
    scheduler.start()
    done = threading.Event()
    repeat(done, BEAT_S, roster.seat(settings.workers).beat, name="sign of life")
    follow_moves(appliance.database, appliance.chunks.writers, stop, done)
    stop.wait()
    done.set()
    scheduler.stop()
    try:
        durably.close()
    finally:
        appliance.close()


def jobs_of(settings: Settings, appliance: Appliance, durably: Database, wait: Callable[[float], bool]) -> list[Job]:
    """Everything that a server does by itself.

    ``durably`` is the same database, where commits are durable whatever requests are. ``wait`` tells whether the
    process has to end, after so many seconds at most.
    """
    database, backend = appliance.database, appliance.backend
    reserve = reserve_of(settings)
    sweeping = settings.sweep_minutes * _MINUTE
    auditing = Auditing(durably, lambda: audit_keys.establish(settings, _log.warning), settings.audit_days)
    jobs = [
        Job("sweep", sweeping, lambda turn: sweep.sweep(database, backend, stopping=turn.is_lost), at_start=True),
        Job("login failures", 5 * _MINUTE, lambda turn: failures.forget_old(database)),
        Job("rate limits", 5 * _MINUTE, lambda turn: buckets.forget_full(database)),
        Job("uploads", uploads.EVERY_S, lambda turn: uploads.sweep(database, stopping=turn.is_lost)),
        Job("checksums", checksums.EVERY_S, lambda turn: _checksums(settings, appliance, wait, turn)),
        Job("audit", audit_job.EVERY_S, lambda turn: auditing(lambda: wait(0) or turn.is_lost())),
        Job("sessions", 60 * _MINUTE, lambda turn: _forget_signed_in(database, lives(settings))),
        Job(measure.NAME, measure.EVERY_S, measure.Measuring(database)),
        # After a crash its leftovers are what the next upload needs room for.
        Job("prune", _MINUTE, _pruning(settings, durably, backend, reserve, wait), at_start=True),
        Job("expire", min(settings.expire_minutes, _PRESSED_MINUTES) * _MINUTE, _expiring(settings, database, wait)),
    ]
    if settings.database_path is not None or settings.blobs_folder is not None:
        jobs.append(Job("reserve", _MINUTE, lambda turn: reserve.renew(), at_start=True))
    if settings.cdn_purge_url is not None:
        jobs.append(Job("caches", purging.EVERY_S, purging.Purging(database, settings.cdn_purge_url)))
    if settings.scrub_days:
        scrubbing = scrub.ScrubJob(
            database,
            backend,
            days=settings.scrub_days,
            bytes_per_s=settings.scrub_bytes_per_second,
            wait=wait,
        )
        jobs.append(Job("scrub", scrub.EVERY_S, scrubbing))
    if not puts_synced(settings):
        syncing = Job(
            "sync",
            durable.SYNC_EVERY_S,
            lambda turn: _quietly(durable.sync_packs(database, backend)),
            at_start=True,
        )
        jobs.append(syncing)
    return jobs


def _checksums(settings: Settings, appliance: Appliance, wait: Callable[[float], bool], turn: Turn) -> object:
    pacer = Pacer(settings.scrub_bytes_per_second, wait)
    return checksums.compute(appliance.database, appliance.chunks, pacer, stopping=lambda: wait(0) or turn.is_lost())


def _forget_signed_in(database: Database, lives: Lives) -> int:
    """Browsers and programs whose time is over; how many there were."""
    return sessions.forget_old(database, lives) + tokens.forget_old(database)


def _pruning(
    settings: Settings, durably: Database, backend: Backend, reserve: Reserve, wait: Callable[[float], bool]
) -> PruneJob:
    return PruneJob(
        # Whatever is answered before it is durable: a blob goes only when its row is gone for good.
        durably,
        backend,
        policy=Policy(settings.quarantine_hours * 3600, settings.dead_percent),
        source=PacedBackend(backend, Pacer(settings.scrub_bytes_per_second, wait)),
        every_s=settings.sweep_minutes * _MINUTE,
        # What an upload left that found no room is what the next one needs.
        hurries=reserve.is_near,
        room=room_for_content(settings),
        stopping=lambda: wait(0),
    )


def _expiring(settings: Settings, database: Database, wait: Callable[[float], bool]) -> ExpireJob:
    reserve = reserve_of(settings)
    return ExpireJob(
        database,
        Rules(settings.retention, settings.trash_days * clock.DAY),
        every_s=settings.expire_minutes * _MINUTE,
        presses=lambda: reserve.has_less_than(settings.pressure_percent),
        stopping=lambda: wait(0),
    )


def _quietly(outcome: object) -> None:
    """What is done every few seconds is not told each time."""
