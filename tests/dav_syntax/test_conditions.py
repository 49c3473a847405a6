"""If (RFC 4918 §10.4), If-Match and If-None-Match (RFC 9110 §8.8.3, §13.1)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import BadRequest
from providers.dav.conditions import EtagList, IfCondition, IfList, parse_etags, parse_if, submitted_tokens

TOKEN = "urn:uuid:181d4fae-7d8c-11d0-a765-00a0c91e6bf2"


def _token(text: str, *, negated: bool = False) -> IfCondition:
    return IfCondition(negated, text, None)


def _etag(text: str, *, negated: bool = False) -> IfCondition:
    return IfCondition(negated, None, text)


@pytest.mark.parametrize(
    "value, lists",
    [
        # MiniRedir, Finder, Office
        (f"(<{TOKEN}>)", [IfList(None, (_token(TOKEN),))]),
        # davfs2
        (f"<http://h/dav/x> (<{TOKEN}>)", [IfList("http://h/dav/x", (_token(TOKEN),))]),
        # RFC 4918 §10.4.6 to §10.4.9
        (
            f'(<{TOKEN}> ["I am an ETag"]) (["I am another ETag"])',
            [IfList(None, (_token(TOKEN), _etag('"I am an ETag"'))), IfList(None, (_etag('"I am another ETag"'),))],
        ),
        (
            f"(Not <{TOKEN}> <urn:uuid:58f202ac>)",
            [IfList(None, (_token(TOKEN, negated=True), _token("urn:uuid:58f202ac")))],
        ),
        (
            f"(<{TOKEN}>) (Not <DAV:no-lock>)",
            [IfList(None, (_token(TOKEN),)), IfList(None, (_token("DAV:no-lock", negated=True),))],
        ),
        (
            f'</resource1> (<{TOKEN}> [W/"A weak ETag"]) (["strong ETag"])',
            [
                IfList("/resource1", (_token(TOKEN), _etag('W/"A weak ETag"'))),
                IfList("/resource1", (_etag('"strong ETag"'),)),
            ],
        ),
        (
            f'<http://h/a> (<{TOKEN}>) </b> (["b"])',
            [IfList("http://h/a", (_token(TOKEN),)), IfList("/b", (_etag('"b"'),))],
        ),
        # several headers, joined on the way (Finder)
        ("(<t:1>), (<t:2>)", [IfList(None, (_token("t:1"),)), IfList(None, (_token("t:2"),))]),
        ("<http://h/a> (<t:1>), (<t:2>)", [IfList("http://h/a", (_token("t:1"),)), IfList(None, (_token("t:2"),))]),
        ("(<t:1>),</b> (<t:2>)", [IfList(None, (_token("t:1"),)), IfList("/b", (_token("t:2"),))]),
        (", (<t:1>) ,", [IfList(None, (_token("t:1"),))]),
        # white space and case
        ('( <t:1>\t[ "a" ] )', [IfList(None, (_token("t:1"), _etag('"a"')))]),
        ('(NOT<t:1>not["a"])', [IfList(None, (_token("t:1", negated=True), _etag('"a"', negated=True)))]),
        ('(["a)b,c]<d>"])', [IfList(None, (_etag('"a)b,c]<d>"'),))]),
        ("(<t:a,b(c)>)", [IfList(None, (_token("t:a,b(c)"),))]),
        ('([w/"a"])', [IfList(None, (_etag('W/"a"'),))]),
        ('([""])', [IfList(None, (_etag('""'),))]),
    ],
)
def test_parse_if_valid_header_gives_its_lists(value: str, lists: list[IfList]) -> None:
    """Order, tags, negations and etags come through as they were sent."""
    assert list(parse_if(value)) == lists


@pytest.mark.parametrize(
    "value",
    [
        "",
        "  ",
        ",",
        "()",
        "(",
        ")",
        "(<t:1>",
        "(<t:1)",
        "(<>)",
        "(< t:1 >)",
        "(t:1)",
        "<http://h/x>",
        "(<t:1>) <http://h/x>",
        "<http://h/x>, (<t:1>)",
        "<http://h/x> </y> (<t:1>)",
        "(Not)",
        "(Not Not <t:1>)",
        "(Nothing <t:1>)",
        "([unquoted])",
        '(["open)',
        '("a")',
        "(<t:1>) garbage",
        "<t:1>",
        "((<t:1>))",
        "(<t:1>, <t:2>)",
        "\0",
    ],
)
def test_parse_if_broken_header_is_refused(value: str) -> None:
    """A condition that cannot be read must not be taken as fulfilled."""
    with pytest.raises(BadRequest):
        parse_if(value)


def test_submitted_tokens_negated_and_tagged_count_but_no_lock_does_not() -> None:
    """Every token in the header was submitted, RFC 4918 §10.4.1; ``DAV:no-lock`` is none."""
    lists = parse_if('(<t:1> ["e"]) (Not <t:2>) (Not <DAV:no-lock>), <http://h/x> (<t:3>)')
    assert submitted_tokens(lists) == {"t:1", "t:2", "t:3"}
    assert submitted_tokens(()) == frozenset()


@given(st.one_of(st.text(), st.text('()<>[]"Not W/:,t \t')))
def test_parse_if_any_text_gives_lists_or_bad_request(value: str) -> None:
    """No other exception; every list holds a condition and every condition one of both kinds."""
    try:
        lists = parse_if(value)
    except BadRequest:
        return
    assert lists
    for entry in lists:
        assert entry.conditions
        assert all((condition.token is None) != (condition.etag is None) for condition in entry.conditions)
    assert all(isinstance(one, str) for one in submitted_tokens(lists))


TOKENS = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="<>"), min_size=1)
ETAGS = st.builds(
    lambda weak, text: ("W/" if weak else "") + f'"{text}"',
    st.booleans(),
    st.text(st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters='"\x7f')),
)
CONDITIONS = st.one_of(
    st.builds(IfCondition, st.booleans(), TOKENS, st.none()), st.builds(IfCondition, st.booleans(), st.none(), ETAGS)
)


@given(st.lists(st.builds(IfList, TOKENS, st.lists(CONDITIONS, min_size=1).map(tuple)), min_size=1))
def test_parse_if_written_lists_come_back(lists: list[IfList]) -> None:
    """Whatever may stand in tokens and etags cannot break out of them."""
    text = " ".join(
        f"<{entry.tag}> ("
        + " ".join(
            ("Not " if one.negated else "") + (f"<{one.token}>" if one.token else f"[{one.etag}]")
            for one in entry.conditions
        )
        + ")"
        for entry in lists
    )
    assert list(parse_if(text)) == lists


@pytest.mark.parametrize(
    "value, current, strong, weak",
    [
        ('"a"', '"a"', True, True),
        ('"a"', '"b"', False, False),
        ('"a"', None, False, False),
        ('"x", "a"', '"a"', True, True),
        ('"x","a"', '"a"', True, True),
        (' , "a" ,', '"a"', True, True),
        ('W/"a"', '"a"', False, True),
        ('"a"', 'W/"a"', False, True),
        ('W/"a"', 'W/"a"', False, True),
        ('"a,b"', '"a,b"', True, True),
        ('"a,b"', '"a"', False, False),
        ("*", '"a"', True, True),
        (" * ", '"a"', True, True),
        ("*, *", '"a"', True, True),
        ("*", None, False, False),
        ("*", 'W/"a"', True, True),
        ("a", "a", False, False),
        ("a", '"a"', False, False),
        ('a, "b"', '"b"', True, True),
        ('"a"x', '"a"', False, False),
        ('"a', '"a', False, False),
        ("", '""', False, False),
        ('""', '""', True, True),
        ('*, "b"', '"a"', False, False),
    ],
)
def test_etag_list_comparison_follows_strength(value: str, current: str | None, strong: bool, weak: bool) -> None:
    """RFC 9110 §8.8.3.2: strong needs two strong tags, weak looks at the opaque part; a missing resource is neither."""
    etags = parse_etags(value)
    assert etags.matches_strong(current) is strong
    assert etags.matches_weak(current) is weak


def test_parse_etags_star_is_any() -> None:
    """``*`` is told apart from a list."""
    assert parse_etags("*") == EtagList(True, frozenset())
    assert not parse_etags('"*"').any


@given(st.one_of(st.text(), st.text('"W/*, ab\t')), st.one_of(st.none(), ETAGS, st.text()))
def test_parse_etags_any_text_never_raises(value: str, current: str | None) -> None:
    """Garbage matches nothing, and what matches strongly matches weakly."""
    etags = parse_etags(value)
    assert not etags.matches_strong(current) or etags.matches_weak(current)


@given(st.lists(ETAGS))
def test_parse_etags_written_list_comes_back(wanted: list[str]) -> None:
    """Commas and spaces inside the quotes belong to the tag."""
    assert parse_etags(", ".join(wanted)) == EtagList(False, frozenset(wanted))
