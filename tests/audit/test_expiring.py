"""The end of ``audit_days``: what goes, what stays, and that the trail is right all the same."""

from __future__ import annotations

import itertools

import pytest

from appliance import clock, faults
from appliance.audit import expire, job
from appliance.audit.job import Auditing
from appliance.audit.keys import AuditKey, AuditKeys
from appliance.errors import BadRequest, TrailBroken
from appliance.faults import Fault, Trap
from appliance.principal import system
from tests.audit.trail import Trail
from tests.files.person import Person
from tests.support.damage import Damage


def sealed_at(trail: Trail, number: int) -> int:
    """Of a batch."""
    return int(trail.rows(f"SELECT sealed_at FROM audit_batch WHERE number = {number}")[0][0])


def test_old_batches_leave_a_checkpoint(trail: Trail) -> None:
    """Events and addresses go, changes stay; the chain goes on, and what was exported before is still known."""
    first, changes = trail.head(), trail.rows("SELECT tree_id, seq, kind, user_id FROM journal ORDER BY tree_id, seq")
    trail.bob.put("/later", b"")
    trail.seal()
    assert trail.expire(sealed_at(trail, 3)) == 8
    found = trail.verify(first)
    assert (found.problems, found.batches, found.rows) == ([], 2, 5)
    assert found.checkpoint is not None
    assert (found.checkpoint.number, found.checkpoint.rows) == (2, 8)
    assert trail.rows("SELECT id FROM audit_event ORDER BY id") == [(5,)]
    now = trail.rows("SELECT tree_id, seq, kind, user_id FROM journal ORDER BY tree_id, seq")
    assert set(changes) < set(now)
    assert trail.rows("SELECT seq, address FROM journal WHERE tree_id = 2 ORDER BY seq") == [(1, ""), (2, "127.0.0.1")]


def test_all_of_it_goes_and_the_chain_goes_on(trail: Trail) -> None:
    """Behind the checkpoint, with the next number."""
    trail.seal()
    last = trail.head()
    assert trail.expire(clock.now() + 1) == 12
    assert trail.head()[:3] == last[:3]
    assert trail.verify(last).problems == []
    trail.alice.put("/more", b"")
    assert trail.seal() == 1
    assert trail.rows("SELECT number FROM audit_batch") == [(5,)]
    assert trail.verify(last).problems == []


def test_checkpoint_that_is_altered_is_told(trail: Trail, damage: Damage) -> None:
    """It cannot be made to vouch for more, or for less."""
    trail.expire(sealed_at(trail, 2))
    for name in ("rows", "until_at", "made_at", "number"):
        damage.sql(f"UPDATE audit_checkpoint SET {name} = {name} + 1")
        assert [each for each in trail.verify().problems if "not what was signed" in each], name
        damage.sql(f"UPDATE audit_checkpoint SET {name} = {name} - 1")
    assert trail.verify().problems == []
    damage.sql("DELETE FROM audit_checkpoint")
    assert "the batches 1 to 1 are missing" in trail.verify().problems


def test_batch_that_is_not_what_was_sealed_stays(trail: Trail, damage: Damage) -> None:
    """Nobody signs that away; nor what cannot be verified, unless somebody says so."""
    damage.sql("UPDATE journal SET user_id = 2 WHERE tree_id = 1 AND seq = 3")
    with pytest.raises(TrailBroken, match="batch 2"):
        trail.expire(clock.now() + 1)
    assert trail.rows("SELECT number FROM audit_batch ORDER BY number") == [(2,), (3,)]
    lost = trail.keys.newest.fingerprint
    trail.keys = AuditKeys.of([AuditKey.new()])
    with pytest.raises(TrailBroken, match=f"holdfast audit forget {lost}"):
        trail.expire(clock.now() + 1)
    by = system(trail.alice.user.id, face="cli")
    with pytest.raises(BadRequest, match="is given"):
        expire.forget(trail.database, trail.keys, trail.keys.newest.fingerprint, by)
    assert expire.forget(trail.database, trail.keys, lost, by) == 6
    assert trail.rows("SELECT name FROM audit_event WHERE action = 'trail-forgotten'") == [(lost,)]
    with pytest.raises(BadRequest, match="oldest batch"):
        expire.forget(trail.database, trail.keys, lost, by)


