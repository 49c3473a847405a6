"""Reading where blobs lie in S3, and the keys."""

from __future__ import annotations

import pickle
import traceback

import pytest

from appliance.backends.s3_place import ACCESS_KEY, SECRET_KEY, Credentials, Place, parse_place, read_credentials
from appliance.errors import ConfigError


@pytest.mark.parametrize(
    "url, place",
    [
        ("s3://bucket", Place("bucket", style="virtual")),
        ("s3://bucket/", Place("bucket", style="virtual")),
        ("s3://bucket?style=path", Place("bucket")),
        ("s3://my.bucket-1/a/b/?region=eu-west-1", Place("my.bucket-1", "a/b/", "", "eu-west-1", "virtual")),
        ("s3://bucket/Some_one.x?endpoint=http://127.0.0.1:9000", Place("bucket", "Some_one.x/", "http://127.0.0.1:9000")),
        ("s3://bucket?endpoint=https%3A%2F%2Fs3.example.com%2F", Place("bucket", "", "https://s3.example.com")),
        ("s3://bucket?endpoint=http://[::1]:9000&region=garage", Place("bucket", "", "http://[::1]:9000", "garage")),
        (
            "s3://bucket/p?endpoint=https://host&style=virtual&sse=aws:kms&sse_key=arn:aws:kms:x:1:key/2",
            Place("bucket", "p/", "https://host", "us-east-1", "virtual", "aws:kms", "arn:aws:kms:x:1:key/2"),
        ),
        ("s3://bucket?sse=AES256", Place("bucket", style="virtual", sse="AES256")),
    ],
)  # fmt: skip
def test_place_is_read_from_its_url(url: str, place: Place) -> None:
    """Without an endpoint it is AWS, where the bucket stands in the host; else in the path."""
    assert parse_place(url) == place


@pytest.mark.parametrize(
    "url, problem",
    [
        ("", "does not begin with s3://"),
        ("http://bucket", "does not begin with s3://"),
        ("s3://", "names no bucket"),
        ("s3:///prefix", "names no bucket"),
        ("s3://ab", "'ab', which cannot be one"),
        ("s3://Bucket", "'Bucket', which cannot be one"),
        ("s3://a..b", "cannot be one"),
        ("s3://10.0.0.1", "cannot be one"),
        ("s3://bucket:80", "cannot be one"),
        ("s3://bucket/a//b", "the prefix 'a//b'"),
        ("s3://bucket/../b", "the prefix '../b'"),
        ("s3://bucket/a b", "the prefix 'a b'"),
        ("s3://bucket/" + "x" * 401, "400 characters"),
        ("s3://bucket?regoin=x", "the unknown parameter 'regoin'; there are endpoint, region, style, sse, sse_key"),
        ("s3://bucket?region=x&region=y", "the parameter region twice"),
        ("s3://bucket?region=", "the parameter region without a value"),
        ("s3://bucket?region", "no URL of the form"),
        ("s3://bucket?region=a%20b", "the region 'a b'"),
        ("s3://bucket?endpoint=host:9000", "has to be http://HOST:PORT"),
        ("s3://bucket?endpoint=ftp://host", "has to be http://HOST:PORT"),
        ("s3://bucket?endpoint=http://host:x", "an endpoint that is no URL"),
        ("s3://bucket?endpoint=http://host/bucket", "more than scheme, host and port"),
        ("s3://bucket?endpoint=http://", "has to be http://HOST:PORT"),
        ("s3://bucket?style=host", "the style 'host'; there are path and virtual"),
        ("s3://bucket?sse=des", "sse 'des'"),
        ("s3://bucket?sse=AES256&sse_key=x", "sse_key, which is for sse=aws:kms"),
        ("s3://bucket/p#x", "no '#'"),
        ("s3://[bucket", "no URL of the form"),
    ],
)
def test_wrong_url_is_refused_with_the_reason(url: str, problem: str) -> None:
    """One line that says what to change."""
    with pytest.raises(ConfigError) as caught:
        parse_place(url)
    assert str(caught.value).startswith("blobs_url: ")
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "s3://AKIA:hush-hush@bucket",
        "s3://hush-hush@bucket",
        "s3://bucket?access_key=a&secret_key=hush-hush",
        "s3://bucket?aws_secret_access_key=hush-hush",
        "s3://bucket?secret=hush-hush",
        "s3://bucket?endpoint=http://a:hush-hush@host",
        "s3://bucket?session_token=hush-hush",
    ],
)
def test_keys_in_the_url_are_refused_and_not_shown(url: str) -> None:
    """The message names the variables where they belong; not even a traceback shows what was given."""
    with pytest.raises(ConfigError) as caught:
        parse_place(url)
    assert ACCESS_KEY in str(caught.value)
    assert SECRET_KEY in str(caught.value)
    assert "hush" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("url", ["s3://bucket?hush-hush", "s3://bucket?endpoint=http://a:hush-hush"])
def test_what_cannot_be_read_is_not_shown(url: str) -> None:
    """It may be a key in a place where nobody looks for one."""
    with pytest.raises(ConfigError) as caught:
        parse_place(url)
    assert "hush" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "variables, expected",
    [
        ({ACCESS_KEY: "a", SECRET_KEY: "s"}, Credentials("a", "s")),
        ({ACCESS_KEY: "a", SECRET_KEY: "s", "HOLDFAST_S3_SESSION_TOKEN": "t"}, Credentials("a", "s", "t")),
        ({"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s"}, Credentials("a", "s")),
        (
            {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t"},
            Credentials("a", "s", "t"),
        ),
        # The token of other keys is none of these.
        ({ACCESS_KEY: "a", SECRET_KEY: "s", "AWS_ACCESS_KEY_ID": "b", "AWS_SESSION_TOKEN": "t"}, Credentials("a", "s")),
    ],
)
def test_keys_are_read_from_variables(variables: dict[str, str], expected: Credentials) -> None:
    """The own ones come before those of AWS."""
    assert read_credentials(variables) == expected


@pytest.mark.parametrize(
    "variables, problem",
    [
        ({}, f"{ACCESS_KEY}: is not set"),
        ({ACCESS_KEY: "a"}, f"{SECRET_KEY}: is not set, and {ACCESS_KEY} is"),
        ({SECRET_KEY: "hush"}, f"{ACCESS_KEY}: is not set, and {SECRET_KEY} is"),
        ({ACCESS_KEY: "a", SECRET_KEY: ""}, f"{SECRET_KEY}: is not set"),
        ({"AWS_ACCESS_KEY_ID": "a"}, "AWS_SECRET_ACCESS_KEY: is not set, and AWS_ACCESS_KEY_ID is"),
        ({ACCESS_KEY: "a", SECRET_KEY: "hush\n"}, f"{SECRET_KEY}: holds blanks"),
        ({ACCESS_KEY: "ä", SECRET_KEY: "hush"}, f"{ACCESS_KEY}: holds blanks"),
    ],
)
def test_keys_that_are_missing_or_broken_are_refused(variables: dict[str, str], problem: str) -> None:
    """By the name of the variable, and without what is in it."""
    with pytest.raises(ConfigError) as caught:
        read_credentials(variables)
    assert problem in str(caught.value)
    assert "hush" not in "".join(traceback.format_exception(caught.value))


def test_text_of_keys_shows_no_secret() -> None:
    """However they come into a message; copies are still whole."""
    keys = Credentials("visible", "hush", "hush-too")
    assert "hush" not in f"{keys} {keys!r} {[keys]} {(keys,)!s}"
    assert "visible" in repr(keys)
    assert pickle.loads(pickle.dumps(keys)) == keys
