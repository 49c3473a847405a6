"""What commands print: tables of what strangers named, and where a server says that it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.cli.context import print_table, visible
from appliance.cli.serve import announcement
from appliance.config import load


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain é 🐎 \u200d", "plain é 🐎 \u200d"),
        ("\x1b[2J", "\\x1b[2J"),
        ("\x9b31m", "\\x9b31m"),
        ("a\nb\tc\x7f\x85", "a\\nb\\tc\\x7f\\x85"),
        ("txt.\u202eexe", "txt.\\u202eexe"),
    ],
)
def test_text_of_others_reaches_a_terminal_without_control_characters(text: str, shown: str) -> None:
    """They could move the cursor, hide lines, or type into the terminal of whoever lists the trash."""
    assert visible(text) == shown


def test_table_with_control_characters_keeps_its_rows_and_columns(capsys: pytest.CaptureFixture[str]) -> None:
    """One line for each row, as wide as what is shown."""
    print_table(("NAME", "SIZE"), [("a\nb", 1), ("c\x9b", 22)])
    assert capsys.readouterr().out == "NAME   SIZE\na\\nb   1\nc\\x9b  22\n"


@pytest.mark.parametrize(
    ("host", "shown"),
    [("127.0.0.1", "127.0.0.1"), ("192.0.2.7", "192.0.2.7"), ("::1", "[::1]"), ("fe80::1%lo", "[fe80::1%lo]")],
)
def test_announcement_names_the_address_that_is_listened_on(host: str, shown: str) -> None:
    """With the port that the system chose."""
    text = announcement(load(None, {"HOLDFAST_DATA": "/srv"}, {}), host, 4711, "anna")
    assert text.splitlines()[0] == f"Holdfast serves {Path('/srv')} at http://{shown}:4711/"
    assert f"net use Z: http://{shown}:4711/dav/ /user:anna" in text
    assert "public_urls" not in text


@pytest.mark.parametrize(("host", "shown"), [("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("::0", "[::1]")])
def test_announcement_on_all_addresses_names_one_that_can_be_typed(host: str, shown: str) -> None:
    """No client can connect to 0.0.0.0; which address others use only a person knows."""
    text = announcement(load(None, {"HOLDFAST_DATA": "/srv"}, {}), host, 8080, "admin")
    assert text.splitlines()[0] == f"Holdfast serves /srv at http://{shown}:8080/"
    assert "set public_urls to the address that others use" in text.splitlines()[1]
    assert "0.0.0.0" not in text
    assert "[::]" not in text


def test_announcement_with_public_urls_names_the_first() -> None:
    """Wherever it listens."""
    settings = load(None, {"HOLDFAST_PUBLIC_URLS": "https://files.example.com,https://b.example"}, {})
    text = announcement(settings, "0.0.0.0", 8080, "admin")
    assert text.splitlines()[0].endswith(" at https://files.example.com/")
    assert "set public_urls" not in text