def test_batch_that_is_made_unverifiable_is_not_signed_away(trail: Trail, damage: Damage) -> None:
    """Who has no key, but the database, makes the job launder nothing; and an exported head tells what is gone."""
    trail.seal()
    head = trail.head()
    damage.sql("UPDATE journal SET user_id = 2 WHERE tree_id = 1 AND seq = 3")
    damage.sql("UPDATE audit_batch SET key_id = '0', sealed_at = 0")
    with pytest.raises(TrailBroken):
        trail.expire(clock.now() - clock.DAY)
    assert trail.rows("SELECT COUNT(*) FROM audit_batch")[0][0] > 0
    assert trail.verify(head).problems


def test_head_that_is_newer_than_what_may_be_gone_is_told(trail: Trail) -> None:
    """Whoever has a key too can sign a checkpoint, but not make what was exported older."""
    trail.seal()
    head = trail.head()
    trail.expire(clock.now() + 1)
    assert trail.verify(head).problems == []
    newer = head._replace(number=head.number - 1, sealed_at=head.sealed_at + 1)
    assert "newer than what is past audit_days" in trail.verify(newer).problems[0]


def test_what_was_noted_as_sealed_has_to_be(trail: Trail, damage: Damage) -> None:
    """Of trees without batches as well, also behind a checkpoint: else they were never sealed again."""
    carla = Person.new(trail.files, "carla")
    carla.put("/hers", b"5")
    for _ in range(2):
        damage.sql("INSERT INTO audit_sealed SELECT id, seq FROM tree WHERE id = (SELECT MAX(id) FROM tree)")
        assert any("carla" in each for each in trail.verify().problems)
        damage.sql("DELETE FROM audit_sealed WHERE tree_id = (SELECT MAX(id) FROM tree)")
        assert trail.verify().problems == []
        trail.expire(sealed_at(trail, 3))
    trail.seal()
    trail.expire(clock.now() + 1)
    damage.sql("UPDATE audit_sealed SET seq = seq + 1 WHERE tree_id = 1")
    assert trail.verify().problems


def lose_key(trail: Trail) -> str:
    """What was sealed so far cannot be verified any more; returns the key that did it."""
    lost = trail.keys.newest.fingerprint
    trail.keys = AuditKeys.of([AuditKey(bytes(range(1, 33)))])
    return lost


def forget(trail: Trail, key_id: str) -> int:
    """As the command does."""
    return expire.forget(trail.database, trail.keys, key_id, system(trail.alice.user.id, face="cli"))


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("DELETE FROM audit_batch WHERE number = 1", "batches 1 to 1 are missing"),
        ("DELETE FROM journal WHERE tree_id = 1 AND seq = 2", "are missing"),
        ("UPDATE audit_batch SET spans = (SELECT spans FROM audit_batch WHERE number = 2) WHERE number = 1", "seals"),
    ],
)
def test_what_is_wrong_without_any_key_is_not_forgotten(
    trail: Trail, damage: Damage, statement: str, told: str
) -> None:
    """A lost key is no reason for a gap: nothing goes, and nothing new is signed."""
    lost = lose_key(trail)
    damage.sql(statement)
    count = trail.rows("SELECT COUNT(*) FROM audit_batch")
    with pytest.raises(TrailBroken, match=told):
        forget(trail, lost)
    assert trail.rows("SELECT COUNT(*) FROM audit_batch") == count
    assert trail.rows("SELECT number FROM audit_checkpoint") == []


