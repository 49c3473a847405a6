"""Depth, Overwrite, Timeout, Lock-Token, Prefer, X-OC-Mtime, OC-Checksum and media types."""

from __future__ import annotations

import hashlib
import mimetypes
import zlib
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import BadRequest
from providers.dav.headers import (
    Checksum,
    checksum_state,
    content_type_of,
    inline_type,
    parse_depth,
    parse_lock_token,
    parse_oc_checksum,
    parse_oc_mtime,
    parse_overwrite,
    parse_prefer,
    parse_timeout,
)
from providers.front.dates import MAX_EPOCH_S, MIN_EPOCH_S

EVERY_DEPTH = ("0", "1", "infinity")


@pytest.mark.parametrize(
    "value, depth",
    [("0", "0"), ("1", "1"), ("infinity", "infinity"), ("Infinity", "infinity"), (" 1 ", "1"), (None, "1")],
)
def test_parse_depth_known_value_is_accepted(value: str | None, depth: str) -> None:
    """RFC 4918 §10.2, in any letter case; a missing header is the method's default."""
    assert parse_depth(value, "1", EVERY_DEPTH) == depth


@pytest.mark.parametrize("value", ["", "2", "-1", "00", "1,noroot", "0, 0", "inf", "\u0661"])
def test_parse_depth_other_value_is_refused(value: str) -> None:
    """An operation must not reach further than the client said."""
    with pytest.raises(BadRequest):
        parse_depth(value, "0", EVERY_DEPTH)


def test_parse_depth_not_allowed_for_the_method_is_refused() -> None:
    """MOVE of a folder is infinity only; the default is not subject to it."""
    with pytest.raises(BadRequest):
        parse_depth("1", "infinity", ("0", "infinity"))
    assert parse_depth(None, "infinity", EVERY_DEPTH[:1]) == "infinity"


@pytest.mark.parametrize("value, overwrite", [(None, True), ("T", True), ("t", True), ("F", False), (" f ", False)])
def test_parse_overwrite_flag_is_read(value: str | None, overwrite: bool) -> None:
    """RFC 4918 §10.6."""
    assert parse_overwrite(value) is overwrite


@pytest.mark.parametrize("value", ["", "true", "false", "TF", "0", "T, F"])
def test_parse_overwrite_other_value_is_refused(value: str) -> None:
    """Replacing a file must not depend on a guess."""
    with pytest.raises(BadRequest):
        parse_overwrite(value)


@pytest.mark.parametrize(
    "value, timeout_s",
    [
        (None, 1800),
        ("", 1800),
        ("Second-3600", 3600),  # MiniRedir, Office
        ("Second-600", 600),  # Finder
        ("second-600", 600),
        ("Second-0600", 600),
        ("Infinite", 86400),
        ("infinite", 86400),
        ("Infinite, Second-4100000000", 86400),  # RFC 4918 §9.10.7
        ("Second-4100000000", 86400),
        ("Second-" + "9" * 90, 86400),
        ("Second-" + "9" * 9000, 1800),
        ("Extended-1, Second-120", 120),
        ("Second-60, Infinite", 60),
        ("Second-1", 1),
        ("Second-0", 1800),
        ("Second-0, Second-5", 5),
        ("Second--5", 1800),
        ("Second-1.5", 1800),
        ("3600", 1800),
        ("garbage", 1800),
    ],
)
def test_parse_timeout_wish_is_bounded_never_refused(value: str | None, timeout_s: int) -> None:
    """RFC 4918 §10.7: the first readable wish, within 1 and the maximum."""
    assert parse_timeout(value, 1800, 86400) == timeout_s


@given(st.one_of(st.none(), st.text(), st.text("Second-Infinite, 0123456789")), st.integers(), st.integers(1))
def test_parse_timeout_any_text_stays_in_bounds(value: str | None, default_s: int, max_s: int) -> None:
    """A lock always lives, and never longer than allowed."""
    assert 1 <= parse_timeout(value, default_s, max_s) <= max_s


@pytest.mark.parametrize("value", ["<urn:uuid:1>", " <urn:uuid:1>\t", "urn:uuid:1"])
def test_parse_lock_token_with_and_without_brackets_is_read(value: str) -> None:
    """Windows forgets the brackets at times."""
    assert parse_lock_token(value) == "urn:uuid:1"


@pytest.mark.parametrize(
    "value", ["", "<>", "<urn:uuid:1", "urn:uuid:1>", "<a> <b>", "<a>, <b>", "(<a>)<", "<a b>", "<a\0>"]
)
def test_parse_lock_token_other_text_is_refused(value: str) -> None:
    """Exactly one token."""
    with pytest.raises(BadRequest):
        parse_lock_token(value)


