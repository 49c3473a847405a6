"""Password hashes: Argon2id with 7 MiB, 5 passes, 1 lane (OWASP's smallest memory profile)."""

from __future__ import annotations

import functools
import secrets
import threading

from passlib.hash import argon2

from appliance import cores
from appliance.config.credentials import PASSWORD_MOST, password_problem
from appliance.errors import BadRequest

_hasher = argon2.using(type="ID", memory_cost=7 * 1024, time_cost=5, parallelism=1)
# Each takes 7 MiB and a core for some 20 ms: two at a time leave room for everybody who is signed in.
_hashing = threading.BoundedSemaphore(2)


def check_new(password: str) -> None:
    """Refuse a password that must not be set.

    Raises:
        BadRequest: with the rule.
    """
    problem = password_problem(password)
    if problem is not None:
        raise BadRequest(reason=problem)


def hash_password(password: str) -> str:
    """A salted hash in PHC form."""
    cores.roam()
    with _hashing:
        return str(_hasher.hash(password))


def verify(password: str, password_hash: str | None) -> bool:
    """Compare with a user's hash; None, for a user who does not exist, costs the same and is False."""
    if len(password) > PASSWORD_MOST:
        return False
    # Whatever bytes a client sends as its password are wrong at worst.
    sent = password.encode("utf-8", "surrogatepass")
    cores.roam()
    with _hashing:
        matches = bool(_hasher.verify(sent, password_hash or _nobodys()))
    return matches and password_hash is not None


def generate() -> str:
    """A readable password with 99 random bits."""
    letters = "abcdefghjkmnpqrstuvwxyz23456789"
    return "-".join("".join(secrets.choice(letters) for _ in range(5)) for _ in range(4))


@functools.cache
def _nobodys() -> str:
    return str(_hasher.hash(secrets.token_hex(16)))