@pytest.mark.parametrize("count", [1, 2])
def test_nothing_is_forgotten_without_its_event(trail: Trail, count: int) -> None:
    """Also if it breaks off in the middle."""
    lost = lose_key(trail)
    with faults.hooked(Trap(Fault("audit.expired", count, "EIO"))), pytest.raises(OSError, match="fault at"):
        forget(trail, lost)
    assert trail.rows("SELECT number FROM audit_checkpoint") == [(count,)]
    assert trail.rows("SELECT name FROM audit_event WHERE action = 'trail-forgotten'") == [(lost,)]
    forget(trail, lost)
    trail.seal()
    assert trail.verify().problems == []


def test_time_that_nobody_can_verify_does_not_reach_into_the_future(trail: Trail, damage: Damage) -> None:
    """Else every head that was exported would be older than what is gone."""
    lost = lose_key(trail)
    damage.sql(f"UPDATE audit_batch SET sealed_at = {clock.now() + 1000 * clock.DAY}")
    forget(trail, lost)
    assert trail.rows("SELECT until_at FROM audit_checkpoint")[0][0] <= clock.now()


def test_checkpoint_of_a_lost_key_is_signed_again_on_demand(trail: Trail) -> None:
    """Else nothing behind it would ever go."""
    trail.seal()
    trail.expire(clock.now() + 1)
    lost = lose_key(trail)
    trail.alice.put("/more", b"")
    trail.seal()
    with pytest.raises(TrailBroken, match=f"holdfast audit forget {lost}"):
        trail.expire(clock.now() + 1)
    forget(trail, lost)
    trail.seal()
    assert trail.verify().problems == []
    assert trail.rows("SELECT name FROM audit_event WHERE action = 'trail-forgotten'") == [(lost,)]
    assert trail.expire(clock.now() + 1) > 0
    with pytest.raises(BadRequest):
        forget(trail, lost)


def test_run_that_has_much_to_let_go_of_seals_in_between(trail: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its time is bounded: the rest goes with the next ones."""
    now, ticks = clock.now(), itertools.count()
    run = Auditing(trail.database, lambda: trail.keys, 30)
    run(lambda: False)
    monkeypatch.setattr(clock, "now", lambda: now + 31 * clock.DAY)
    # Two batches fit in a run.
    monkeypatch.setattr(job.time, "monotonic", lambda: next(ticks) * 4.0)
    for left in (2, 0):
        trail.alice.put("/more", b"%d" % left)
        assert "went with their time" in run(lambda: False)
        assert trail.verify().waiting == 0
        old = f"SELECT COUNT(*) FROM audit_batch WHERE sealed_at <= {now + clock.DAY}"
        assert trail.rows(old) == [(left,)]


def test_job_seals_and_lets_go_in_its_days(trail: Trail, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing before; 0 days are for ever."""
    now = clock.now()
    run = Auditing(trail.database, lambda: trail.keys, 30)
    assert run(lambda: False) == ""
    assert trail.verify().waiting == 0
    monkeypatch.setattr(clock, "now", lambda: now + 31 * clock.DAY)
    assert Auditing(trail.database, lambda: trail.keys, 0)(lambda: False) == ""
    assert run(lambda: True) == ""
    assert run(lambda: False) == "12 rows of the audit trail went with their time"
    assert run(lambda: False) == ""


@pytest.mark.parametrize("name", ["audit.read", "audit.sealed", "audit.expired"])
def test_run_that_breaks_off_is_made_up_for(trail: Trail, name: str) -> None:
    """Nothing is sealed twice, and nothing left out."""

    def run() -> None:
        trail.seal()
        trail.expire(sealed_at(trail, 3))

    with faults.hooked(Trap(Fault(name, 1, "EIO"))), pytest.raises(OSError, match="fault at"):
        run()
    assert trail.verify().problems == []
    trail.seal()
    expire.expire(trail.database, trail.keys, sealed_at(trail, 3))
    found = trail.verify()
    assert (found.problems, found.batches, found.rows, found.waiting) == ([], 2, 4, 0)
