"""Files and folders by the API: listed, renamed, moved, copied, deleted, restored, and their versions."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from tests.server.api_client import ask
from tests.server.dav_client import Dav
from tests.server.running import Server

API = "/api/v1"
DESCRIBED = {
    "fileId", "fileName", "isFolder", "fileSize", "size", "mimeType", "ownerId", "parentId", "path", "createdAt",
    "updatedAt", "status", "version", "sha256", "etag",
}  # fmt: skip


def folder_of(dav: Dav, area: str) -> dict[str, Any]:
    """The test's own folder, as the API tells of it."""
    status, listed = ask(dav, "GET", f"{API}/files?path={area.removeprefix('/dav')}")
    assert status == 200, listed
    found: dict[str, Any] = listed["folder"]
    return found


def put(dav: Dav, area: str, name: str, body: bytes = b"content") -> dict[str, Any]:
    """A file, stored by WebDAV."""
    dav.ok("PUT", area + name, body)
    return next(each for each in listed(dav, area) if each["fileName"] == name)


def listed(dav: Dav, area: str, **parameters: object) -> list[dict[str, Any]]:
    """All pages."""
    files: list[dict[str, Any]] = []
    query = "".join(f"&{name}={value}" for name, value in parameters.items())
    cursor = ""
    while True:
        status, page = ask(dav, "GET", f"{API}/files?path={area.removeprefix('/dav')}{query}{cursor}")
        assert status == 200, page
        files += page["files"]
        assert page["hasMore"] == (page["cursor"] is not None)
        if not page["hasMore"]:
            return files
        cursor = f"&cursor={page['cursor']}"


def names(dav: Dav, area: str) -> list[str]:
    """In the order of the alphabet."""
    return sorted(each["fileName"] for each in listed(dav, area))


def test_listing_describes_each(dav: Dav, area: str) -> None:
    """All fields, of files and folders; and what is asked for alone is told the same."""
    body = b"hello"
    put(dav, area, "a.txt", body)
    dav.ok("MKCOL", f"{area}d")
    dav.ok("PUT", f"{area}d/in", b"1234")
    file, folder = listed(dav, area)
    assert set(file) == DESCRIBED
    assert set(folder) == DESCRIBED | {"fileCount"}
    above = folder_of(dav, area)
    path = area.removeprefix("/dav")
    assert (file["fileName"], file["fileSize"], file["size"], file["isFolder"]) == ("a.txt", 5, 5, False)
    assert (file["mimeType"], file["path"]) == ("text/plain; charset=utf-8", f"{path}a.txt")
    assert file["sha256"] == hashlib.sha256(body).hexdigest()
    assert (file["status"], file["parentId"], file["ownerId"]) == ("completed", above["fileId"], above["ownerId"])
    assert file["etag"] == dav.ok("GET", f"{area}a.txt").etag
    assert (folder["isFolder"], folder["fileSize"], folder["fileCount"], folder["mimeType"]) == (True, 4, 1, None)
    for each in (file, folder, above):
        status, alone = ask(dav, "GET", f"{API}/files/{each['fileId']}")
        assert status == 200
        assert {name: alone[name] for name in each} == each
        assert ("downloadUrl" in alone) == (each is file)
    status, page = ask(dav, "GET", f"{API}/files?parentId={above['fileId']}&limit=1")
    assert (page["files"], page["hasMore"]) == ([file], True)
    assert listed(dav, area, limit=1) == [file, folder]
    assert ask(dav, "GET", f"{API}/files")[1]["folder"]["path"] == "/"


