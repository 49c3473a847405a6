"""What somebody with the database, and without the key, changes in the trail shows."""

from __future__ import annotations

import pytest

from appliance.accounts import users
from appliance.audit.keys import AuditKey, AuditKeys
from appliance.audit.verify import verify
from tests.audit.trail import Trail
from tests.support.damage import Damage

SWAP = (
    "UPDATE audit_batch SET number = 99 WHERE number = 2",
    "UPDATE audit_batch SET number = 2 WHERE number = 3",
    "UPDATE audit_batch SET number = 3 WHERE number = 99",
)
ADDED = """
    INSERT INTO audit_event VALUES ({id}, 1, 0, 'download', 1, 1, 1, 'x', 1, 1, 1, NULL, 'dav', '192.0.2.7')
"""
FORGED = "UPDATE audit_batch SET mac = (SELECT b.mac FROM audit_batch b WHERE b.number = 1) WHERE number = 2"
CHANGED = """
    INSERT INTO journal (tree_id, seq, at, kind, node_id, face, address)
    VALUES ({tree_id}, {seq}, 1, 'update', 1, 'dav', '')
"""
CHECKPOINT = """
    INSERT INTO audit_checkpoint SELECT 1, number, mac, 4, 5, 6, mac, key_id, mac FROM audit_batch WHERE number = 1
"""
# What is changed, and a word of what has to be told.
CHANGES: dict[str, tuple[str, ...]] = {
    "are not what they were/who": ("UPDATE journal SET user_id = 2 WHERE tree_id = 1 AND seq = 1",),
    "are not what they were/when": ("UPDATE journal SET at = at - 1 WHERE tree_id = 1 AND seq = 1",),
    "are not what they were/what": ("UPDATE journal SET to_name = 'else' WHERE tree_id = 1 AND seq = 2",),
    "are not what they were/from where": ("UPDATE journal SET address = '192.0.2.1' WHERE tree_id = 2 AND seq = 1",),
    "are not what they were/bytes": ("UPDATE journal SET bytes = 5 WHERE tree_id = 1 AND seq = 3",),
    "are not what they were/face": ("UPDATE journal SET face = 'cli' WHERE tree_id = 1 AND seq = 3",),
    "are not what they were/event": ("UPDATE audit_event SET name = 'else' WHERE id = 1",),
    "are missing/change": ("DELETE FROM journal WHERE tree_id = 1 AND seq = 2",),
    "are missing/event": ("DELETE FROM audit_event WHERE id = 3",),
    "are missing/event that is not sealed": ("DELETE FROM audit_event WHERE id = 5",),
    "are missing/change that is not sealed": ("DELETE FROM journal WHERE tree_id = 1 AND seq = 6",),
    "gone with the tree": ("DELETE FROM journal WHERE tree_id = 2", "DELETE FROM tree WHERE id = 2",
                           "DELETE FROM audit_sealed WHERE tree_id = 2"),
    "were added/event": (ADDED.format(id=0),),
    "were added/event behind": (ADDED.format(id=77),),
    "were added/change": (CHANGED.format(tree_id=1, seq=0),),
    "were added/change behind": (CHANGED.format(tree_id=2, seq=9),),
    "does not follow the one before/order": SWAP,
    "does not follow the one before/time": ("UPDATE audit_batch SET sealed_at = sealed_at + 1 WHERE number = 2",),
    "does not follow the one before/forged": (FORGED,),
    "does not tell which rows": ("UPDATE audit_batch SET spans = SUBSTR(spans, 2) WHERE number = 2",),
    "batches 1 to 1 are missing": ("DELETE FROM audit_batch WHERE number = 1",),
    "batches 2 to 2 are missing": ("DELETE FROM audit_batch WHERE number = 2",),
    "as was noted": ("DELETE FROM audit_batch WHERE number = 3",),
    "as was noted/skipped": ("UPDATE audit_sealed SET seq = 6 WHERE tree_id = 1",),
    "not given": ("UPDATE audit_batch SET key_id = 'ffffffffffffffff' WHERE number = 2",),
    "checkpoint": (CHECKPOINT, "DELETE FROM audit_batch WHERE number = 1"),
}  # fmt: skip
TABLES = ("journal", "audit_event", "audit_batch", "audit_sealed", "audit_checkpoint", "tree")


def test_untouched_trail_is_as_it_was_sealed(trail: Trail) -> None:
    """Also after a batch more; nothing is sealed twice."""
    found = trail.verify()
    assert found.problems == []
    assert (found.batches, found.rows, found.waiting) == (3, 10, 2)
    assert trail.seal() == 1
    assert trail.seal() == 0
    assert trail.verify()[:3] == (4, 12, 0)


