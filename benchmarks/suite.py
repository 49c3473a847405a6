"""All workloads, in the order in which they run and are reported."""

from __future__ import annotations

from collections.abc import Collection

from benchmarks import listings, small_requests, transfers
from benchmarks.workloads import Workload

SUITE: tuple[Workload, ...] = (*transfers.WORKLOADS, *small_requests.WORKLOADS, *listings.WORKLOADS)

BY_NAME = {workload.name: workload for workload in SUITE}


def chosen(only: Collection[str], skip: Collection[str]) -> list[Workload]:
    """The workloads to run; nothing in ``only`` means all."""
    return [each for each in SUITE if (not only or each.name in only) and each.name not in skip]
