"""Every error that the product raises on purpose.

::

    HoldfastError
    ├── Invalid                 the request itself is wrong; nothing was changed
    │   ├── BadName             a path or name that cannot be stored
    │   ├── BadRequest          another part of the request
    │   ├── BodyIncomplete      fewer bytes arrived than were announced, or a broken coding
    │   ├── BodyStalled         no byte arrived for longer than the stall limit
    │   │   └── BodyTooSlow     it kept from others what it made no use of
    │   ├── CursorRefused       a position in the changes that is none of this folder, or is too old
    │   └── ChecksumMismatch    the bytes are not the ones the client announced
    ├── Unauthenticated         no valid credentials
    │   └── TokenInvalid        a bearer token that nobody has, or that has ended
    ├── SignInBlocked           too many wrong passwords; nothing is compared for a while
    ├── Denied                  known, but not allowed
    │   ├── BadSignature        a signed URL that nobody has signed, or whose key or issuer is gone
    │   ├── UrlExpired          a signed URL was right once
    │   └── ScopeMissing        the bearer token was not made for this
    ├── NotFound
    │   └── MomentGone          a moment that the tree had, and that is kept no more
    ├── Conflict                the tree is not in the state that the request assumes
    │   ├── ParentMissing
    │   ├── NameTaken
    │   ├── NotAFolder
    │   ├── IsAFolder
    │   ├── PreconditionFailed
    │   │   └── TargetTaken     a move or copy may not replace what is there
    │   ├── Locked
    │   ├── LockConflict
    │   ├── LockTokenMismatch
    │   └── UploadConflict      an upload is not in the state that the request assumes
    │       ├── PartsMissing
    │       ├── PartsDiffer
    │       └── OffsetMismatch
    ├── Limit
    │   ├── TooLarge
    │   ├── QuotaExceeded
    │   ├── TooManyUploads
    │   ├── RateLimited         more requests or bytes than a minute may have
    │   ├── TooManyTokens
    │   └── StorageFull
    ├── Unavailable             try again: a lease was lost, a service does not answer
    │   ├── OutcomeUnknown      the database went away in the middle of a commit
    │   ├── ReadOnly            nothing can be changed for a while; reading goes on
    │   └── Moved               the store is elsewhere now; this process has to look anew
    ├── Damaged                 stored bytes are missing or are not what they were
    │   └── TrailBroken         a part of the audit trail is not what was sealed
    ├── BackendError            a blob store failed; ``temporary`` says whether a retry can help
    │   ├── BlobMissing
    │   ├── BlobDamaged         a sealed blob is not what was sealed
    │   └── DataKeyUnknown      a sealed blob's key is not known here
    ├── BackupFailed            a backup folder cannot be written or read on; its last snapshot is as it was
    ├── MoveFailed              the database was not moved, and is where it was
    └── Fatal                   the program cannot start or go on; for the person who runs it
        ├── ConfigError
        ├── DataFolderBusy
        ├── SchemaTooNew
        ├── StoreMismatch
        ├── MoveRefused         the database cannot move, or not to there; nothing was changed
        ├── KeysUnusable        data keys that blobs are sealed with cannot be opened, or are not where they have to be
        └── BackupRefused       a backup folder, or the data folder to restore into, is not what it has to be

Only the faces (``providers/*/errors.py``, ``appliance/cli``) know status and exit codes.
Facts are keyword fields; the message is made from them.
"""

from __future__ import annotations


class HoldfastError(Exception):
    """The root of the tree. ``str(error)`` is one line for a person."""


class Invalid(HoldfastError):
    """The request itself is wrong; nothing was changed."""


class BadName(Invalid):
    """A path or name that cannot be stored; ``reason`` says which rule it breaks."""

    def __init__(self, *, name: str, reason: str) -> None:
        self.name = name
        self.reason = reason
        super().__init__(f"the name {name[:80]!r} {reason}")


