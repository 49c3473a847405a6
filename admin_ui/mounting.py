"""What a person types to mount this server, for each system: one list for the landing page and for the terminal."""

from __future__ import annotations

import shlex
import textwrap
from dataclasses import dataclass
from urllib.parse import urlsplit

DAV_PATH = "/dav/"
ANYBODY = "NAME"


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do: ``say`` in words, then ``type`` exactly (empty where there is nothing to type)."""

    say: str
    type: str = ""


@dataclass(frozen=True, slots=True)
class Guide:
    """The steps on one system, in order, and what a person there should know."""

    system: str
    steps: tuple[Step, ...]
    note: str = ""


def dav_url(base_url: str) -> str:
    """Where the signed-in person's files are; ``base_url`` may end in a slash or not."""
    return base_url.rstrip("/") + DAV_PATH


def guides(base_url: str, user: str = ANYBODY) -> tuple[Guide, ...]:
    """Windows, macOS, Linux and rclone, with the addresses filled in."""
    url = dav_url(base_url)
    # Some shells take the brackets of an IPv6 address for a pattern, hence the quotes where they are needed.
    quoted = shlex.quote(url)
    account = f"{shlex.quote(f'url={url}')} vendor=owncloud {shlex.quote(f'user={user}')}"
    secure = urlsplit(url).scheme == "https"
    return (
        Guide(
            "Windows",
            (Step("In a command prompt:", f"net use Z: {url} /user:{user} * /persistent:yes"),),
            "Windows opens files of up to 47 MB until FileSizeLimitInBytes is raised (registry, WebClient service; "
            "4 GB at most)."
            + ("" if secure else " It sends passwords over https only, unless BasicAuthLevel is set to 2 there."),
        ),
        Guide("macOS", (Step("In the Finder press Command-K and enter:", url),)),
        Guide(
            "Linux",
            (
                Step("In a terminal (a file manager takes the same address):", f"gio mount {_gio_url(url, user)}"),
                Step("Or with davfs2, as a folder for all programs:", f"sudo mount -t davfs {quoted} /mnt"),
            ),
        ),
        Guide(
            "rclone",
            (
                Step(
                    "Once; then type the password and press Enter:",
                    f'rclone config create holdfast webdav {account} pass="$(rclone obscure -)" --no-obscure',
                ),
                Step("Then for example:", "rclone copy FOLDER holdfast:FOLDER"),
            ),
        ),
    )


def mount_help(base_url: str, user: str) -> str:
    """Plain text for the terminal, without a line end at its end."""
    lines = [f"Your files are at {dav_url(base_url)} (user {user}). To mount them:"]
    for guide in guides(base_url, user):
        lines += ["", f"  {guide.system}"]
        for step in guide.steps:
            lines += [f"    {step.say}", f"      {step.type}"]
        if guide.note:
            lines += textwrap.wrap(guide.note, 100, initial_indent="    ", subsequent_indent="    ")
    return "\n".join(lines)


def _gio_url(url: str, user: str) -> str:
    scheme, rest = url.split("://", 1)
    account = "" if user == ANYBODY else f"{user.replace('@', '%40')}@"
    return shlex.quote(f"{'davs' if scheme == 'https' else 'dav'}://{account}{rest}")
