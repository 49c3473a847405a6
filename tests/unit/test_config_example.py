"""The example of a configuration documents every setting."""

from __future__ import annotations

import re
from pathlib import Path

from appliance.config import BY_NAME, load
from tests.unit.test_config import EXAMPLE, from_text


def test_example_documents_every_setting_as_the_table_does() -> None:
    """Meaning, unit, default and bounds in the example are those of the table, in its order."""
    blocks = re.findall(r"((?:^# .*\n)+)^#(\w+):(.*)\n", EXAMPLE.read_text(encoding="utf-8"), re.MULTILINE)
    assert [name for _, name, _ in blocks] == list(BY_NAME)
    for comment, name, value in blocks:
        setting = BY_NAME[name]
        allowed = f" Allowed: {setting.bounds_text}." if setting.bounds_text else ""
        words = f"{setting.help} Unit: {setting.unit}. Default: {setting.default_text}.{allowed}"
        assert re.sub(r"\n?# ", " ", comment).split() == words.split()
        assert value.strip().removesuffix("[]") in (setting.default_text, "")


def test_example_with_every_line_switched_on_yields_the_defaults(tmp_path: Path) -> None:
    """The example is valid and its values are the defaults."""
    assert from_text(tmp_path, EXAMPLE.read_text(encoding="utf-8")) == load(None, {}, {})
    text = re.sub(r"^#(\w+:)", r"\1", EXAMPLE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert from_text(tmp_path, text.replace("./holdfast-data", str(Path("holdfast-data").absolute()))) == load(
        None, {}, {}
    )
