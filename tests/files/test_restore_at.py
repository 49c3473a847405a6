"""restore_at: a path as it was at a moment, with everything below, in one change that can be undone."""

from __future__ import annotations

from appliance.errors import NotFound, ParentMissing, QuotaExceeded
from tests.files.dump import CONTENT, dump, refused
from tests.files.person import Person


def test_restore_file_at_a_moment_is_its_content_then(alice: Person) -> None:
    """As a new version; nothing happens if it is what it was."""
    moments = []
    for content in (b"one", b"two", b"three"):
        alice.put("/a", content)
        moments.append(alice.now())
    assert alice.restore_at("/a", moments[0]) == 1
    assert alice.contents("/a") == [b"one", b"three", b"two", b"one"]
    seq = alice.seq()
    with refused(alice.files.database, NotFound):
        alice.restore_at("/a", alice.now() + 3_600_000_000)
    assert alice.restore_at("/a", alice.now()) == 0
    assert alice.seq() == seq


def test_restore_between_two_changes_is_the_state_after_the_first(alice: Person) -> None:
    """Moments between changes show what the one before them left."""
    alice.put("/a", b"one")
    first = alice.now()
    alice.put("/a", b"two")
    assert alice.now() > first
    alice.restore_at("/a", alice.now() - 1)
    assert alice.get("/a") == b"one"


def test_restore_removed_file_at_a_moment_makes_it_again(alice: Person) -> None:
    """What is in the trash stays there."""
    alice.put("/a", b"one")
    moment = alice.now()
    alice.remove("/a")
    assert alice.restore_at("/a", moment) == 1
    assert alice.get("/a") == b"one"
    assert len(alice.trash()) == 1


def test_restore_what_was_not_there_then_is_not_found(alice: Person) -> None:
    """Before it came, and while it was away."""
    alice.put("/other")
    before = alice.now()
    alice.mkdir("/d")
    alice.put("/a")
    alice.remove("/a")
    away = alice.now()
    alice.put("/a")
    for path, moment in (("/a", before), ("/a", away), ("/d", before), ("/never", away), ("/d/x", away)):
        with refused(alice.files.database, NotFound):
            alice.restore_at(path, moment)


def test_restore_below_a_folder_that_is_gone_needs_the_folder(alice: Person) -> None:
    """The folder can be restored to the moment itself."""
    alice.mkdir("/d")
    alice.put("/d/a", b"x")
    moment = alice.now()
    alice.remove("/d")
    with refused(alice.files.database, ParentMissing):
        alice.restore_at("/d/a", moment)
    alice.restore_at("/d", moment)
    assert alice.get("/d/a") == b"x"


def build(alice: Person) -> tuple[dict[str, bytes | None], int]:
    """A tree with something of every kind; its state and moment."""
    alice.mkdir("/d", "/d/e", "/d/empty", "/d/folder", "/beside")
    for path in ("/d/same", "/d/changed", "/d/removed", "/d/renamed", "/d/file", "/d/e/deep", "/d/folder/in", "/f"):
        alice.put(path, path.encode())
    return alice.state(), alice.now()


def disturb(alice: Person) -> None:
    """Every kind of change, in and below d."""
    alice.put("/d/changed", b"other")
    alice.remove("/d/removed")
    alice.move("/d/renamed", "/d/new name")
    alice.remove("/d/empty")
    alice.put("/d/e/deep", b"deeper")
    alice.put("/d/e/added", b"added")
    alice.remove("/d/file")
    alice.mkdir("/d/file")
    alice.put("/d/file/in", b"a folder now")
    alice.remove("/d/folder")
    alice.put("/d/folder", b"a file now")
    alice.mkdir("/d/added")
    alice.put("/d/added/in", b"x")
    alice.copy("/d/e", "/d/copy")


def test_restore_folder_at_a_moment_is_all_that_it_was(alice: Person) -> None:
    """Changed, removed, renamed, added, of another kind: each is as it was then; what is outside stays."""
    then, moment = build(alice)
    disturb(alice)
    alice.put("/f", b"outside")
    before = dump(alice.files.database, CONTENT)
    alice.restore_at("/d", moment)
    assert alice.state("/d") == {path: content for path, content in then.items() if path.startswith("/d/")}
    assert alice.get("/f") == b"outside"
    assert dump(alice.files.database, CONTENT) == before


def test_restore_tells_files_apart_that_one_change_made(alice: Person) -> None:
    """Copies made together have one number for their versions; they are not the same for that."""
    alice.mkdir("/d")
    alice.put("/d/a", b"a")
    alice.put("/d/b", b"b")
    alice.copy("/d", "/c")
    moment = alice.now()
    alice.move("/c/b", "/c/a", overwrite=True)
    alice.restore_at("/c", moment)
    assert alice.state("/c") == {"/c/a": b"a", "/c/b": b"b"}


def test_restore_is_one_moment(alice: Person) -> None:
    """Everything in it has one time, so that no moment shows half of it."""
    _, moment = build(alice)
    disturb(alice)
    seq = alice.seq()
    changes = alice.restore_at("/", moment)
    rows = alice.rows("SELECT COUNT(*), COUNT(DISTINCT at) FROM journal WHERE seq > :seq", seq=seq)
    assert rows == [(changes, 1)]


