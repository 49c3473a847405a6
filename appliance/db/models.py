"""The schema, and the reference for it: what each column means, its unit, its sentinels, its invariants.

Every invariant written here as "Invariant" is verified by ``holdfast check``.

Conventions:

- Times are microseconds since 1970-01-01 UTC (``…_at``). Sizes are bytes. Flags are 0 or 1.
- ``seq`` columns count the changes of one tree, from 1. Two trees both have a change 11.
- SHA-256 digests are 32 raw bytes.
- There are no foreign keys: history outlives what it names, and whole trees come and go in bulk.
  ``check`` verifies each reference instead.
- Column types are only integers, text and bytes, so that rows read the same from every driver.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
    text,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite numbers rows by itself only in a column declared INTEGER.
Id = BigInteger().with_variant(Integer, "sqlite")

store = Table(
    "store",
    metadata,
    # One row. Invariant: exactly one, id 1.
    Column("id", Integer, primary_key=True, autoincrement=False),
    # 32 hex digits, made once; also in the blob "store" and in every pack's header.
    Column("store_id", Text, nullable=False),
    # 8 hex digits; part of every ETag. Changes whenever the database may hand out an old seq again
    # (a restored backup, commits lost with `durability: fast`).
    Column("incarnation", Text, nullable=False),
    # "fastcdc:AVG:MIN:MAX:NORMALISATION" in bytes; never changes: other cut points would not deduplicate.
    Column("chunking", Text, nullable=False),
    # Raised by prune. Invariant: no writer, no `wanted` and no reason to look for garbage is above it.
    Column("prune_epoch", BigInteger, nullable=False),
    # 1 between an orderly stop and the next start; 0 while a server runs and after it died.
    Column("clean", SmallInteger, nullable=False),
    # How often content was brought back out of quarantine (appliance.chunks.quarantine).
    Column("undone", BigInteger, nullable=False, server_default=text("0")),
    # Identifies the boot of the machine that served last ("" where the platform does not tell).
    Column("boot_id", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
)

location = Table(
    "location",
    metadata,
    # Where the store is. Each transaction that writes looks at this row first (appliance.db.guard).
    # Invariant: exactly one, id 1.
    Column("id", Integer, primary_key=True, autoincrement=False),
    # Raised when something is elsewhere from now on; a process that knows another one writes nothing. Invariant: at
    # least 1.
    Column("generation", BigInteger, nullable=False),
    # Where blobs are put, without a secret; "": as the settings say; "data:": in the data folder.
    Column("blobs_url", Text, nullable=False),
    # While blobs move: the other place; else "". Invariant: not the same as blobs_url.
    Column("previous_url", Text, nullable=False),
    # What goes on. Blobs are about to move to previous_url ("announced"), are "copying" from there, or are all at
    # blobs_url, and "dropping" at previous_url. The database is "leaving" for another place; this one is "arriving", a
    # copy that nobody may use yet, or "arrived": it is whole, and not the store's yet. Invariant: one of these, or "".
    Column("state", Text, nullable=False),
    # Since when nothing can be written; NULL: it can. Invariant: not NULL while the database leaves or arrives.
    Column("frozen_at", BigInteger),
    # The database's new place, without a password, if it has moved away from here; else "". Invariant: only of one
    # that is leaving.
    Column("moved_to", Text, nullable=False),
)

data_key = Table(
    "data_key",
    metadata,
    # A key that keys of sealed blobs are derived from (appliance.sealing). The blob "keys" says the same, and is
    # written first. Invariant: the blob has it, with the same bytes. Invariant: if there is any, exactly one is not
    # retired.
    # 16 hex digits, random; in the header of each blob that is sealed with it.
    Column("id", Text, primary_key=True),
    # Nonce, ciphertext and tag of AES-256-GCM.
    Column("wrapped", LargeBinary, nullable=False),
    # The fingerprint of the master key that wrapped it, 16 hex digits.
    Column("master_id", Text, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    # Since when nothing more is sealed with it; NULL for the newest.
    Column("retired_at", BigInteger),
    sqlite_with_rowid=False,
)

writer = Table(
    "writer",
    metadata,
    # A process that stores chunks. Never reused: it is the first half of its packs' keys.
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("host", Text, nullable=False),
    Column("pid", Integer, nullable=False),
    # The prune epoch of its oldest unfinished write.
    Column("epoch", BigInteger, nullable=False),
    # A living writer moves this forward; who finds it in the past may declare the writer dead. Of a dead one: since
    # when it is.
    Column("expires_at", BigInteger, nullable=False),
    # "alive" | "dead". A dead writer never lives again and can commit nothing; its row stays a day longer, since a
    # process that slept may still finish a put.
    Column("state", Text, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    # Those of the table location: under which its oldest unfinished write began, which may put blobs where they were
    # then; and of which it has the blobs open.
    Column("generation", BigInteger, nullable=False, server_default=text("1")),
    Column("opened", BigInteger, nullable=False, server_default=text("1")),
    sqlite_autoincrement=True,
)

pack = Table(
    "pack",
    metadata,
    # A blob of many chunks. Invariant: until it is dropped, the blob exists with exactly this size.
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("writer_id", BigInteger, nullable=False),
    Column("counter", BigInteger, nullable=False),
    Column("size", BigInteger, nullable=False),
    # 0 until the blob is known to be on stable storage (`durability: fast` answers before that).
    Column("synced", SmallInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    # Since when no chunk lies in it; NULL while one may. Then its blob goes, and after it this row. Invariant: no
    # chunk lies in a dropped pack.
    Column("dropped_at", BigInteger),
    # When all of it was last read and compared, which is also when it was written; 0: it has to be soon, for a read
    # met damage there.
    Column("verified_at", BigInteger, nullable=False, server_default=text("0")),
    UniqueConstraint("writer_id", "counter"),
    sqlite_autoincrement=True,
)
Index("ix_pack_unsynced", pack.c.id, sqlite_where=pack.c.synced == 0, postgresql_where=pack.c.synced == 0)
_is_dropped = pack.c.dropped_at.is_not(None)
Index("ix_pack_dropped", pack.c.id, sqlite_where=_is_dropped, postgresql_where=_is_dropped)
Index("ix_pack_verified_at", pack.c.verified_at)

chunk = Table(
    "chunk",
    metadata,
    # SHA-256 of the plain bytes.
    Column("id", LargeBinary(32), primary_key=True),
    # Invariant: the pack's row exists and offset + stored lies within it.
    Column("pack_id", BigInteger, nullable=False),
    Column("offset", BigInteger, nullable=False),
    # Bytes as stored, and plain. Invariant: both are at least 1.
    Column("stored", Integer, nullable=False),
    Column("length", Integer, nullable=False),
    # 0 raw, 1 zstd (appliance.chunks.codec).
    Column("codec", SmallInteger, nullable=False),
    # XXH3-64 of the stored bytes, as a signed number.
    Column("xxh3", BigInteger, nullable=False),
    # The newest prune epoch in which an upload named this chunk. Prune spares what is at or above the least epoch of
    # the living writers.
    Column("wanted", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

small = Table(
    "small",
    metadata,
    # Content of at most `inline_threshold` bytes, kept here instead of in a pack.
    Column("id", Id, primary_key=True, autoincrement=True),
    # SHA-256 of the plain bytes. Invariant: it is.
    Column("sha256", LargeBinary(32), nullable=False, unique=True),
    Column("length", Integer, nullable=False),
    Column("codec", SmallInteger, nullable=False),
    Column("wanted", BigInteger, nullable=False),
    Column("data", LargeBinary, nullable=False),
)

segment = Table(
    "segment",
    metadata,
    # A run of manifest entries that versions share (appliance.chunks.manifest).
    Column("id", Id, primary_key=True, autoincrement=True),
    # SHA-256 of data. Invariant: it is.
    Column("sha256", LargeBinary(32), nullable=False, unique=True),
    # Invariant: the sum of the entries' lengths.
    Column("length", BigInteger, nullable=False),
    Column("wanted", BigInteger, nullable=False),
    Column("data", LargeBinary, nullable=False),
)

forgotten = Table(
    "forgotten",
    metadata,
    # Quarantine: a row of `chunk`, `small` or `segment` that prune deleted, from which it can be made again.
    Column("id", Id, primary_key=True, autoincrement=True),
    # "chunk" | "small" | "segment".
    Column("what", Text, nullable=False),
    # Its digest, and the columns of that table; 0 for those that it has not. `stored` is the length of `data` where
    # there is one. Invariant: of a chunk the pack's row exists and is not dropped, and offset + stored lies within it.
    Column("digest", LargeBinary(32), nullable=False),
    Column("pack_id", BigInteger, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("stored", Integer, nullable=False),
    Column("length", BigInteger, nullable=False),
    Column("codec", SmallInteger, nullable=False),
    Column("xxh3", BigInteger, nullable=False),
    # Of small content and segments.
    Column("data", LargeBinary),
    Column("forgotten_at", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)
_is_in_pack = forgotten.c.pack_id > 0
Index(
    "ix_forgotten_place",
    forgotten.c.pack_id,
    forgotten.c.offset,
    sqlite_where=_is_in_pack,
    postgresql_where=_is_in_pack,
)

garbage = Table(
    "garbage",
    metadata,
    # A reason to look for chunks, segments and small content that no manifest names: something stored them and may not
    # come to its end, or manifests were deleted. Invariant: whatever no manifest names is wanted in the epoch of one of
    # these rows, or in an earlier one.
    Column("id", Id, primary_key=True, autoincrement=True),
    # Whose upload may still name it, as long as the writer lives and is not past the epoch; NULL: nobody will.
    Column("writer_id", BigInteger),
    Column("epoch", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)

finding = Table(
    "finding",
    metadata,
    # Stored bytes that were found to be missing or wrong (appliance.chunks.findings). Each is there once while it is
    # open; closed ones stay, for people.
    Column("id", Id, primary_key=True, autoincrement=True),
    # "pack": the blob is gone or nothing in it can be used, each chunk that lay in it is a finding of its own ·
    # "frame": its length, header or index is not what was written, chunks in it are intact · "chunk" | "small" |
    # "segment": content · "rows": more rows of chunks are lost than are told one by one.
    Column("what", Text, nullable=False),
    # Of a chunk, small content or segment; empty for the others.
    Column("digest", LargeBinary, nullable=False),
    # Where it was found: the pack's id, or that of the row in `small` or `segment`; 0: it has no row; -1: nor is it
    # in any pack.
    Column("place", BigInteger, nullable=False),
    # What is wrong, a clause for people.
    Column("problem", Text, nullable=False),
    Column("found_at", BigInteger, nullable=False),
    # "scrub" | "read" | "check".
    Column("found_by", Text, nullable=False),
    # NULL while it is open.
    Column("closed_at", BigInteger),
    # How it was closed: "healed" by an upload of the same content, "repaired" from another place, "intact" again,
    # "forgotten" since nothing needs it; NULL while it is open.
    Column("outcome", Text),
    sqlite_autoincrement=True,
)
_is_open = finding.c.closed_at.is_(None)
Index(
    "ix_finding_open",
    finding.c.digest,
    finding.c.place,
    finding.c.what,
    unique=True,
    sqlite_where=_is_open,
    postgresql_where=_is_open,
)
Index("ix_finding_place", finding.c.place, sqlite_where=_is_open, postgresql_where=_is_open)

scrub = Table(
    "scrub",
    metadata,
    # How far the tables are verified, one row for "small", "segment" and "version"; packs keep that in `verified_at`.
    # "now": the last time that everything was asked for at once.
    Column("name", Text, primary_key=True),
    # Rows up to this id (versions: of the file) are verified in the pass under way. "now": 1 when it is done.
    Column("position", BigInteger, nullable=False),
    # When the pass under way began; every row behind `position` was verified or written since `before_at`.
    Column("began_at", BigInteger, nullable=False),
    Column("before_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

fence = Table(
    "fence",
    metadata,
    # Somebody copies the blobs that a snapshot of the rows names (a backup): while there is a row here, no blob of a
    # dropped pack is removed (appliance.chunks.fences). Never used again: who renews it has to find it.
    Column("id", Id, primary_key=True, autoincrement=True),
    # Host and process, for people.
    Column("holder", Text, nullable=False),
    # Its holder moves this forward; prune takes a row away that it finds in the past.
    Column("expires_at", BigInteger, nullable=False),
    Column("raised_at", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)

user = Table(
    "user",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    # Lower case. Never used again while the row exists.
    Column("name", Text, nullable=False, unique=True),
    # "admin" | "member". An administrator manages accounts; it opens no one else's files.
    Column("role", Text, nullable=False),
    # Argon2id in PHC form.
    Column("password_hash", Text, nullable=False),
    # "active" | "disabled" | "removed" (its tree is kept until it is purged).
    Column("state", Text, nullable=False),
    # Raised when anything that a cached sign-in relies on changes: password, state, role, app passwords.
    Column("generation", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)

app_password = Table(
    "app_password",
    metadata,
    # One device's password. The row stays after it is revoked: the journal names it.
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("user_id", BigInteger, nullable=False, index=True),
    Column("label", Text, nullable=False),
    # SHA-256 of the secret, which has at least 128 random bits and therefore needs no slow hash.
    Column("secret_sha256", LargeBinary(32), nullable=False, unique=True),
    Column("created_at", BigInteger, nullable=False),
    # NULL while it works.
    Column("revoked_at", BigInteger),
    sqlite_autoincrement=True,
)

web_session = Table(
    "web_session",
    metadata,
    # A browser that is signed in. Without an invariant: losing rows means to sign in again.
    # SHA-256 of the token in the browser's cookie, which has 256 random bits.
    Column("token_sha256", LargeBinary(32), nullable=False, primary_key=True),
    Column("user_id", BigInteger, nullable=False, index=True),
    Column("created_at", BigInteger, nullable=False),
    # The last request, to the minute.
    Column("seen_at", BigInteger, nullable=False),
    # From where and with what it was begun, for people; what the browser calls itself is cut to 200 characters.
    Column("address", Text, nullable=False),
    Column("agent", Text, nullable=False),
    sqlite_with_rowid=False,
)

api_token = Table(
    "api_token",
    metadata,
    # A bearer token that works until it expires; whatever ends it earlier deletes the row. Ids are not used again.
    Column("id", Id, primary_key=True, autoincrement=True),
    # Invariant: a user of this id exists.
    Column("user_id", BigInteger, nullable=False, index=True),
    # What it is for, for people.
    Column("name", Text, nullable=False),
    # SHA-256 of the whole token, which has 160 random bits.
    Column("secret_sha256", LargeBinary(32), nullable=False, unique=True),
    # Values of appliance.accounts.policy.SCOPES, with spaces between them.
    Column("scopes", Text, nullable=False),
    # The app password that it was made with, and ends with. NULL: the main password, or a command.
    # Invariant: an app password of this user that works.
    Column("device_id", BigInteger),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    sqlite_autoincrement=True,
)

login_failure = Table(
    "login_failure",
    metadata,
    # A wrong main password, each once an hour. Without an invariant: losing rows means that more guesses are possible.
    # The name that was given, in lower case, whether somebody has it or not; what nobody can have: "(16 hex digits)".
    Column("account", Text, nullable=False, primary_key=True),
    # An IPv4 address, or the /64 network of an IPv6 one.
    Column("network", Text, nullable=False, primary_key=True),
    # 64 bits of a digest of account, network and password under a key that only the running server knows: the same
    # password again is known, and nothing of it can be found out from here.
    Column("digest", BigInteger, nullable=False, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False, index=True),
    sqlite_with_rowid=False,
)

login_block = Table(
    "login_block",
    metadata,
    # Main passwords for the account are not looked at from there until then.
    Column("account", Text, nullable=False, primary_key=True),
    # As in `login_failure`, or "*": every network without a row in `login_network`.
    Column("network", Text, nullable=False, primary_key=True),
    # How many blocks there were without a quiet hour in between; each is twice as long as the one before.
    Column("strikes", Integer, nullable=False),
    Column("until_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

login_network = Table(
    "login_network",
    metadata,
    # From where somebody has signed in to the account; guesses from elsewhere do not block it there.
    Column("account", Text, nullable=False, primary_key=True),
    Column("network", Text, nullable=False, primary_key=True),
    # To the day.
    Column("seen_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

tree = Table(
    "tree",
    metadata,
    # Everything that one user owns, with its history.
    Column("id", Id, primary_key=True, autoincrement=True),
    # Invariant: a user of this id exists; each user has exactly one tree.
    Column("owner_id", BigInteger, nullable=False, unique=True),
    # Invariant: a folder of this tree without parent and without a trash row.
    Column("root_id", BigInteger, nullable=False),
    # The last change's number; 0 when there was none. Invariant: the journal has exactly 1 … seq.
    Column("seq", BigInteger, nullable=False),
    # The last change's time. Invariant: no journal row of the tree is later.
    Column("changed_at", BigInteger, nullable=False),
    # Logical bytes that the tree may hold now; NULL: no limit. History and trash do not count.
    Column("quota_bytes", BigInteger),
    # How long its past is kept (appliance.retention); NULL: as the setting says.
    Column("retention", Text),
    # Every state from this change on can be opened; earlier ones only if a row of `kept` says so. 0: all of them.
    Column("kept_since", BigInteger, nullable=False, server_default="0"),
    # What was gone before this change is not known any more, and nobody can be told of it. Invariant: at most the
    # highest kept_since of the tree and of its folders.
    Column("forgotten", BigInteger, nullable=False, server_default="0"),
    # Not 0 while rows that only states show which are not kept any more may be left: another number with each decision.
    Column("expiring", SmallInteger, nullable=False, server_default="0"),
    sqlite_autoincrement=True,
)

node = Table(
    "node",
    metadata,
    # A file or folder as it is now; its id survives rename. Rows of removed nodes stay while they are in the trash, or
    # while a kept state shows them.
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("tree_id", BigInteger, nullable=False),
    # NULL: the root, or the top of something removed. Invariant: else a folder of the same tree; no cycles. What is
    # neither root nor in the trash has a placement: a kept state shows it.
    Column("parent_id", BigInteger),
    # As the client spelled it; "" for the root.
    Column("name", Text, nullable=False),
    # NFC of name: what lookups compare. Invariant: it is; unique among siblings.
    Column("name_key", Text, nullable=False),
    # 1 folder, 2 file.
    Column("kind", SmallInteger, nullable=False),
    # The change that put it where it is. Earlier places are rows of `placement`.
    Column("placed_seq", BigInteger, nullable=False),
    # The newest change of it (content, properties), or in or below it; where it lies does not count. Invariant: at
    # least that of each child, and at most the tree's seq.
    Column("subtree_seq", BigInteger, nullable=False),
    # Files and logical bytes in and below it now; a file counts itself. Invariant: the sum over the children.
    Column("files", BigInteger, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    # The current version's seq; NULL for folders. Invariant: that version exists, and its size is `bytes`.
    Column("version_seq", BigInteger),
    Column("created_at", BigInteger, nullable=False),
    # A file's own modification time (may be set by the client); a folder's last change of its members.
    Column("modified_at", BigInteger, nullable=False),
    UniqueConstraint("parent_id", "name_key"),
    CheckConstraint("kind in (1, 2)", name="kind"),
    sqlite_autoincrement=True,
)

placement = Table(
    "placement",
    metadata,
    # Where a node was before: valid for from_seq <= seq < to_seq.
    # Invariant: a node's placements do not overlap, and the last one ends at its placed_seq, or where it went into
    # the trash that it was restored from.
    Column("node_id", BigInteger, nullable=False, primary_key=True),
    Column("from_seq", BigInteger, nullable=False, primary_key=True),
    Column("to_seq", BigInteger, nullable=False),
    Column("tree_id", BigInteger, nullable=False),
    Column("parent_id", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    Column("name_key", Text, nullable=False),
    sqlite_with_rowid=False,
)
Index("ix_placement_parent", placement.c.parent_id, placement.c.name_key)

version = Table(
    "version",
    metadata,
    # A state of a file; the one with the highest seq is current. Its content never changes, only `modified_at` may.
    Column("node_id", BigInteger, nullable=False, primary_key=True),
    # The change that made it; with the node it names the version in ETags.
    Column("seq", BigInteger, nullable=False, primary_key=True),
    # Invariant: the sum of the manifest's lengths.
    Column("size", BigInteger, nullable=False),
    # The client's modification time, else the time of storing. A PROPPATCH of a file's time rewrites that of its
    # current version, here and in `node`; earlier versions keep theirs.
    Column("modified_at", BigInteger, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    # "ALGORITHM:hex ALGORITHM:hex …" of the content, if the client announced one and it was right; else NULL.
    Column("checksum", Text),
    # As the client that stored it named it (RFC 9110 §8.3.1); NULL: what names like the file's stand for.
    Column("media_type", Text),
    # appliance.chunks.manifest. Invariant: every chunk, segment or small content that it names has a row.
    Column("manifest", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

journal = Table(
    "journal",
    metadata,
    # Each change of a tree, in the transaction that made it. Invariant: times do not fall.
    Column("tree_id", BigInteger, nullable=False, primary_key=True),
    Column("seq", BigInteger, nullable=False, primary_key=True),
    Column("at", BigInteger, nullable=False),
    # appliance.journal.change.Kind.
    Column("kind", Text, nullable=False),
    # What changed: the file or folder itself, the top of what was moved, copied, removed or restored.
    Column("node_id", BigInteger, nullable=False),
    # Where it was before (moves, removals), or what it is a copy of; where it is after (all but removals).
    # NULL: nowhere.
    Column("from_parent_id", BigInteger),
    Column("from_name", Text),
    Column("to_parent_id", BigInteger),
    Column("to_name", Text),
    # Who; NULL: the system. `device_id` is an app password, NULL: none.
    Column("user_id", BigInteger),
    Column("device_id", BigInteger),
    # "dav", "cli", …, and the peer's address ("" for local commands, and once `audit_days` are over).
    Column("face", Text, nullable=False),
    Column("address", Text, nullable=False),
    # Logical bytes: of the new version, or of all that was copied, moved, removed or restored. NULL: of neither, or a
    # change of a time when they were not noted.
    Column("bytes", BigInteger),
    sqlite_with_rowid=False,
)

audit_event = Table(
    "audit_event",
    metadata,
    # What happened and is no change of a tree: downloads, and what became of users and their app passwords. Together
    # with the journal this is the audit trail (docs/design/audit.md).
    # Counted up without a gap, in the order of the commits (`audit_count`). Invariant: no number is left out behind the
    # first one, and the last one, if there is one, is that of `audit_count`.
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    # When it happened; of a download: when its first byte was asked for.
    Column("at", BigInteger, nullable=False),
    # How long a download, or several of the same that followed each other, took.
    Column("seconds", Integer, nullable=False),
    # appliance.journal.events.Action.
    Column("action", Text, nullable=False),
    # Whose file, or which user's tree it is about; NULL: nobody's.
    Column("tree_id", BigInteger),
    # The version that was downloaded; NULL for all else.
    Column("node_id", BigInteger),
    Column("seq", BigInteger),
    # What it was called: the file, the user, the device; "" if nothing.
    Column("name", Text, nullable=False),
    # Sent bytes, and in how many requests; 0 for what is no download.
    Column("bytes", BigInteger, nullable=False),
    Column("requests", Integer, nullable=False),
    # As in `journal`.
    Column("user_id", BigInteger),
    Column("device_id", BigInteger),
    Column("face", Text, nullable=False),
    Column("address", Text, nullable=False),
    sqlite_with_rowid=False,
)
Index("ix_audit_event_tree", audit_event.c.tree_id, audit_event.c.id)

audit_count = Table(
    "audit_count",
    metadata,
    # The number of the last event. Who writes events raises it first, and so holds it: their numbers are in the order
    # of the commits. At most one row, id 1.
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("events", BigInteger, nullable=False),
)

audit_batch = Table(
    "audit_batch",
    metadata,
    # Rows of the journal and events that are sealed together. Invariant: no number is left out behind the first one,
    # which follows the checkpoint.
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("sealed_at", BigInteger, nullable=False),
    # Which rows, and a digest of those of each tree (appliance.audit.chain).
    Column("spans", LargeBinary, nullable=False),
    # Which key sealed it, 16 hex digits; and HMAC-SHA256 of all of this and of the batch before.
    Column("key_id", Text, nullable=False),
    Column("mac", LargeBinary(32), nullable=False),
)

audit_sealed = Table(
    "audit_sealed",
    metadata,
    # Up to which change a tree is sealed; tree 0: up to which event. Invariant: at most the tree's seq.
    Column("tree_id", BigInteger, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False),
)

audit_checkpoint = Table(
    "audit_checkpoint",
    metadata,
    # What the batches that are not kept any more came to. At most one row, id 1.
    Column("id", Integer, primary_key=True, autoincrement=False),
    # The last of them, and its MAC, on which the next one builds.
    Column("number", BigInteger, nullable=False),
    Column("batch_mac", LargeBinary(32), nullable=False),
    # How many changes and events were in all of them, up to which time, and when the last ones went.
    Column("rows", BigInteger, nullable=False),
    Column("until_at", BigInteger, nullable=False),
    Column("made_at", BigInteger, nullable=False),
    # Up to which change each tree was sealed by them, and up to which event: what is left has to go on there.
    Column("sealed", LargeBinary, nullable=False),
    # As in `audit_batch`, of this row.
    Column("key_id", Text, nullable=False),
    Column("mac", LargeBinary(32), nullable=False),
)

trash = Table(
    "trash",
    metadata,
    # The top of something removed. Invariant: the node exists, has no parent and is not a root.
    Column("node_id", BigInteger, primary_key=True, autoincrement=False),
    Column("tree_id", BigInteger, nullable=False, index=True),
    # The change that removed it.
    Column("seq", BigInteger, nullable=False),
    Column("removed_at", BigInteger, nullable=False),
    # "deleted" by somebody, or "replaced": by a move or copy onto its name, or by a restore of a time when something
    # else, or nothing, was there.
    Column("reason", Text, nullable=False),
    # Where it was: the folder's id (that may be gone by now), and the whole path as it read then.
    Column("parent_id", BigInteger, nullable=False),
    Column("path", Text, nullable=False),
    Column("user_id", BigInteger),
    sqlite_with_rowid=False,
)

kept = Table(
    "kept",
    metadata,
    # A state of the tree before `kept_since` that can still be opened: that after change `seq`.
    Column("tree_id", BigInteger, nullable=False, primary_key=True),
    # Invariant: before kept_since.
    Column("seq", BigInteger, nullable=False, primary_key=True),
    sqlite_with_rowid=False,
)

folder_rule = Table(
    "folder_rule",
    metadata,
    # A folder whose past, with that of all below it, is kept in its own way (appliance.tree.rules).
    # Invariant: a folder of this tree, and not its root.
    Column("node_id", BigInteger, primary_key=True, autoincrement=False),
    Column("tree_id", BigInteger, nullable=False, index=True),
    # NULL: as long as that of the folder above; the row stays as long as it keeps less.
    Column("retention", Text),
    # As in `tree`. Invariant: at most the tree's seq.
    Column("kept_since", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

folder_kept = Table(
    "folder_kept",
    metadata,
    # As `kept`, for what was in and below a folder with a rule.
    Column("node_id", BigInteger, nullable=False, primary_key=True),
    # Invariant: before the rule's kept_since.
    Column("seq", BigInteger, nullable=False, primary_key=True),
    sqlite_with_rowid=False,
)

named_version = Table(
    "named_version",
    metadata,
    # A version that stays, whatever the retention says. Invariant: the version exists.
    Column("node_id", BigInteger, nullable=False, primary_key=True),
    Column("seq", BigInteger, nullable=False, primary_key=True),
    Column("name", Text, nullable=False),
    Column("named_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

upload = Table(
    "upload",
    metadata,
    # A file that comes in parts, and is not there before all of it is.
    Column("id", Id, primary_key=True, autoincrement=True),
    # Its name for clients; random.
    Column("token", Text, nullable=False, unique=True),
    # Who began it; nobody else may go on. Invariant: this user's tree is `tree_id`.
    Column("user_id", BigInteger, nullable=False),
    Column("tree_id", BigInteger, nullable=False),
    # Where the file will be: a folder's id, wherever that is by then, and the name in it.
    Column("parent_id", BigInteger, nullable=False),
    Column("name", Text, nullable=False),
    # The file's id: of the one that it becomes a version of, or, if `is_new`, one that no other file gets.
    Column("node_id", BigInteger, nullable=False),
    Column("is_new", SmallInteger, nullable=False),
    # Of the whole content, as announced.
    Column("size", BigInteger, nullable=False),
    # Of each part but the last; 0: parts follow each other and are of any size.
    Column("part_size", BigInteger, nullable=False),
    # As announced, "" if not: the media type, and "SHA256:hex" of the content.
    Column("media_type", Text, nullable=False),
    Column("checksum", Text, nullable=False),
    Column("modified_at", BigInteger),
    # What may be replaced: nothing ("never"), whatever is there ("always"), or a file with this ETag.
    Column("replaces", Text, nullable=False),
    # "open" | "done": the file is there · "over": it will never be, and parts that are left will be removed.
    Column("state", Text, nullable=False),
    # Of the parts that are here. Invariant: the sum of their sizes, and how many they are, unless they are being
    # removed.
    Column("received", BigInteger, nullable=False),
    Column("parts", Integer, nullable=False),
    # Parts 1 … upto are put together already, but for the last chunk of the last of them, which belongs to the seam
    # behind it: as whole segments, and the entries that follow them. Invariant: a manifest each, and what they name has
    # rows.
    Column("upto", Integer, nullable=False),
    Column("segments", LargeBinary, nullable=False),
    Column("entries", LargeBinary, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    # Moved forward by each part; then it is forgotten, and what it holds if it is not done.
    Column("expires_at", BigInteger, nullable=False, index=True),
    # The version that it became, or became a part of; NULL unless it is done.
    Column("seq", BigInteger),
    # What the client noted about it, as it is to be told again; nobody else reads it.
    Column("metadata", Text, nullable=False, server_default=text("''")),
    # "": it becomes a file · "partial": it becomes part of one, so it has no name, no folder (0) and no node (0) · else
    # it was put together of partial ones, and this is how the client named them.
    Column("concat", Text, nullable=False, server_default=text("''")),
    sqlite_autoincrement=True,
)

_is_unfinished = upload.c.state == "open"
Index("ix_upload_open", upload.c.tree_id, sqlite_where=_is_unfinished, postgresql_where=_is_unfinished)

upload_part = Table(
    "upload_part",
    metadata,
    # Bytes of an upload that are here. Invariant: the upload exists.
    Column("upload_id", BigInteger, nullable=False, primary_key=True, autoincrement=False),
    # From 1, in the order of the content.
    Column("number", Integer, nullable=False, primary_key=True, autoincrement=False),
    # Invariant: the sum of the manifest's lengths.
    Column("size", BigInteger, nullable=False),
    # 32 hex digits, made of its chunks.
    Column("etag", Text, nullable=False),
    # The chunks that stand for the last one of the part before and the first `taken` of this one: a cut where a part
    # happens to begin would not be met by other uploads of the same bytes (appliance.uploads.seams). NULL: not yet.
    Column("taken", Integer, nullable=False),
    Column("seam", LargeBinary),
    # Its own chunks, cut as if it were a content by itself. Invariant: every chunk that the two name has a row.
    Column("manifest", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

checksum_due = Table(
    "checksum_due",
    metadata,
    # A version whose SHA-256 nobody could compute on the way, and which the job "checksums" will read. Without an
    # invariant: the version may be gone by then.
    Column("node_id", BigInteger, nullable=False, primary_key=True, autoincrement=False),
    Column("seq", BigInteger, nullable=False, primary_key=True, autoincrement=False),
    # When it could not be read to its end; 0: never. It is tried again a day later.
    Column("failed_at", BigInteger, nullable=False, server_default=text("0")),
    sqlite_with_rowid=False,
)

signing_key = Table(
    "signing_key",
    metadata,
    # What URLs are signed with (appliance.signing). Without an invariant: without its row the URLs of a key are void.
    # Never used again: it stands in URLs.
    Column("id", Id, primary_key=True, autoincrement=True),
    # 32 random bytes.
    Column("secret", LargeBinary(32), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    # Since when it signs nothing more; NULL for the newest.
    Column("retired_at", BigInteger),
    sqlite_autoincrement=True,
)

property_ = Table(
    "property",
    metadata,
    # A dead property (RFC 4918 §4). Invariant: the node exists.
    Column("node_id", BigInteger, nullable=False, primary_key=True),
    # "{namespace}local".
    Column("name", Text, nullable=False, primary_key=True),
    # The whole element as XML text.
    Column("value", Text, nullable=False),
    sqlite_with_rowid=False,
)

lock = Table(
    "lock",
    metadata,
    # A DAV write lock (RFC 4918 §6). Invariant: the node exists and is not removed.
    Column("token", Text, primary_key=True),
    Column("tree_id", BigInteger, nullable=False, index=True),
    Column("node_id", BigInteger, nullable=False),
    # "exclusive" | "shared"; "0" | "infinity".
    Column("scope", Text, nullable=False),
    Column("depth", Text, nullable=False),
    # The client's <owner> element, NULL when it sent none.
    Column("owner", Text),
    Column("user_id", BigInteger, nullable=False),
    # The locked path as it read when the lock was taken; a locked thing cannot move without losing its lock.
    Column("path", Text, nullable=False),
    Column("timeout_s", Integer, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

rate_bucket = Table(
    "rate_bucket",
    metadata,
    # What was drawn of a rate limit (appliance.rates). One that is full is the same as none, and is deleted.
    # Whose: the id of a user or app password, an IPv4 address, or the first address of an IPv6 /64.
    Column("subject", Text, primary_key=True),
    # "user-requests", "address-bytes", …
    Column("name", Text, primary_key=True),
    # When it is full again, if nobody draws.
    Column("full_at", BigInteger, nullable=False),
    # When somebody last drew; later than now: the clock was set back since, and the row tells nothing any more.
    Column("drawn_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

lease = Table(
    "lease",
    metadata,
    # A claim by one process on a job, so that of several nodes one runs it.
    Column("name", Text, primary_key=True),
    Column("holder", Text, nullable=False),
    Column("expires_at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

job = Table(
    "job",
    metadata,
    # What the server does by itself, a row each, made with the first run.
    Column("name", Text, primary_key=True),
    # When a run last came to its end, also if it had nothing to do; 0: never.
    Column("ended_at", BigInteger, nullable=False),
    # When it is due. What was missed is made up for once.
    Column("next_at", BigInteger, nullable=False),
    # Since when, and until when, no run begins by itself. NULL: it is not paused; paused without an end.
    Column("paused_at", BigInteger),
    Column("paused_until", BigInteger),
    # When somebody last wanted it to run now, unless a run that began since has come to its end. No two are equal.
    Column("asked_at", BigInteger),
    sqlite_with_rowid=False,
)

job_run = Table(
    "job_run",
    metadata,
    # A run of a job, while it goes on; then if it did something, took long, or was asked for. The last ones stay.
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("name", Text, nullable=False),
    # Host and process.
    Column("holder", Text, nullable=False),
    Column("began_at", BigInteger, nullable=False),
    # NULL while it goes on.
    Column("ended_at", BigInteger),
    # "done" | "failed" | "died": its process ended before it did; NULL while it goes on.
    Column("outcome", Text),
    # What it did, or why it failed; "" if there is nothing to say.
    Column("said", Text, nullable=False),
    # How far it is, or was: so many of `total` of a unit, in a step; "" if it told nothing. `total` is 0 if unknown.
    Column("step", Text, nullable=False),
    Column("done", BigInteger, nullable=False),
    Column("total", BigInteger, nullable=False),
    Column("unit", Text, nullable=False),
    sqlite_autoincrement=True,
)
Index("ix_job_run_name", job_run.c.name, job_run.c.id)

measure = Table(
    "measure",
    metadata,
    # Sums that take long to compute, as the job "measure" found them (appliance.upkeep.measure). They decide nothing.
    # "stored": of all blobs and small content; "free": of it what prune can free; "held": what packs hold besides;
    # "trash", "history": of a user, as in appliance.accounts.usage; "at": no sum, but when they were found.
    Column("name", Text, nullable=False, primary_key=True),
    # 0 for what is nobody's alone.
    Column("user_id", BigInteger, nullable=False, primary_key=True, autoincrement=False),
    Column("bytes", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)

usage_point = Table(
    "usage_point",
    metadata,
    # What a user, or everybody (0), had at a time, as in `holdfast usage` (appliance.upkeep.usage): for people. One an
    # hour for two weeks, then one a day.
    Column("user_id", BigInteger, nullable=False, primary_key=True, autoincrement=False),
    Column("at", BigInteger, nullable=False, primary_key=True, autoincrement=False),
    # Files that are there, each in full.
    Column("logical", BigInteger, nullable=False),
    # Stored bytes: needed by those files and nobody else, by others as well, only by versions of the past, only by the
    # trash.
    Column("alone", BigInteger, nullable=False),
    Column("shared", BigInteger, nullable=False),
    Column("history", BigInteger, nullable=False),
    Column("trash", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)
