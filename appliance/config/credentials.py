"""What user names and passwords may be: one rule for the settings of the first start and for every user later."""

from __future__ import annotations

import re

NAME_LEAST, NAME_MOST = 1, 64
PASSWORD_LEAST, PASSWORD_MOST = 8, 1024
"""Characters; the upper bound keeps a stranger from having megabytes hashed."""

_NAME = re.compile(rf"[a-z0-9][a-z0-9._@-]{{{NAME_LEAST - 1},{NAME_MOST - 1}}}")


def canonical(name: str) -> str:
    """The form in which names are stored and compared."""
    return name.strip().lower()


def is_name(name: str) -> bool:
    """Whether a user could have this name, in its stored form. Others need not, and some cannot, be looked up."""
    return _NAME.fullmatch(name) is not None


def name_problem(name: str) -> str | None:
    """The rule that a new user's name breaks, as a whole clause; None: it is good in its stored form."""
    if is_name(name):
        return None
    return f"a user name has {NAME_LEAST} to {NAME_MOST} of a-z 0-9 . _ - @ and begins with a letter or digit"


def password_problem(password: str) -> str | None:
    """The rule that a new password breaks, as a whole clause that does not show it; None: it is good."""
    if not PASSWORD_LEAST <= len(password) <= PASSWORD_MOST:
        return f"a password has {PASSWORD_LEAST} to {PASSWORD_MOST} characters"
    if any(ord(character) < 32 or 0xD800 <= ord(character) < 0xE000 for character in password):
        return "a password contains no control characters"
    return None
