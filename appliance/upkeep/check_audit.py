"""The audit trail's numbers. Whether its rows are what was sealed is told by ``holdfast audit verify``."""

from __future__ import annotations

from appliance.upkeep.check_rows import Rule

RULES = (
    Rule(
        "audit-events",
        "e.first, e.last, e.there, c.events",
        """
        FROM (SELECT MIN(id) AS first, MAX(id) AS last, COUNT(*) AS there FROM audit_event) e
        CROSS JOIN (SELECT COALESCE(MAX(events), 0) AS events FROM audit_count) c
        WHERE e.there > 0 AND (e.there <> e.last - e.first + 1 OR e.last <> c.events)
        """,
        "the audit trail",
        "has {2} events from {0} to {1}, and {3} were counted",
    ),
    Rule(
        "audit-batches",
        "b.first, b.last, b.there, COALESCE(k.number, 0)",
        """
        FROM (SELECT MIN(number) AS first, MAX(number) AS last, COUNT(*) AS there FROM audit_batch) b
        LEFT JOIN audit_checkpoint k ON k.id = 1
        WHERE b.there > 0 AND (b.there <> b.last - b.first + 1 OR b.first <> COALESCE(k.number, 0) + 1)
        """,
        "the audit trail",
        "has {2} batches from {0} to {1} behind a checkpoint of {3}",
    ),
    Rule(
        "audit-sealed",
        "s.tree_id, s.seq, t.seq",
        """
        FROM audit_sealed s
        JOIN (SELECT id, seq FROM tree UNION ALL SELECT 0, events FROM audit_count) t ON t.id = s.tree_id
        WHERE s.seq > t.seq
        """,
        "the audit trail",
        "is sealed up to {1} for tree {0}, which has come to {2}",
    ),
)