def test_folder_is_made_altered_and_copied(dav: Dav, area: str) -> None:
    """By ids; existing names are 409 unless they may be replaced."""
    above = folder_of(dav, area)["fileId"]
    status, made = ask(dav, "POST", f"{API}/folders", {"fileName": "d", "parentId": above})
    assert (status, made["isFolder"], made["path"]) == (201, True, f"{area.removeprefix('/dav')}d")
    status, again = ask(dav, "POST", f"{API}/folders", {"fileName": "d", "path": area.removeprefix("/dav")})
    assert (status, again["type"]) == (409, "urn:holdfast:problem:name-taken")
    file = put(dav, area, "a")
    url = f"{API}/files/{file['fileId']}"
    moved_to = {"fileName": "b", "parentId": made["fileId"], "modifiedAt": "2020-02-02T02:02:02Z"}
    status, moved = ask(dav, "PATCH", url, moved_to)
    assert (status, moved["fileName"], moved["parentId"]) == (200, "b", made["fileId"])
    assert (moved["updatedAt"], moved["fileId"]) == ("2020-02-02T02:02:02Z", file["fileId"])
    assert ask(dav, "PATCH", url, moved_to)[0] == 200
    assert ask(dav, "PATCH", url, {})[1]["etag"] == moved["etag"]
    status, copied = ask(dav, "POST", f"{url}/copy", {"parentId": above, "fileName": "a"})
    assert (status, copied["path"]) == (201, f"{area.removeprefix('/dav')}a")
    assert copied["fileId"] != file["fileId"]
    status, taken = ask(dav, "POST", f"{url}/copy", {"parentId": above, "fileName": "a"})
    assert (status, taken["type"]) == (409, "urn:holdfast:problem:target-taken")
    status, over = ask(dav, "POST", f"{url}/copy", {"parentId": above, "fileName": "a", "overwrite": True})
    assert (status, over["fileId"]) == (200, copied["fileId"])
    status, taken = ask(dav, "PATCH", url, {"parentId": above, "fileName": "a"})
    assert status == 409
    assert ask(dav, "PATCH", f"{API}/files/{made['fileId']}", {"parentId": made["fileId"]})[0] == 403
    assert names(dav, area) == ["a", "d"]


def test_deleted_file_is_in_the_trash_and_comes_back(dav: Dav, area: str) -> None:
    """Found by its id all the while."""
    dav.ok("MKCOL", f"{area}d")
    folder = listed(dav, area)[0]
    file = put(dav, f"{area}d/", "a")
    url = f"{API}/files/{file['fileId']}"
    assert ask(dav, "DELETE", url) == (204, None)
    assert ask(dav, "DELETE", url)[0] == 404
    status, gone = ask(dav, "GET", url)
    assert (status, gone["status"], gone["path"], gone["reason"]) == (200, "deleted", file["path"], "deleted")
    assert (gone["parentId"], "downloadUrl" in gone) == (folder["fileId"], False)
    status, trash = ask(dav, "GET", f"{API}/trash?limit=1")
    assert (status, trash["files"]) == (200, [gone])
    status, back = ask(dav, "POST", f"{url}/restore")
    assert (status, back["status"], back["path"]) == (200, "completed", file["path"])
    assert ask(dav, "POST", f"{url}/restore")[0] == 404
    assert ask(dav, "DELETE", url)[0] == 204
    put(dav, f"{area}d/", "a", b"another")
    assert ask(dav, "POST", f"{url}/restore")[0] == 409
    status, back = ask(dav, "POST", f"{url}/restore", {"path": area.removeprefix("/dav"), "fileName": "back"})
    assert (status, back["fileName"], back["fileId"]) == (200, "back", file["fileId"])
    assert ask(dav, "DELETE", f"{API}/files/{folder['fileId']}")[0] == 204
    status, pages = ask(dav, "GET", f"{API}/trash?limit=1")
    assert pages["files"][0]["fileId"] == folder["fileId"]
    assert (pages["files"][0]["fileCount"], pages["files"][0]["size"]) == (1, 7)
    if pages["hasMore"]:
        status, more = ask(dav, "GET", f"{API}/trash?cursor={pages['cursor']}")
        assert folder["fileId"] not in [each["fileId"] for each in more["files"]]


def test_versions_are_listed_and_come_back(dav: Dav, area: str) -> None:
    """Newest first, in pages."""
    for number in range(5):
        file = put(dav, area, "a", b"%d" % number)
    url = f"{API}/files/{file['fileId']}/versions"
    status, every = ask(dav, "GET", url)
    assert (status, len(every["versions"]), every["hasMore"]) == (200, 5, False)
    assert [each["isCurrent"] for each in every["versions"]] == [True, False, False, False, False]
    assert every["versions"][0]["version"] == file["version"]
    paged: list[dict[str, Any]] = []
    cursor = ""
    while True:
        _, page = ask(dav, "GET", f"{url}?limit=2{cursor}")
        paged += page["versions"]
        if not page["hasMore"]:
            break
        cursor = f"&cursor={page['cursor']}"
    assert paged == every["versions"]
    status, back = ask(dav, "POST", f"{url}/{paged[-1]['version']}/restore")
    assert (status, dav.ok("GET", f"{area}a").body) == (200, b"0")
    assert int(back["version"]) > int(file["version"])
    assert ask(dav, "POST", f"{url}/999999/restore")[0] == 404