def test_restore_leaves_untouched_what_is_the_same(alice: Person) -> None:
    """Its ETag stays, and it gets no version."""
    _, moment = build(alice)
    etag = alice.etag("/d/same")
    disturb(alice)
    alice.restore_at("/", moment)
    assert alice.etag("/d/same") == etag


def test_restore_can_be_undone_and_done_again(alice: Person) -> None:
    """Each moment can be returned to, the one before the restore too; what it displaced is in the trash."""
    then, moment = build(alice)
    disturb(alice)
    later, second = alice.state(), alice.now()
    alice.restore_at("/", moment)
    assert alice.state() == then
    third = alice.now()
    alice.restore_at("/", second)
    assert alice.state() == later
    alice.restore_at("/", third)
    assert alice.state() == then
    assert {"/d/e/added", "/d/added", "/d/new name"} <= {removed.path for removed in alice.trash()}


def test_restore_folder_that_was_moved_is_made_anew_where_it_was(alice: Person) -> None:
    """The moved one is not taken from where it is now."""
    alice.mkdir("/d", "/t")
    alice.put("/d/a", b"x")
    moment = alice.now()
    alice.move("/d", "/t/d")
    alice.put("/t/d/a", b"changed")
    alice.restore_at("/d", moment)
    assert alice.state() == {"/d": None, "/d/a": b"x", "/t": None, "/t/d": None, "/t/d/a": b"changed"}


def test_restore_looks_where_the_path_led_then(alice: Person) -> None:
    """Another folder had the name at that time."""
    alice.mkdir("/d")
    alice.put("/d/a", b"first")
    moment = alice.now()
    alice.move("/d", "/old")
    alice.mkdir("/d")
    alice.put("/d/a", b"second")
    alice.restore_at("/d/a", moment)
    assert alice.contents("/d/a") == [b"first", b"second", b"first"]
    assert alice.get("/old/a") == b"first"


def test_restore_keeps_times_of_files_and_of_folders_made_anew(alice: Person) -> None:
    """A file has the modification time of its version."""
    alice.mkdir("/d")
    alice.put("/d/a", modified_at=1_500_000_000_000_000)
    moment = alice.now()
    alice.remove("/d/a")
    alice.restore_at("/d", moment)
    assert alice.node("/d/a").modified_at == 1_500_000_000_000_000


def test_restore_that_frees_as_much_as_it_takes_fits_the_quota(alice: Person) -> None:
    """What counts is what the tree holds afterwards, not on the way there."""
    alice.set_quota(100)
    alice.mkdir("/a", "/b")
    alice.put("/a/x", b"x" * 90)
    moment = alice.now()
    alice.remove("/a/x")
    alice.put("/b/y", b"y" * 90)
    alice.restore_at("/", moment)
    assert alice.state() == {"/a": None, "/a/x": b"x" * 90, "/b": None}
    assert alice.user.bytes == 90


def test_restore_beyond_the_quota_changes_nothing(alice: Person) -> None:
    """All or nothing."""
    alice.mkdir("/a")
    for name in "xyz":
        alice.put(f"/a/{name}", b"x" * 40)
    moment = alice.now()
    for name in "xyz":
        alice.put(f"/a/{name}", b"")
    alice.set_quota(100)
    with refused(alice.files.database, QuotaExceeded):
        alice.restore_at("/a", moment)
    alice.set_quota(120)
    assert alice.restore_at("/a", moment) == 3


def test_restore_goes_as_deep_as_the_tree(alice: Person) -> None:
    """Moves make trees deeper than a path may be written, and than Python calls functions."""
    depth = 130
    for level in range(1, depth + 1):
        alice.mkdir("/base" + "/x" * (level - 1))
    alice.put("/base" + "/x" * (depth - 1) + "/f", b"one")
    alice.copy("/base", "/all")
    for _ in range(3):
        alice.copy("/base", "/new")
        alice.move("/all", "/new" + "/x" * (depth - 1) + "/all")
        alice.move("/new", "/all")
    moment, before = alice.now(), (alice.user.files, alice.user.bytes)
    alice.remove("/all")
    assert alice.restore_at("/", moment) == 4 * (depth + 1)
    assert (alice.user.files, alice.user.bytes) == before


def test_restore_brings_back_the_properties_of_what_was_removed(alice: Person) -> None:
    """What is made anew gets them; what is there keeps its own."""
    alice.mkdir("/d")
    alice.put("/d/a", b"one")
    for path in ("/d", "/d/a"):
        alice.patch(path, [("{x}y", "<y/>")])
    moment = alice.now()
    alice.remove("/d")
    alice.restore_at("/d", moment)
    assert alice.properties("/d") == alice.properties("/d/a") == {"{x}y": "<y/>"}
    alice.patch("/d/a", [("{x}y", None)])
    alice.put("/d/a", b"two")
    alice.restore_at("/d", moment)
    assert alice.get("/d/a") == b"one"
    assert alice.properties("/d/a") == {}


def test_restore_to_before_the_tree_was_there_is_not_found(alice: Person) -> None:
    """A mistyped year does not remove everything."""
    alice.put("/a", b"one")
    seq = alice.seq()
    for moment in (0, alice.node("/").created_at - 1):
        with refused(alice.files.database, NotFound):
            alice.restore_at("/", moment)
    assert alice.seq() == seq
    assert alice.restore_at("/", alice.node("/").created_at) == 1
    assert alice.names() == []