def test_whatever_is_changed_is_told(trail: Trail, damage: Damage) -> None:
    """Each by itself; put back as it was, the trail is right again."""
    before = {name: trail.rows(f"SELECT * FROM {name}") for name in TABLES}
    for name, statements in CHANGES.items():
        assert all(damage.sql(statement) for statement in statements), name
        problems = trail.verify().problems
        assert [each for each in problems if name.partition("/")[0] in each], (name, problems)
        for table in TABLES:
            damage.sql(f"DELETE FROM {table}")
            for row in before[table]:
                marks = {f"c{index}": cell for index, cell in enumerate(row)}
                damage.sql(f"INSERT INTO {table} VALUES ({', '.join(':' + mark for mark in marks)})", **marks)
    assert trail.verify().problems == []


def test_end_that_was_cut_off_is_told_by_a_head_alone(trail: Trail, damage: Damage) -> None:
    """Whoever takes the end away, with all that tells of it, leaves a trail that is right, and too short."""
    early = trail.head()
    trail.seal()
    late = trail.head()
    assert trail.verify(late).problems == trail.verify(early).problems == []
    damage.sql("DELETE FROM audit_batch WHERE number = 4")
    damage.sql("UPDATE audit_sealed SET seq = 5 WHERE tree_id = 1")
    damage.sql("UPDATE audit_sealed SET seq = 4 WHERE tree_id = 0")
    damage.sql("UPDATE journal SET user_id = 2 WHERE tree_id = 1 AND seq = 6")
    assert trail.verify().problems == trail.verify(early).problems == []
    assert trail.verify(late).problems == ["the trail ends with batch 3; the head that is given is of batch 4"]
    # Sealed once more it is another one.
    trail.seal()
    assert trail.verify().problems == []
    assert trail.verify(late).problems == ["batch 4 is another one than the head that was exported"]


def test_head_of_another_store_is_told(trail: Trail) -> None:
    """It says nothing of this one."""
    (problem,) = trail.verify(trail.head()._replace(store="0" * 32)).problems
    assert "is of the store 0000" in problem


def test_chain_cannot_be_made_anew_without_the_key(trail: Trail, damage: Damage) -> None:
    """Whoever seals again after a change, with a key of their own, is found out by whose key that is."""
    head = trail.head()
    for name in ("audit_batch", "audit_sealed"):
        damage.sql(f"DELETE FROM {name}")
    damage.sql("UPDATE journal SET user_id = 2 WHERE tree_id = 1 AND seq = 1")
    right, trail.keys = trail.keys, AuditKeys.of([AuditKey.new()])
    trail.seal()
    assert trail.verify().problems == []
    trail.keys = right
    assert [each for each in trail.verify().problems if "which is not given" in each]
    assert len(trail.verify(head).problems) == 2


def test_purged_user_takes_sealed_changes_along_and_the_trail_says_so(trail: Trail) -> None:
    """Sealed or not: the event of the purge stands for what is gone."""
    users.purge_user(trail.database, trail.bob.user)
    assert trail.verify().problems == []
    trail.seal()
    assert trail.verify().problems == []
    assert trail.rows("SELECT tree_id FROM audit_sealed WHERE tree_id = 2") == []
    assert trail.rows("SELECT tree_id FROM audit_event WHERE action = 'user-purged'") == [(2,)]


def test_key_is_changed_and_both_verify(trail: Trail) -> None:
    """With the new one alone it is told what cannot be verified."""
    new = AuditKey.new()
    trail.keys = AuditKeys.of([new, *trail.keys.by_fingerprint.values()])
    trail.seal()
    assert trail.rows("SELECT DISTINCT key_id FROM audit_batch WHERE number = 4") == [(new.fingerprint,)]
    assert trail.verify().problems == []
    (problem,) = verify(trail.database, AuditKeys.of([new])).problems
    assert problem.startswith("3 batches from 1 to 3 are sealed with the key ")
    assert len(verify(trail.database, None).problems) == 2


@pytest.mark.parametrize("most", [1, 7])
def test_many_rows_are_sealed_in_batches(trail: Trail, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """However they fall."""
    monkeypatch.setattr("appliance.audit.seal.ROWS_AT_ONCE", most)
    for number in range(5):
        trail.alice.put(f"/file{number}", b"x" * number)
        trail.bob.put(f"/file{number}", b"x" * number)
    assert trail.seal() == -(-12 // most)
    found = trail.verify()
    assert (found.problems, found.waiting, found.rows) == ([], 0, 22)
