"""Where the metadata of tus say that a file will be."""

from __future__ import annotations

import pytest

from appliance.errors import BadRequest
from appliance.uploads import begin
from appliance.uploads.begin import ALWAYS, NEVER
from providers.tus.metadata import Metadata
from tests.server.tus import metadata
from tests.uploads.uploader import Uploader


def test_folder_can_be_told_by_its_id(alice: Uploader) -> None:
    """And not by both, nor with folders in the name."""
    alice.person.mkdir("/a", "/a/b")
    number = alice.person.node("/a/b").id
    files, principal = alice.person.files, alice.person.principal
    noted = Metadata(metadata(filename="file", parentId=str(number), filetype="x/own", mtime="-0.5"))
    wanted = noted.wanted(files, principal, 3, folder=None, replaces=NEVER)
    assert (wanted.name, wanted.replaces, wanted.media_type, wanted.modified_at) == ("file", NEVER, "x/own", -500_000)
    upload = begin.begin(alice.uploads, principal, wanted, part_size=0)
    assert (upload.parent_id, upload.name, upload.metadata) == (number, "file", noted.text)
    # Where the request says it the metadata do not.
    assert noted.wanted(files, principal, 3, folder=("a",), replaces=ALWAYS).folder == ("a",)
    for texts in ({"path": "/a"}, {"relativePath": "c/file"}):
        both = Metadata(metadata(filename="file", parentId=str(number), **texts))
        with pytest.raises(BadRequest):
            both.wanted(files, principal, 3, folder=None, replaces=NEVER)


def test_what_the_file_replaces_can_be_told(alice: Uploader) -> None:
    """Either way, whatever the request would do by itself."""
    files, principal = alice.person.files, alice.person.principal
    for text, otherwise, replaces in (("true", NEVER, ALWAYS), ("FALSE", ALWAYS, NEVER), ("", ALWAYS, NEVER)):
        noted = Metadata(metadata(filename="file", overwrite=text))
        assert noted.wanted(files, principal, 3, folder=None, replaces=otherwise).replaces == replaces
