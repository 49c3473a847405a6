"""Data outlives code: a folder written by any earlier landed state opens, migrates, and is what it was."""

from __future__ import annotations

import json
import os
import tarfile
from pathlib import Path

import pytest

from appliance import config
from appliance.app import open_appliance
from appliance.serve.folder import hold_folder
from appliance.serve.prepare import prepare_store
from appliance.upkeep.check import check
from tests.data_folders.inventory import inventory

HERE = Path(__file__).parent
ARCHIVES = sorted(path.name.removesuffix(".tar.gz") for path in HERE.glob("*.tar.gz"))


@pytest.mark.parametrize("name", ARCHIVES)
def test_folder_of_earlier_state_opens_with_all_that_was_in_it(name: str, tmp_path: Path) -> None:
    """Every path, version, property and removed thing is there, and check finds nothing."""
    with tarfile.open(HERE / f"{name}.tar.gz") as archive:
        # Python 3.11.4 brought the filter, 3.14 makes it the default; the archive is our own.
        archive.extractall(tmp_path, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))
    settings = config.load(None, {}, {"data": str(tmp_path / "data")})
    claim = hold_folder(settings.data)
    prepare_store(settings, tell=print)
    appliance = open_appliance(settings)
    found = inventory(appliance)
    report = check(appliance.database, appliance.backend, read_data=True)
    appliance.close()
    os.close(claim)
    assert found == json.loads((HERE / f"{name}.json").read_text())
    assert report.findings == []


def test_archives_exist() -> None:
    """An empty list of archives would pass the test above."""
    assert ARCHIVES
