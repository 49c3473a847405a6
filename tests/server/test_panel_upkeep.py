"""What the panel shows of the past and of the server's own work, and what can be done there."""

from __future__ import annotations

from urllib.parse import quote

from tests.server.behind import tells_room
from tests.server.browsing import signed_in
from tests.server.conftest import Start
from tests.server.running import PASSWORD, until


def test_earlier_version_is_found_and_restored(start: Start) -> None:
    """From the folder to the file to the version; none is lost by it."""
    server = start(workers=1)
    with server.dav() as dav:
        dav.ok("MKCOL", "/dav/docs")
        for text in (b"first", b"second", b"third one"):
            dav.ok("PUT", "/dav/docs/a%20letter%20%26%20more", text)
        with signed_in(server) as browser:
            assert "docs/" in browser.get("/account/files").text
            folder = browser.get("/account/files?path=/docs")
            (link,) = folder.tree.xpath("//td/a/@href")
            page = browser.get(link)
            names = page.tree.xpath("//button[@name='version']/@value")
            assert len(names) == 2
            fields = {"csrf": page.csrf, "path": "/docs/a letter & more", "version": names[-1]}
            answer = browser.post("/account/versions", fields)
            assert answer.status == 303
            assert "newest again" in browser.get(answer.header("location")).text
            assert dav.ok("GET", "/dav/docs/a%20letter%20%26%20more").body == b"first"
            assert len(browser.get(link).tree.xpath("//tbody/tr")) == 4
            wrong = browser.post("/account/versions", {**fields, "version": "999999"})
            assert wrong.status == 404
            assert browser.get("/account/versions?path=/nothing").status == 404
            assert browser.get("/account/files?path=docs").status == 400


def test_removed_things_are_put_back_where_they_were_or_elsewhere(start: Start) -> None:
    """A name that is taken is told, and another one helps."""
    server = start(workers=1)
    with server.dav() as dav:
        dav.ok("MKCOL", "/dav/docs")
        dav.ok("PUT", "/dav/docs/letter", b"of then")
        dav.ok("DELETE", "/dav/docs/letter")
        with signed_in(server) as browser:
            page = browser.get("/account/trash")
            (action,) = [form.action for form in page.tree.forms if "/restore" in (form.action or "")]
            assert page.fields(action)["to"] == "/docs/letter"
            dav.ok("PUT", "/dav/docs/letter", b"of now")
            taken = browser.post(action, page.fields(action))
            assert taken.status == 409
            assert "already" in taken.tree.xpath("//p[@role='alert']")[0].text_content()
            answer = browser.post(action, {**page.fields(action), "to": "/docs/letter of then"})
            assert answer.status == 303
            assert "/docs/letter of then is back." in browser.get(answer.header("location")).text
            assert dav.ok("GET", "/dav/docs/letter%20of%20then").body == b"of then"
            assert "empty" in browser.get("/account/trash").text
            assert browser.post(action, page.fields(action)).status == 409


def test_nobody_restores_what_is_somebody_elses(start: Start) -> None:
    """Ids and forms of others are of no use."""
    server = start(workers=1)
    with server.dav() as dav, server.add_user("mia") as other:
        other.ok("PUT", "/dav/secret", b"of mia")
        other.ok("DELETE", "/dav/secret")
        dav.ok("PUT", "/dav/mine", b"mine")
        with signed_in(server, "mia", PASSWORD) as theirs, signed_in(server) as browser:
            page = theirs.get("/account/trash")
            (action,) = [form.action for form in page.tree.forms if "/restore" in (form.action or "")]
            assert "secret" not in browser.get("/account/trash").text
            own = browser.get("/account/files").csrf
            assert browser.post(action, {"csrf": own, "to": "/taken"}).status == 409
            assert browser.post(action, page.fields(action)).status == 403
            assert theirs.get("/admin/server").status == 403
            assert theirs.post("/admin/jobs/prune/pause", {"csrf": page.csrf}).status == 403


def test_jobs_are_run_paused_and_resumed(start: Start) -> None:
    """By administrators, with buttons; the command sees the same."""
    server = start(workers=1)
    with signed_in(server) as browser:

        def state(job: str) -> str:
            rows = browser.get("/admin/server").tree.xpath("//section[2]//tbody/tr")
            (row,) = [row for row in rows if row[0].text_content() == job]
            return str(row[1].text_content()).strip()

        until(lambda: "login failures" in browser.get("/admin/server").text, what="the jobs of this server")
        csrf = browser.get("/admin/server").csrf
        assert browser.post("/admin/jobs/login-failures/pause", {"csrf": csrf}).status == 303
        assert state("login failures").startswith("paused")
        assert "login failures  paused" in server.holdfast("jobs", "list").stdout
        assert browser.post("/admin/jobs/login-failures/resume", {"csrf": csrf}).status == 303
        assert state("login failures") == "idle"
        # There is none in S3.
        kept = tells_room(server)
        assert browser.post("/admin/jobs/reserve/pause", {"csrf": csrf}).status == (400 if kept else 404)
        assert browser.post("/admin/jobs/nothing/run", {"csrf": csrf}).status == 404
        assert browser.post("/admin/jobs/prune/run", {"csrf": "wrong"}).status == 403
        page = browser.post("/admin/jobs/sweep/run", {"csrf": csrf})
        assert (page.status, page.header("location")) == (303, f"/admin/server?done={quote('run sweep')}")
        until(lambda: "sweep" in server.holdfast("jobs", "history", "sweep").stdout, what="the run")
        assert "0 damaged, 0 repaired" in browser.get("/admin/server").text


def test_commands_run_pause_and_resume_beside_a_server_and_without_one(start: Start) -> None:
    """The server's scheduler does it, or the command itself."""
    server = start(workers=1)
    done = server.holdfast("jobs", "run", "measure").stdout
    assert done.startswith("done: stored ")
    assert server.holdfast("jobs", "run", "sneeze", succeeds=False).returncode == 2
    if tells_room(server):
        assert "cannot be paused" in server.holdfast("jobs", "pause", "reserve", succeeds=False).stderr
    assert "until" in server.holdfast("jobs", "pause", "expire", "--for", "2h").stdout
    assert server.holdfast("jobs", "pause", "expire", "--for", "2 moons", succeeds=False).returncode == 2
    assert "note: the job expire is paused" in server.holdfast("check").stdout
    assert server.stop() == 0
    assert "expire is" not in server.holdfast("jobs", "run", "sweep").stdout
    assert "runs at its times again" in server.holdfast("jobs", "resume", "expire").stdout
    assert "was not paused" in server.holdfast("jobs", "resume", "expire").stdout
    assert '"state": "idle"' in server.holdfast("jobs", "list", "--json").stdout
