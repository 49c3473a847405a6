"""The scheduler process: one for a server, next to its workers."""

from __future__ import annotations

from appliance import faults
from appliance.accounts import failures
from appliance.app import open_appliance, open_database
from appliance.backends.reserve import Reserve
from appliance.config import Settings
from appliance.jobs.scheduler import Job, Scheduler
from appliance.serve.process import StopSignal
from appliance.upkeep import durable, prune, sweep

_MINUTE = 60


def run_scheduler(settings: Settings, supervisor_pipe: int) -> None:
    """The life of the scheduler process."""
    stop = StopSignal(supervisor_pipe)
    faults.point("scheduler.begun")
    appliance = open_appliance(settings)
    database, backend = appliance.database, appliance.backend
    jobs = [
        Job("sweep", settings.sweep_minutes * _MINUTE, 10 * _MINUTE, lambda: sweep.sweep(database, backend)),
    ]
    jobs.append(Job("login failures", 5 * _MINUTE, _MINUTE, lambda: failures.forget_old(database)))
    # Whatever is answered before it is durable: a blob goes only when its row is gone for good.
    durably = open_database(settings)
    reserve = Reserve(settings.data, settings.reserve)
    pruning = prune.PruneJob(
        durably,
        backend,
        every_s=settings.sweep_minutes * _MINUTE,
        # What an upload left that found no room is what the next one needs.
        hurries=reserve.is_near,
        stopping=lambda: stop.wait(0),
    )
    jobs.append(Job("prune", _MINUTE, 60 * _MINUTE, pruning))
    jobs.append(Job("reserve", _MINUTE, _MINUTE, reserve.renew))
    if settings.durability == "fast":
        jobs.append(Job("sync", durable.SYNC_EVERY_S, _MINUTE, lambda: durable.sync_packs(database, backend)))
    scheduler = Scheduler(database, jobs)
    faults.point("scheduler.ready")
    scheduler.start()
    stop.wait()
    scheduler.stop()
    try:
        durably.close()
    finally:
        appliance.close()
