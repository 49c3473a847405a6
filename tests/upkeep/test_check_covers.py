"""The schema, the checks and their tests belong together: what is added to one is missed in the others."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
CHECKS = sorted((ROOT / "appliance" / "upkeep").glob("check*.py"))
TESTS = sorted(Path(__file__).parent.glob("test_*.py"))

# Table, and the kinds of findings that stand for its invariants, in the order of their sentences.
# SQLite's constraints hold "unique among siblings", and the kind "database" tells if they do not.
INVARIANTS = {
    "store": ("store", "epoch"),
    "location": ("location", "location", "location-blobs", "location-state", "location-state", "location-state"),
    "data_key": ("data-key", "data-key-newest"),
    "pack": ("pack-missing pack-size", "chunk-pack"),
    "chunk": ("chunk-pack chunk-place", "chunk-form"),
    "small": ("small-damaged",),
    "segment": ("segment-damaged", "segment-length"),
    "garbage": ("garbage",),
    "forgotten": ("forgotten-place",),
    "api_token": ("api-token-user", "api-token-device"),
    "tree": ("tree-owner user-tree", "tree-root", "journal-gap", "journal-time", "kept-states"),
    "kept": ("kept-states",),
    "folder_rule": ("folder-rule", "folder-rule"),
    "folder_kept": ("folder-rule",),
    "named_version": ("named-version",),
    "node": ("node-parent node-lost node-cycle", "node-name database", "node-seq", "node-totals", "node-version"),
    "placement": ("placement-range",),
    "version": ("version-size", "version-content segment-content version-manifest"),
    "journal": ("journal-time",),
    "trash": ("trash-node",),
    "property": ("property-node",),
    "lock": ("lock-node",),
    "audit_event": ("audit-events",),
    "audit_batch": ("audit-batches",),
    "audit_sealed": ("audit-sealed",),
    "upload": ("upload-tree", "upload-sums", "upload-manifest upload-content"),
    "upload_part": ("upload-part", "upload-size", "upload-content"),
}


def kinds_in_checks() -> set[str]:
    """Every kind that a check can find."""
    pattern = re.compile(r'(?:Rule\(|findings\.add\()\s*"([a-z-]+)"')
    return {kind for path in CHECKS for kind in pattern.findall(path.read_text(encoding="utf-8"))}


def test_every_invariant_of_the_schema_has_a_check() -> None:
    """Whoever writes a new one into the models file meets this test."""
    text = (ROOT / "appliance" / "db" / "models.py").read_text(encoding="utf-8")
    tables = re.findall(r'= Table\(\s*"(\w+)",(.*?)\n\)\n', text, re.DOTALL)
    sentences = {name: body.count("Invariant:") for name, body in tables}
    assert {name: count for name, count in sentences.items() if count} == {
        name: len(kinds) for name, kinds in INVARIANTS.items()
    }
    assert {kind for kinds in INVARIANTS.values() for some in kinds for kind in some.split()} <= kinds_in_checks()


def test_every_kind_of_finding_has_a_test() -> None:
    """What no test has broken may not work."""
    tests = "".join(path.read_text(encoding="utf-8") for path in TESTS if path.name != Path(__file__).name)
    assert {kind for kind in kinds_in_checks() if not re.search(rf'"{kind}(/[^"]*)?"', tests)} == set()
