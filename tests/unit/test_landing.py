"""The landing page and the help that a first start prints: complete, harmless, and true to the address."""

from __future__ import annotations

import base64
import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from lxml import html

from admin_ui.pages import LANDING_CSP, LandingPage, mount_help

BASE = "https://files.example.com"


def page(base_url: str = BASE) -> str:
    """The rendered page as text."""
    return LandingPage().render(base_url, "1.2.3").decode("utf-8")


@pytest.mark.parametrize("base_url", [BASE, f"{BASE}/"])
def test_landing_names_every_system_and_the_address(base_url: str) -> None:
    """A visitor finds how to mount on each system, with the DAV address filled in."""
    tree = html.fromstring(page(base_url))
    assert [node.text for node in tree.iter("h2")] == ["Address", "Windows", "macOS", "Linux", "rclone"]
    typed = [node.text for node in tree.iter("code")]
    assert f"{BASE}/dav/" in typed
    assert f"net use Z: {BASE}/dav/ /user:NAME * /persistent:yes" in typed
    assert "gio mount davs://files.example.com/dav/" in typed
    assert f"sudo mount -t davfs {BASE}/dav/ /mnt" in typed
    assert any(text.startswith(f"rclone config create holdfast webdav url={BASE}/dav/ ") for text in typed)
    assert "Holdfast 1.2.3" in page(base_url)


def test_landing_loads_nothing_and_runs_nothing() -> None:
    """No script, no outside resource, no inline handler or style attribute: the page works under its own policy."""
    tree = html.fromstring(page())
    assert not tree.xpath("//script | //link | //img | //iframe | //form | //object | //@src | //@style")
    # A link leads away; nothing is loaded by it.
    assert tree.xpath("//@href") == ["/account/"]
    assert not tree.xpath("//@*[starts-with(name(), 'on')]")
    assert not re.search(r"url\(|@import", page())


def test_landing_policy_allows_the_style_of_the_page_only() -> None:
    """The hash in the policy is that of the style as a browser sees it; everything else is denied."""
    styles = re.findall(r"<style>(.*?)</style>", page(), re.DOTALL)
    assert len(styles) == 1
    digest = base64.b64encode(hashlib.sha256(styles[0].encode()).digest()).decode()
    directives = dict(directive.split(" ", 1) for directive in LANDING_CSP.split("; "))
    assert directives["style-src"] == f"'sha256-{digest}'"
    assert directives["default-src"] == "'none'"
    assert "unsafe" not in LANDING_CSP


def test_landing_is_made_for_phones_too() -> None:
    """The width of the device counts, and long commands wrap instead of widening the page."""
    assert '<meta name="viewport" content="width=device-width, initial-scale=1">' in page()
    assert "overflow-wrap: anywhere" in page()


def test_landing_with_hostile_address_shows_it_as_text() -> None:
    """The address comes from a request's Host header; it can neither add markup nor a command to what is typed."""
    text = page('http://x"><script>alert(1)</script>;reboot')
    assert "<script" not in text
    assert not html.fromstring(text).xpath("//script")
    commands = [node.text for node in html.fromstring(text).iter("code") if node.text.startswith("sudo")]
    assert commands == ["""sudo mount -t davfs 'http://x"><script>alert(1)</script>;reboot/dav/' /mnt"""]


def test_landing_over_http_warns_windows_users() -> None:
    """Windows sends no password over plain HTTP, which looks like a wrong password to a person."""
    assert "BasicAuthLevel" in page("http://nas:8080")
    assert "BasicAuthLevel" not in page()


def test_mount_help_is_plain_lines_with_address_and_user() -> None:
    """The terminal gets the same steps, no markup, and no line that a terminal would wrap but commands."""
    text = mount_help("http://127.0.0.1:8080", "anna@home")
    assert "net use Z: http://127.0.0.1:8080/dav/ /user:anna@home * /persistent:yes" in text
    assert "gio mount dav://anna%40home@127.0.0.1:8080/dav/" in text
    assert "user=anna@home" in text
    assert not re.search(r"<|&\w+;|NAME|\x1b", text)
    assert text == text.strip()
    assert all(len(line) <= 100 for line in text.splitlines() if not line.startswith("      "))


def test_mount_help_with_ipv6_quotes_the_brackets() -> None:
    """Some shells take the brackets for a pattern and would refuse the command."""
    assert "sudo mount -t davfs 'http://[::1]:8080/dav/' /mnt" in mount_help("http://[::1]:8080", "admin")


@pytest.mark.skipif(shutil.which("rclone") is None, reason="rclone is not installed")
def test_mount_help_rclone_command_makes_a_working_remote(tmp_path: Path) -> None:
    """rclone itself accepts the line as it is shown and stores what it says."""
    lines = mount_help("http://[::1]:8080", "admin").splitlines()
    command = next(line.strip() for line in lines if "rclone config create" in line)
    environ = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(tmp_path), "RCLONE_CONFIG": str(tmp_path / "c")}
    subprocess.run(
        ["sh", "-c", command], env=environ, input=b"secret words\n", check=True, capture_output=True, timeout=60
    )
    stored = (tmp_path / "c").read_text()
    for line in ("[holdfast]", "type = webdav", "url = http://[::1]:8080/dav/", "vendor = owncloud", "user = admin"):
        assert line in stored
    obscured = re.findall(r"^pass = (.+)$", stored, re.MULTILINE)[0]
    # It may begin with a dash.
    reveal = ["rclone", "reveal", "--", obscured]
    revealed = subprocess.run(reveal, env=environ, check=True, capture_output=True, timeout=60)
    assert revealed.stdout.decode().strip() == "secret words"