@pytest.mark.parametrize(
    "value, epoch_us",
    [
        (None, None),
        ("0", 0),
        ("1700000000", 1_700_000_000_000_000),
        (" 1700000000 ", 1_700_000_000_000_000),
        ("1700000000.123456", 1_700_000_000_123_456),
        ("1700000000.1234569", 1_700_000_000_123_456),
        ("1700000000.", 1_700_000_000_000_000),
        ("1.7e9", 1_700_000_000_000_000),
        ("-1", -1_000_000),
        ("-0.5", -500_000),
        ("-1.0000001", -1_000_001),
        ("+5", 5_000_000),
        ("-11644473600", -11_644_473_600_000_000),
    ],
)
def test_parse_oc_mtime_number_gives_microseconds(value: str | None, epoch_us: int | None) -> None:
    """Exact, without the rounding of binary fractions; rounded down beyond microseconds."""
    assert parse_oc_mtime(value) == epoch_us


@pytest.mark.parametrize(
    "value",
    [
        "",
        "x",
        "0x10",
        "1,5",
        ".5",
        "--1",
        "nan",
        "inf",
        "1e",
        "1_000",
        "\u0661",
        "1700000000000",
        "9" * 21,
        "1e99",
        "1 2",
    ],
)
def test_parse_oc_mtime_other_text_is_refused(value: str) -> None:
    """A time that cannot be stored as sent is an error, not a guess (milliseconds too)."""
    with pytest.raises(BadRequest):
        parse_oc_mtime(value)


@given(st.one_of(st.text(), st.from_regex(r"\A[+-]?[0-9]{1,20}(\.[0-9]{0,45})?([eE][+-]?[0-9]{1,3})?\Z")))
def test_parse_oc_mtime_any_text_gives_a_storable_time_or_bad_request(value: str) -> None:
    """No other exception, whatever exponent or length."""
    try:
        found = parse_oc_mtime(value)
    except BadRequest:
        return
    assert found is not None
    assert MIN_EPOCH_S * 10**6 <= found <= MAX_EPOCH_S * 10**6
    assert abs(Fraction(value.strip(" \t").removesuffix(".")) * 10**6 - found) <= 1


SHA1 = "a9993e364706816aba3e25717850c26c9cd0d89d"


@pytest.mark.parametrize(
    "value, checksums",
    [
        (None, ()),
        ("", ()),
        (f"SHA1:{SHA1}", (Checksum("SHA1", SHA1),)),  # rclone
        (f"sha1:{SHA1.upper()}", (Checksum("SHA1", SHA1),)),
        ("MD5:900150983cd24fb0d6963f7d28e17f72", (Checksum("MD5", "900150983cd24fb0d6963f7d28e17f72"),)),
        ("Adler32:24d0127", (Checksum("ADLER32", "024d0127"),)),  # ownCloud client: no leading zeros
        ("SHA256:" + "0" * 64, (Checksum("SHA256", "0" * 64),)),
        ("SHA3-256:" + "0" * 64, (Checksum("SHA3-256", "0" * 64),)),
        ("CRC32:xyz", ()),
        ("SHA512:" + "0" * 128, ()),
        (f"CRC32:1 SHA1:{SHA1}", (Checksum("SHA1", SHA1),)),
        (f"SHA1:{SHA1} MD5:{'0' * 32}", (Checksum("SHA1", SHA1), Checksum("MD5", "0" * 32))),
        (f"SHA1:{SHA1},sha1:{SHA1}", (Checksum("SHA1", SHA1),)),
    ],
)
def test_parse_oc_checksum_known_algorithms_are_read(value: str | None, checksums: tuple[Checksum, ...]) -> None:
    """All that we can verify; what we cannot verify is not claimed to be wrong."""
    assert parse_oc_checksum(value) == checksums


@pytest.mark.parametrize(
    "value",
    [
        f"SHA1:{SHA1} SHA1:{'0' * 40}",
        "SHA1",
        SHA1,
        "SHA1:",
        "SHA1:xyz",
        f"SHA1:{SHA1}0",
        "SHA1:" + SHA1[:-1],
        ":abc",
        "MD5:" + "g" * 32,
        "ADLER32:",
    ],
)
def test_parse_oc_checksum_malformed_is_refused(value: str) -> None:
    """A broken announcement must not pass as no announcement."""
    with pytest.raises(BadRequest):
        parse_oc_checksum(value)


@given(st.one_of(st.text(), st.text("SHAMD5-2316: 0abcdefz")))
def test_parse_oc_checksum_any_text_gives_a_computable_checksum_or_bad_request(value: str) -> None:
    """What comes back can be compared with a state's digest."""
    try:
        found = parse_oc_checksum(value)
    except BadRequest:
        return
    assert all(len(checksum_state(each.algorithm).hexdigest()) == len(each.hexdigest) for each in found)


