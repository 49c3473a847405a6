"""What looks like a secret is not shown, what does not stays readable."""

from __future__ import annotations

import pytest

from appliance.logs.secrets import masked, masked_path, masked_query
from appliance.sealing.master import MasterKey

MASTER = MasterKey(bytes(range(32))).text
BEARER = "hfp_kjvq3m5ivyqkxnb6cv2ovnrc5ibwe3cq7q2rzay"
TOKEN = "urn:uuid:6f1c0a2e-5d5c-4a9e-9f0e-0123456789ab"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"If: (<{TOKEN}>)", "If: (<urn:uuid:***>)"),
        ("opaquelocktoken:abc-def is not it", "opaquelocktoken:*** is not it"),
        ("Authorization: Basic YWRtaW46aHVudGVyMg==", "Authorization: Basic ***"),
        ("authorization: bearer abc.def-ghi", "authorization: bearer ***"),
        ("the password abcdefgh-ijklmnop-qrstuvwx-yz234567 is wrong", "the password *** is wrong"),
        (f"the token {BEARER} is wrong", "the token *** is wrong"),
        (f"/{BEARER[:24]}", "/***"),
        ("hfp_notes", "hfp_notes"),
        (f"the master key {MASTER} is wrong", "the master key *** is wrong"),
        (MASTER.replace("-", "").lower(), "***"),
        ("{'password': 'hunter2', 'name': 'anna'}", "{'password': '***', 'name': 'anna'}"),
        ("url?X-Amz-Signature=0f0f0f&x=1", "url?X-Amz-Signature=***&x=1"),
        ("postgresql://holdfast:hunter2@db/holdfast", "postgresql://holdfast:***@db/holdfast"),
        ("failed\nDETAIL:  Failing row contains (1, anna, $argon2id$v=19)", "failed\nDETAIL:  ***"),
        ("GET /dav/holiday - 2026/a=b:c.txt", "GET /dav/holiday - 2026/a=b:c.txt"),
    ],
)
def test_secret_in_a_text_is_masked(text: str, shown: str) -> None:
    """And nothing else of it."""
    assert masked(text) == shown


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/api/v1/signed/1.2.3.4.a.5/S1gn-tur_e/a.txt", "/api/v1/signed/1.2.3.4.a.5/***/a.txt"),
        ("/s/k3yT0k3n", "/s/***"),
        ("/s/k3yT0k3n/folder/file", "/s/***/folder/file"),
        ("/index.php/s/k3yT0k3n", "/index.php/s/***"),
        ("/public.php/dav/files/k3yT0k3n/file", "/public.php/dav/files/***/file"),
        ("/dav/s/letters/file", "/dav/s/letters/file"),
        (f"/dav/{TOKEN}", "/dav/urn:uuid:***"),
    ],
)
def test_token_in_a_path_is_masked(path: str, shown: str) -> None:
    """Only where a name is a key."""
    assert masked_path(path) == shown


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/signed/1.2.0.4.5.a.1795879200/{}/a.txt",
        "/api/v1/signed/1.2.0/4.5.a.1795879200/{}/a.txt",
        "/api/v1/signed/1.2.0.4.5.a.17958/9200/{}/a.txt",
        "/api/v1/signed//1.2.0.4.5.a.1795879200/{}/a.txt",
        "/api/v1/signed/1.2.0.4.5.a.1795879200//{}/a.txt",
        "/api/v1/signed/1.2.0.4.5.a.1795879200{}/a.txt",
        "/api/v1/signed/1.2.0.4.5.a.1795879200x{}/a.txt",
        "/api/v1/signed/1.2.0.4.5.a.1795879200x{}/a/txt",
        "/api/v1/signed/1.2.0.4.5.a.1795879200/{}",
        "/api/v1/signed/1.2.0.4.5.a.1795879200/{}.a.txt",
        "/api/v1/signed.1.2.0.4.5.a.1795879200/{}/a.txt",
        "/api/v1/sigmed/1.2.0.4.5.a.1795879200/{}/a.txt",
        "//api/v1/signed/1.2.0.4.5.a.1795879200/{}/a.txt",
        "/api/v1/x/../signed/1.2.0.4.5.i.1795879200/{}/a.txt",
    ],
)
def test_signature_is_masked_where_the_rest_of_its_url_is_wrong(path: str) -> None:
    """Who reads the log could put the letter right that was wrong."""
    signature = "_uTGOUsBE55yNE2CYSrw873XOxZxaRGBVd44-X08h_M"
    shown = masked_path(path.format(signature))
    assert signature[1:] not in shown
    assert "***" in shown


def test_name_behind_a_signature_is_shown() -> None:
    """Also one that is as long as a signature; and other names that are."""
    name = "a" * 43
    assert masked_path(f"/api/v1/signed/1.2.0.4.5.a.6/S1gn/{name}") == f"/api/v1/signed/1.2.0.4.5.a.6/***/{name}"
    assert masked_path(f"/dav/v1.2/{name}") == f"/dav/v1.2/{name}"


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("token=abc&x=1", "token=***&x=***"),
        ("k3yT0k3n", "***"),
        ("a=1&k3yT0k3n", "a=***&***"),
        ("%70assword%3Dx=1", "***"),
    ],
)
def test_values_of_a_query_are_masked(query: str, shown: str) -> None:
    """All of them; what has no value may be one."""
    assert masked_query(query) == shown