class BadRequest(Invalid):
    """Some part of a request that is not a name; ``reason`` is a whole clause."""

    def __init__(self, *, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class BodyIncomplete(Invalid):
    """Fewer bytes arrived than were announced, or the transfer coding is broken."""

    def __init__(self, *, received: int, expected: int | None) -> None:
        self.received = received
        self.expected = expected
        wanted = "an unfinished chunked body" if expected is None else f"{expected} bytes announced"
        super().__init__(f"the body ended after {received} bytes ({wanted}); nothing was stored")


class BodyStalled(Invalid):
    """No byte of the body arrived for ``seconds``."""

    def __init__(self, *, seconds: float) -> None:
        self.seconds = seconds
        super().__init__(f"no byte of the body arrived for {seconds:g} s; nothing was stored")


class CursorRefused(Invalid):
    """A client's position in the changes of a folder cannot be gone on from; ``reason`` is a whole clause."""

    def __init__(self, *, reason: str) -> None:
        self.reason = reason
        super().__init__(f"{reason}; begin anew, without a token")


class BodyTooSlow(BodyStalled):
    """The body came slower than ``floor`` bytes a second while others waited for the thread that it held."""

    def __init__(self, *, floor: int) -> None:
        self.floor = floor
        super().__init__(seconds=1.0)
        self.args = (
            f"the body came slower than {floor} bytes a second while other requests waited; nothing was stored",
        )


class ChecksumMismatch(Invalid):
    """The bytes received are not those that the client announced."""

    def __init__(self, *, algorithm: str, announced: str, computed: str) -> None:
        self.algorithm = algorithm
        self.announced = announced
        self.computed = computed
        super().__init__(f"{algorithm} of the body is {computed}, announced was {announced}; nothing was stored")


class Unauthenticated(HoldfastError):
    """No valid credentials. Never says whether the user exists."""

    def __init__(self) -> None:
        super().__init__("user name or password is wrong, or missing")


class TokenInvalid(Unauthenticated):
    """Nobody has this bearer token: never, or no more. Which of both is not told."""

    def __init__(self) -> None:
        super().__init__()
        self.args = ("the token is wrong, or it has expired or was revoked",)


class SignInBlocked(HoldfastError):
    """Too many wrong passwords: none is looked at for ``retry_after_s``. Never says whether the user exists."""

    def __init__(self, *, retry_after_s: int) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(f"too many failed attempts to sign in; try again in {retry_after_s} s")


class Denied(HoldfastError):
    """The principal is known but may not do this."""

    def __init__(self, *, action: str, reason: str = "") -> None:
        self.action = action
        self.reason = reason
        super().__init__(f"not allowed: {action}" + (f" ({reason})" if reason else ""))


class BadSignature(Denied):
    """Nobody has signed this URL, or its key or its issuer's right is gone; which of these is not told."""

    def __init__(self) -> None:
        super().__init__(action="use this URL", reason="it is not signed, or void by now")


class UrlExpired(Denied):
    """A signed URL was right once."""

    def __init__(self) -> None:
        super().__init__(action="use this URL", reason="it has expired; ask for a new one")


class ScopeMissing(Denied):
    """The principal signed in with a bearer token that was not made for ``scope``."""

    def __init__(self, *, action: str, scope: str) -> None:
        self.scope = scope
        super().__init__(action=action, reason=f"the token has no scope {scope}")


class NotFound(HoldfastError):
    """``what`` (a path, a user, a token) does not exist for this principal."""

    def __init__(self, *, what: str) -> None:
        self.what = what
        super().__init__(f"{what} does not exist")


class MomentGone(NotFound):
    """A moment that is kept no more; ``nearest`` is the one that is, in a form that can be asked for.

    ``path``: the folder with a rule of its own that does not keep it; None: the tree does not.
    """

    def __init__(self, *, nearest: str, path: str | None = None) -> None:
        self.nearest = nearest
        self.path = path
        super().__init__(what="this moment")
        where = "" if path is None else f" for {path}"
        self.args = (f"this moment is not kept any more{where}; the nearest that is: {nearest}",)


class Conflict(HoldfastError):
    """The tree is not in the state that the request assumes; ``path`` is where."""

    message = "{path} is in conflict with the request"

    def __init__(self, *, path: str) -> None:
        self.path = path
        super().__init__(self.message.format_map(vars(self)))


class ParentMissing(Conflict):
    """The folder that would hold the new name does not exist (RFC 4918 §9.3.1, §9.7.1)."""

    message = "the folder above {path} does not exist"

    def __init__(self, *, path: str, removed: bool = False) -> None:
        # Another folder may have its name by now, which "does not exist" would deny.
        self.removed = removed
        if removed:
            self.message = "the folder that {path} was in is gone"
        super().__init__(path=path)


class NameTaken(Conflict):
    """Something already has this name and may not be replaced."""

    message = "{path} exists already"


class NotAFolder(Conflict):
    """A folder is needed here."""

    message = "{path} is not a folder"


class IsAFolder(Conflict):
    """A file is needed here."""

    message = "{path} is a folder"


class PreconditionFailed(Conflict):
    """A condition sent by the client (If, If-Match, If-None-Match, Overwrite: F, …) does not hold."""

    message = "a condition of the request does not hold for {path}"


class TargetTaken(PreconditionFailed):
    """What a move or copy would replace may not be replaced (RFC 4918 §9.8.4: Overwrite: F)."""

    message = "{path} exists already, and may not be replaced"


class Locked(Conflict):
    """A lock whose token was not sent protects ``path`` (RFC 4918 §9.10.6); ``lock_root`` is the locked path."""

    message = "{path} is locked"

    def __init__(self, *, path: str, lock_root: str | None = None) -> None:
        self.lock_root = lock_root or path
        if self.lock_root != path:
            self.message = "{path} is locked by a lock on {lock_root}"
        super().__init__(path=path)


class LockConflict(Conflict):
    """A new lock would contradict one that is held (no-conflicting-lock, RFC 4918 §16)."""

    message = "a lock that is held on {lock_root} excludes the new one"

    def __init__(self, *, path: str, lock_root: str | None = None) -> None:
        self.lock_root = lock_root or path
        super().__init__(path=path)


class LockTokenMismatch(Conflict):
    """The lock token does not name a lock on ``path`` (lock-token-matches-request-uri)."""

    message = "the lock token does not name a lock on {path}"


class UploadConflict(Conflict):
    """The upload is not in the state that the request assumes; ``reason`` is a whole clause."""

    def __init__(self, *, upload: str, reason: str) -> None:
        self.upload = upload
        self.reason = reason
        super().__init__(path=upload)
        self.args = (reason,)


class PartsMissing(UploadConflict):
    """It cannot be completed yet: ``numbers`` are the first of the ``count`` parts that have not come."""

    def __init__(self, *, upload: str, numbers: list[int], count: int) -> None:
        self.numbers = numbers
        self.count = count
        shown = ", ".join(map(str, numbers)) + (", …" if count > len(numbers) else "")
        super().__init__(upload=upload, reason=f"{count} parts are missing: {shown}; send them and complete again")


class PartsDiffer(UploadConflict):
    """The parts that the client lists are not those that are here; ``number`` is the first that is not."""

    def __init__(self, *, upload: str, number: int) -> None:
        self.number = number
        super().__init__(upload=upload, reason=f"part {number} is not as it was listed; send it again")


class OffsetMismatch(UploadConflict):
    """The bytes that come do not follow those that are here, which are ``offset``."""

    def __init__(self, *, upload: str, offset: int) -> None:
        self.offset = offset
        super().__init__(upload=upload, reason=f"{offset} bytes of this upload are here; go on from there")


class Limit(HoldfastError):
    """A bound was met."""


class TooLarge(Limit):
    """More than ``limit_bytes`` of ``what``."""

    def __init__(self, *, what: str, limit_bytes: int) -> None:
        self.what = what
        self.limit_bytes = limit_bytes
        super().__init__(f"{what} is larger than the limit of {limit_bytes} bytes")


class QuotaExceeded(Limit):
    """The tree's owner would hold more than ``quota_bytes`` (quota-not-exceeded, RFC 4331 §6)."""

    def __init__(self, *, quota_bytes: int, used_bytes: int) -> None:
        self.quota_bytes = quota_bytes
        self.used_bytes = used_bytes
        super().__init__(f"over quota: {used_bytes} of {quota_bytes} bytes are in use")


class TooManyUploads(Limit):
    """One user has begun more uploads than ``limit``, or larger ones together, and completed none of them."""

    def __init__(self, *, limit: int, what: str) -> None:
        self.limit = limit
        self.what = what
        super().__init__(f"unfinished uploads may be at most {limit} {what}; complete some or abort them first")


class RateLimited(Limit):
    """The limit of this name is spent: nothing is answered for ``retry_after_s``, and nothing was changed."""

    def __init__(self, *, limit: str, retry_after_s: int) -> None:
        self.limit = limit
        self.retry_after_s = retry_after_s
        super().__init__(f"too many {limit.replace('-', ' ')}; try again in {retry_after_s} s")


class TooManyTokens(Limit):
    """One user has ``limit`` bearer tokens that hold."""

    def __init__(self, *, limit: int) -> None:
        self.limit = limit
        super().__init__(f"there may be at most {limit} tokens of one user; revoke some, or wait for them to expire")


class StorageFull(Limit):
    """The disk or the store has no room (sufficient-disk-space, RFC 4331 §6)."""

    def __init__(self) -> None:
        super().__init__("the server has no room left")


class Unavailable(HoldfastError):
    """Nothing was changed, unless it is an ``OutcomeUnknown``; the same may pass after ``retry_after_s``."""

    def __init__(self, *, reason: str, retry_after_s: int = 5) -> None:
        self.reason = reason
        self.retry_after_s = retry_after_s
        super().__init__(reason)


class OutcomeUnknown(Unavailable):
    """Somebody went away in the middle of the last step: all of it was done, or nothing. Who repeats it looks first."""


class ReadOnly(Unavailable):
    """Nothing can be changed for a while, since the database is about to move; reading goes on."""

    def __init__(self) -> None:
        super().__init__(reason="the store is read-only for a moment; nothing was changed", retry_after_s=10)


class Moved(Unavailable):
    """The store is not where this process has opened it: ``where`` its database is now, "" if it is something else."""

    def __init__(self, *, where: str = "") -> None:
        self.where = where
        super().__init__(reason="the store has moved, and this server follows in a moment; nothing was changed")


class Damaged(HoldfastError):
    """Stored bytes are missing or are not what they were; they were not served."""

    def __init__(self, *, what: str) -> None:
        self.what = what
        super().__init__(f"{what} is damaged or missing in the store")


class TrailBroken(Damaged):
    """A part of the audit trail is not what was sealed; ``problem`` is a whole clause."""

    def __init__(self, *, problem: str) -> None:
        self.problem = problem
        super().__init__(what="the audit trail")
        self.args = (f"{problem}; `holdfast audit verify` tells more",)


class BackendError(HoldfastError):
    """A blob store failed at ``key``; ``temporary`` says whether a retry can help."""

    def __init__(self, *, key: str, reason: str, temporary: bool = False) -> None:
        self.key = key
        self.reason = reason
        self.temporary = temporary
        super().__init__(f"blob {key}: {reason}")


class BlobMissing(BackendError):
    """No blob has this key, or it is shorter than the range asked for."""

    def __init__(self, *, key: str, reason: str = "no such blob") -> None:
        super().__init__(key=key, reason=reason)


class BlobDamaged(BackendError):
    """Some of the bytes asked for are not what was sealed under this key; none of them was given."""


class DataKeyUnknown(BackendError):
    """The blob is sealed with a data key that is not known here, or its first bytes are damaged."""

    def __init__(self, *, key: str, key_id: str) -> None:
        self.key_id = key_id
        super().__init__(key=key, reason=f"is sealed with the data key {key_id}, which is not known here")


class BackupFailed(HoldfastError):
    """A backup folder cannot be written or read on; ``problem`` follows its name. Its last snapshot is as it was."""

    def __init__(self, *, folder: str, problem: str) -> None:
        self.folder = folder
        self.problem = problem
        super().__init__(f"the backup folder {folder} {problem}")


class MoveFailed(HoldfastError):
    """The database was not moved, and its store is where it was; or the move of blobs has to be gone on with.
    ``problem`` is a whole clause.
    """

    def __init__(self, *, problem: str) -> None:
        self.problem = problem
        super().__init__(problem)


class Fatal(HoldfastError):
    """The program cannot start or go on; the message says what to do."""


class ConfigError(Fatal):
    """``setting`` is wrong; ``problem`` is a clause that follows its name."""

    def __init__(self, *, setting: str, problem: str) -> None:
        self.setting = setting
        self.problem = problem
        super().__init__(f"{setting}: {problem}")


class DataFolderBusy(Fatal):
    """Another server holds the data folder."""

    def __init__(self, *, folder: str) -> None:
        self.folder = folder
        super().__init__(f"data: another server holds {folder}; stop it first or set another data folder")


class SchemaTooNew(Fatal):
    """The database was written by a newer program."""

    def __init__(self, *, revision: str) -> None:
        self.revision = revision
        super().__init__(
            f"data: the database has revision {revision}, which this program does not know; install a newer Holdfast"
        )


class StoreMismatch(Fatal):
    """The blobs belong to another store than the database says."""

    def __init__(self, *, reason: str) -> None:
        self.reason = reason
        super().__init__(f"data: {reason}")


class MoveRefused(Fatal):
    """The database or the blobs cannot move, or not to that place; ``reason`` is a whole clause."""

    def __init__(self, *, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class KeysUnusable(Fatal):
    """Data keys cannot be opened, or are not where they have to be; ``reason`` names them and says what to do."""

    def __init__(self, *, reason: str) -> None:
        self.reason = reason
        super().__init__(f"sealed blobs: {reason}")


class BackupRefused(Fatal):
    """A folder is not what it has to be for a backup; ``reason`` follows its name, and nothing was changed."""

    def __init__(self, *, folder: str, reason: str) -> None:
        self.folder = folder
        self.reason = reason
        super().__init__(f"{folder} {reason}")