def test_conditions_and_locks_hold(dav: Dav, area: str) -> None:
    """If-Match, in the header or the document; a lock keeps out who has not its token."""
    file = put(dav, area, "a")
    url = f"{API}/files/{file['fileId']}"
    old = file["etag"]
    put(dav, area, "a", b"new")
    for method, path, body in (
        ("PATCH", url, {"fileName": "b"}),
        ("DELETE", url, None),
        ("POST", f"{url}/copy", {"fileName": "b"}),
        ("POST", f"{url}/versions/{file['version']}/restore", None),
    ):
        status, refused = ask(dav, method, path, body, If_Match=old)
        assert (status, refused["type"]) == (412, "urn:holdfast:problem:precondition-failed")
        assert ask(dav, method, path, body, If_None_Match="*")[0] == 412
    assert ask(dav, "PATCH", url, {"fileName": "b", "ifMatch": old})[0] == 412
    lock = dav.ok("LOCK", f"{area}a", b'<lockinfo xmlns="DAV:"><lockscope><exclusive/></lockscope><locktype><write/>'
                  b"</locktype></lockinfo>")  # fmt: skip
    token = lock.headers["lock-token"]
    for method, body in (("PATCH", {"fileName": "b"}), ("DELETE", None)):
        status, refused = ask(dav, method, url, body)
        assert (status, refused["type"]) == (423, "urn:holdfast:problem:locked")
    assert ask(dav, "PATCH", url, {"fileName": "b"}, Lock_Token=token)[0] == 200
    assert ask(dav, "DELETE", url, If_Match="*")[0] == 204


def test_what_is_foreign_is_as_what_is_not_there(dav: Dav, server: Server, area: str) -> None:
    """For every request that names something by its id."""
    file = put(dav, area, "a")
    asked = (
        ("GET", "", None), ("PATCH", "", {"fileName": "b"}), ("DELETE", "", None), ("POST", "/copy", {"fileName": "b"}),
        ("POST", "/restore", None), ("GET", "/versions", None), ("POST", "/versions/1/restore", None),
        ("GET", "/changes", None),
    )  # fmt: skip
    with server.add_user("stranger") as stranger:
        for method, rest, body in asked:
            answers = set()
            for node_id in (file["fileId"], "99999999"):
                status, refused = ask(stranger, method, f"{API}/files/{node_id}{rest}", body)
                answers.add((status, refused["detail"].replace(node_id, "ID")))
            assert len(answers) == 1
            assert next(iter(answers))[0] == 404
            for node_id in ("9" * 30, "none"):
                assert ask(stranger, method, f"{API}/files/{node_id}{rest}", body)[0] == 404
        for where in ({"parentId": file["parentId"]}, {"parentId": "99999999"}, {"parentId": "9" * 20}):
            assert ask(stranger, "POST", f"{API}/folders", {"fileName": "d", **where})[0] == 404
        assert ask(stranger, "GET", f"{API}/files?parentId={file['parentId']}")[0] == 404
    assert names(dav, area) == ["a"]


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=1001", "limit=x", "cursor=x", "other=1", "limit=1&limit=1", "path=/&parentId=1", "path=%ff",
     "path=%00", "parentId=x"],
)  # fmt: skip
def test_query_that_cannot_be_is_refused(dav: Dav, query: str) -> None:
    """And says what is wrong."""
    assert ask(dav, "GET", f"{API}/files?{query}")[0] == 400


def test_upload_is_found_by_its_files_id(dav: Dav, server: Server, area: str) -> None:
    """Until it is completed; nobody else finds it."""
    where = {"fileName": "x.bin", "fileSize": 3, "path": area.removeprefix("/dav")}
    _, begun = ask(dav, "POST", f"{API}/files", {**where, "mimeType": "image/png"})
    url = f"{API}/files/{begun['fileId']}"
    status, found = ask(dav, "GET", url)
    assert (status, found["status"], found["mimeType"]) == (200, "uploading", "image/png")
    assert (set(found), found["uploadId"]) == (DESCRIBED | {"uploadId"}, begun["uploadId"])
    with server.add_user("curious") as other:
        assert ask(other, "GET", url)[0] == 404
    assert ask(dav, "PUT", f"{API}/uploads/{begun['uploadId']}/content", b"abc")[0] == 200
    status, found = ask(dav, "GET", url)
    assert (status, found["status"], found["fileId"]) == (200, "completed", begun["fileId"])
    assert [each["mimeType"] for each in listed(dav, area)] == ["image/png"]
