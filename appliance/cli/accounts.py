"""``holdfast user`` and ``holdfast app-password``."""

from __future__ import annotations

import argparse
import getpass
import sys
from typing import Any

from appliance import moments, retention
from appliance.accounts import app_passwords, usage, users
from appliance.accounts.usage import NOTHING
from appliance.cli.context import Context, print_table, row_id, show_quota, visible
from appliance.errors import BadRequest
from appliance.files import rules
from appliance.principal import system
from appliance.tree.paths import parse, show


def add_commands(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the commands of this group to the parser."""
    _add_user_commands(commands.add_parser("user", help="manage users"), common)
    devices = commands.add_parser("app-password", help="manage the app passwords of devices")
    group = devices.add_subparsers(metavar="ACTION", required=True)
    add = _command(group, "add", common, "make an app password; it is shown once", _add_app_password)
    add.add_argument("label", metavar="LABEL", help="the device it is for")
    _command(group, "list", common, "list app passwords", _list_app_passwords)
    revoke = _command(group, "revoke", common, "make an app password work no more", _revoke_app_password)
    revoke.add_argument("id", type=row_id, metavar="ID", help="as listed")
    for command in (add, revoke, group.choices["list"]):
        command.add_argument("--user", required=True, metavar="NAME")


def _add_user_commands(parser: argparse.ArgumentParser, common: argparse.ArgumentParser) -> None:
    group = parser.add_subparsers(metavar="ACTION", required=True)
    add = _command(group, "add", common, "add a user", _add)
    add.add_argument("--role", choices=users.ROLES, default="member")
    add.add_argument("--quota", type=_quota, metavar="BYTES", help="0 or none: no limit (setting default_quota)")
    password = _command(group, "password", common, "set a user's password", _password)
    for command in (add, password):
        command.add_argument("--password-stdin", action="store_true", help="read the password from standard input")
    _command(group, "list", common, "list users, and the bytes of their files, trash and earlier versions", _list)
    _command(group, "disable", common, "refuse a user's sign-in, from the next request on", _disable)
    _command(group, "enable", common, "accept a user's sign-in again", _enable)
    role = _command(group, "role", common, "make a user an administrator, or a member again", _set_role)
    quota = _command(group, "quota", common, "set how much a user may hold", _set_quota)
    keep = _command(group, "retention", common, "set how long a user's past is kept", _set_retention)
    listing = _command(group, "rules", common, "list how long a user's past is kept, folder by folder", _list_rules)
    remove = _command(group, "remove", common, "remove a user; the files are kept until --purge", _remove)
    remove.add_argument("--purge", action="store_true", help="delete the files, versions and trash too, for good")
    for command in (add, password, group.choices["disable"], group.choices["enable"], role, quota, keep, remove):
        command.add_argument("name", metavar="NAME")
    role.add_argument("role", choices=users.ROLES)
    listing.add_argument("name", metavar="NAME")
    keep.add_argument("retention", metavar="STEPS", help="as the setting retention, or default")
    keep.add_argument("--folder", metavar="PATH", help="for this folder and all below it; default: as the one above")
    quota.add_argument("quota", type=_quota, metavar="BYTES", help="0 or none: no limit")


def _command(group: Any, name: str, common: argparse.ArgumentParser, text: str, run: Any) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = group.add_parser(name, parents=[common], help=text)
    command.set_defaults(run=run)
    return command


def _quota(text: str) -> int:
    """Bytes; 0 stands for no limit."""
    if text.lower() == "none":
        return 0
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of bytes")
    return int(text)


def _read_password(options: argparse.Namespace) -> str:
    # None: standard input is closed.
    if options.password_stdin and sys.stdin is not None:
        return sys.stdin.readline().rstrip("\r\n")
    if sys.stdin is None or not sys.stdin.isatty():
        raise BadRequest(reason="no password: add --password-stdin and write it to standard input")
    try:
        password = getpass.getpass("Password: ")
        again = getpass.getpass("Once more: ")
    except EOFError as error:
        # The cursor is still behind the prompt.
        print(file=sys.stderr)
        raise BadRequest(reason="no password was typed") from error
    if again != password:
        raise BadRequest(reason="the two are not the same")
    return password


def _add(context: Context, options: argparse.Namespace) -> int:
    with context.appliance() as appliance:
        quota = context.settings.default_quota if options.quota is None else options.quota
        user = users.add(
            appliance.database, options.name, _read_password(options), role=options.role, quota_bytes=quota or None
        )
    print(f"added {user.name} ({user.role})")
    return 0


def _list(context: Context, options: argparse.Namespace) -> int:
    with context.appliance() as appliance:
        everybody = users.listing(appliance.database)
        kept = usage.kept(appliance.database)
    print_table(
        ("NAME", "ROLE", "STATE", "FILES", "BYTES", "QUOTA", "TRASH", "HISTORY"),
        [
            (user.name, user.role, user.state, user.files, user.bytes, show_quota(user), *kept.get(user.id, NOTHING))
            for user in everybody
        ],
    )
    return 0


def _password(context: Context, options: argparse.Namespace) -> int:
    with context.appliance() as appliance:
        user = users.get(appliance.database, options.name)
        users.set_password(appliance.database, user, _read_password(options))
    print(f"changed the password of {user.name}")
    return 0


def _disable(context: Context, options: argparse.Namespace) -> int:
    return _set_state(context, options.name, "disabled")


def _enable(context: Context, options: argparse.Namespace) -> int:
    return _set_state(context, options.name, "active")


def _set_state(context: Context, name: str, state: str) -> int:
    with context.appliance() as appliance:
        user = users.get(appliance.database, name)
        users.set_state(appliance.database, user, state)
    print(f"{user.name} is {state}")
    return 0


def _set_role(context: Context, options: argparse.Namespace) -> int:
    with context.appliance() as appliance:
        user = users.get(appliance.database, options.name)
        users.set_role(appliance.database, user, options.role)
    print(f"{user.name} is {'an administrator' if options.role == 'admin' else 'a member'}")
    return 0


def _set_quota(context: Context, options: argparse.Namespace) -> int:
    with context.appliance() as appliance:
        users.set_quota(appliance.database, users.get(appliance.database, options.name), options.quota or None)
        user = users.get(appliance.database, options.name)
    print(f"quota of {user.name}: {show_quota(user)}")
    return 0


def _set_retention(context: Context, options: argparse.Namespace) -> int:
    wanted = None if options.retention == "default" else retention.parse(options.retention)
    with context.appliance() as appliance:
        user = users.get(appliance.database, options.name)
        if options.folder is not None:
            path = parse(options.folder)
            rules.set_rule(appliance.files, system(user.id, face="cli"), path, wanted)
            print(f"{visible(show(path))} of {user.name} keeps {wanted or 'what the folder above keeps'}")
            return 0
        users.set_retention(appliance.database, user, wanted)
    kept = f"{context.settings.retention} (the setting)" if wanted is None else str(wanted)
    print(f"{user.name} keeps {kept}")
    return 0


def _list_rules(context: Context, options: argparse.Namespace) -> int:
    with context.appliance() as appliance:
        user = users.get(appliance.database, options.name)
        own = users.retention_of(appliance.database, user) or f"{context.settings.retention} (the setting)"
        found = rules.list_rules(appliance.files, system(user.id, face="cli"))
    print_table(
        ("KEEPS", "FOLDER"),
        [(own, "/"), *((each.retention, each.path + (" (in the trash)" if each.removed else "")) for each in found)],
    )
    return 0


def _remove(context: Context, options: argparse.Namespace) -> int:
    with context.appliance() as appliance:
        user = users.get(appliance.database, options.name)
        if options.purge:
            users.purge_user(appliance.database, user)
            print(f"deleted {user.name} with {user.files} files")
            return 0
        users.remove(appliance.database, user)
    print(f"removed {user.name}; the files are kept (holdfast user enable {user.name} brings them back)")
    return 0


def _add_app_password(context: Context, options: argparse.Namespace) -> int:
    with context.appliance() as appliance:
        user = users.get(appliance.database, options.user)
        app_password_id, secret = app_passwords.add(appliance.database, user, options.label)
    print(f"app password {app_password_id} of {user.name} for {options.label!r} (shown this once):", file=sys.stderr)
    print(secret)
    return 0


def _list_app_passwords(context: Context, options: argparse.Namespace) -> int:
    with context.appliance() as appliance:
        found = app_passwords.listing(appliance.database, users.get(appliance.database, options.user))
    print_table(
        ("ID", "MADE", "STATE", "LABEL"),
        [
            (each.id, moments.show(each.created_at), "revoked" if each.revoked_at else "active", each.label)
            for each in found
        ],
    )
    return 0


def _revoke_app_password(context: Context, options: argparse.Namespace) -> int:
    with context.appliance() as appliance:
        app_passwords.revoke(appliance.database, users.get(appliance.database, options.user), options.id)
    print(f"revoked {options.id}")
    return 0
