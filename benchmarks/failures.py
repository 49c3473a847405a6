"""What a benchmark reports instead of a figure."""

from __future__ import annotations


class WrongAnswer(Exception):
    """A server answered something else than what it has to; the workload counts as failed there."""


class NotAvailable(Exception):
    """A peer, or a program, that cannot be had on this machine. The text says why."""
