"""Users, their devices, and the trees they own."""

from __future__ import annotations

from appliance.accounts.users import ROLES
from appliance.upkeep.check_rows import Rule

_STATES = ("active", "disabled", "removed")


def _words(words: tuple[str, ...]) -> str:
    return ", ".join(f"'{word}'" for word in words)


RULES = (
    Rule(
        "user-role",
        "id, name, role",
        f'FROM "user" WHERE role NOT IN ({_words(ROLES)})',
        "user {0} ({1})",
        "has the unknown role {2}",
    ),
    Rule(
        "user-state",
        "id, name, state",
        f'FROM "user" WHERE state NOT IN ({_words(_STATES)})',
        "user {0} ({1})",
        "is in the unknown state {2}",
    ),
    Rule(
        "user-name", "id, name", 'FROM "user" WHERE name <> LOWER(name)', "user {0} ({1})", "has capitals in its name"
    ),
    # That no user has two trees is a constraint of the table.
    Rule(
        "user-tree",
        "u.id, u.name",
        'FROM "user" u LEFT JOIN tree t ON t.owner_id = u.id WHERE t.id IS NULL',
        "user {0} ({1})",
        "has no tree",
    ),
    Rule(
        "app-password-user",
        "a.id, a.user_id",
        'FROM app_password a LEFT JOIN "user" u ON u.id = a.user_id WHERE u.id IS NULL',
        "app password {0}",
        "is of user {1}, who does not exist",
    ),
    Rule(
        "api-token-user",
        "k.id, k.user_id",
        'FROM api_token k LEFT JOIN "user" u ON u.id = k.user_id WHERE u.id IS NULL',
        "token {0}",
        "is of user {1}, who does not exist",
    ),
    Rule(
        "api-token-device",
        "k.id, k.device_id",
        """
        FROM api_token k
        LEFT JOIN app_password a ON a.id = k.device_id AND a.user_id = k.user_id AND a.revoked_at IS NULL
        WHERE k.device_id IS NOT NULL AND a.id IS NULL
        """,
        "token {0}",
        "was made with the app password {1}, which is none of its user's, or is revoked",
    ),
    Rule(
        "tree-owner",
        "t.id, t.owner_id",
        'FROM tree t LEFT JOIN "user" u ON u.id = t.owner_id WHERE u.id IS NULL',
        "tree {0}",
        "is owned by user {1}, who does not exist",
    ),
    Rule(
        "tree-quota",
        "id, quota_bytes",
        "FROM tree WHERE quota_bytes < 0",
        "tree {0}",
        "has a quota of {1} bytes",
    ),
)