@given(st.lists(st.binary()))
def test_checksum_state_pieces_give_the_digest_of_the_whole(pieces: list[bytes]) -> None:
    """However the body is cut, and from any kind of buffer."""
    whole = b"".join(pieces)
    for algorithm, expected in {
        "SHA1": hashlib.sha1(whole).hexdigest(),
        "MD5": hashlib.md5(whole).hexdigest(),
        "ADLER32": f"{zlib.adler32(whole):08x}",
        "SHA256": hashlib.sha256(whole).hexdigest(),
        "SHA3-256": hashlib.sha3_256(whole).hexdigest(),
    }.items():
        state = checksum_state(algorithm)
        for piece in pieces:
            state.update(memoryview(piece))
        assert state.hexdigest() == expected


def test_checksum_state_unknown_algorithm_is_refused() -> None:
    """Names are those that the parser returns."""
    with pytest.raises(BadRequest):
        checksum_state("CRC32")


@pytest.mark.parametrize(
    "name, content_type",
    [
        ("a.txt", "text/plain; charset=utf-8"),
        ("A.TXT", "text/plain; charset=utf-8"),
        ("a.html", "text/html"),
        ("a.b.jpg", "image/jpeg"),
        ("a.docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"),
        ("a.tar.gz", "application/gzip"),
        ("a.unknown", "application/octet-stream"),
        ("a", "application/octet-stream"),
        ("a.", "application/octet-stream"),
        (".png", "application/octet-stream"),
        ("", "application/octet-stream"),
        ("ü.pdf", "application/pdf"),
    ],
)
def test_content_type_of_name_goes_by_the_last_extension(name: str, content_type: str) -> None:
    """Text carries its charset, HTML says it inside."""
    assert content_type_of(name) == content_type


def test_content_type_of_machine_configuration_has_no_influence() -> None:
    """Whatever the machine adds to its own tables, workers agree."""
    mimetypes.init()
    mimetypes.add_type("application/x-from-the-machine", ".holdfastprobe")
    assert content_type_of("a.holdfastprobe") == "application/octet-stream"


@pytest.mark.parametrize(
    "name, inline",
    [
        ("a.png", True),
        ("a.jpg", True),
        ("a.mp3", True),
        ("a.mp4", True),
        ("a.pdf", True),
        ("a.txt", True),
        ("a.svg", False),
        ("a.svgz", False),
        ("a.html", False),
        ("a.xhtml", False),
        ("a.xml", False),
        ("a.js", False),
        ("a.css", False),
        ("a.md", False),
        ("a.mht", False),
        ("a.docx", False),
        ("a", False),
    ],
)
def test_inline_type_of_files_keeps_scripts_out(name: str, inline: bool) -> None:
    """Only what cannot run in our origin is shown in the page."""
    assert inline_type(content_type_of(name)) is inline


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "image",
        "image/",
        "/png",
        "image/svg+xml",
        "IMAGE/SVG+XML; charset=utf-8",
        "image/svg",
        "image/x+xml",
        "image/png, text/html",
        "image/png\r\nX: y",
        "text/plain, text/html",
        "text/plain text/html",
        "text/html;text/plain",
        "multipart/x-mixed-replace",
        "application/xhtml+xml",
        "application/pdf+xml",
        "video/mp4+xml",
    ],
)
def test_inline_type_doubtful_type_is_attached(content_type: str) -> None:
    """A type that a client stored cannot talk its way into the page."""
    assert not inline_type(content_type)


@given(st.text())
def test_headers_any_text_raises_nothing_but_bad_request(value: str) -> None:
    """Every parser of this file."""
    content_type_of(value)
    inline_type(value)
    for parser in (parse_overwrite, parse_lock_token, lambda text: parse_depth(text, "0", EVERY_DEPTH), checksum_state):
        try:
            parser(value)
        except BadRequest:
            pass


@pytest.mark.parametrize(
    "value, preferences",
    [
        (None, {}),
        ("", {}),
        ("return=minimal", {"return": "minimal"}),
        ("Return = Minimal ; x=y", {"return": "minimal"}),
        ('return="minimal"; x="a,b;c", depth-noroot', {"return": "minimal", "depth-noroot": ""}),
        ("return=minimal, return=representation", {"return": "minimal"}),
        ("wait=10,, depth-noroot;x , respond-async", {"wait": "10", "depth-noroot": "", "respond-async": ""}),
        ('x="return=minimal, y"', {"x": "return=minimal, y"}),
        ("return minimal", {}),
        ('="x"', {}),
    ],
)
def test_parse_prefer_gives_each_preference_once(value: str | None, preferences: dict[str, str]) -> None:
    """RFC 7240 §2: the first of a name counts; parameters and what cannot be read are ignored."""
    assert parse_prefer(value) == preferences


@given(st.text(max_size=200))
def test_parse_prefer_never_fails(value: str) -> None:
    """It is only a wish."""
    parse_prefer(value)
