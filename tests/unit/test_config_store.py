"""Where the store is: its two URLs, and the keys that open them; what is kept for a while, and what may be asked."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.config import BlobPlace, DatabasePlace, load
from appliance.errors import ConfigError

SAMPLES: dict[str, tuple[str, object]] = {
    "database_url": ("postgresql://me:secret@db/files", DatabasePlace(None, "postgresql://me:secret@db/files")),
    "blobs_url": ("file:///srv/blobs", BlobPlace(Path("/srv/blobs"), "file:///srv/blobs")),
    "s3_access_key": ("AKIA", "AKIA"),
    "s3_secret_key": ("a/b+c", "a/b+c"),
    "s3_session_token": ("token", "token"),
    "s3_other_access_key": ("AKIB", "AKIB"),
    "s3_other_secret_key": ("c/d", "c/d"),
    "s3_other_session_token": ("other", "other"),
    "s3_presigned": ("true", True),
    "s3_public_endpoint": ("https://S3.example.com:443/", "https://s3.example.com"),
    "cache_bytes": ("1 GiB", 1024**3),
    "drain_seconds": ("12", 12),
    "upload_hours": ("24", 24),
    "max_staged_size": ("1 GiB", 1024**3),
    "cdn_base_url": ("https://CDN.example.com/files/", "https://cdn.example.com/files"),
    "cdn_revocation_seconds": ("60", 60),
    "cdn_purge_url": ("http://127.0.0.1:6081/", "http://127.0.0.1:6081"),
    "cors_origins": ("https://app.example.com:443,*", ("https://app.example.com", "*")),
    "audit_days": ("30", 30),
    "audit_key_file": ("/etc/audit.key", Path("/etc/audit.key")),
    "audit_key": ("HFAK-ABC", "HFAK-ABC"),
    "user_requests_per_minute": ("6000", 6000),
    "user_bytes_per_minute": ("1 GiB", 1024**3),
    "token_requests_per_minute": ("600", 600),
    "token_bytes_per_minute": ("100 MB", 10**8),
    "address_requests_per_minute": ("300", 300),
    "address_bytes_per_minute": ("1000", 1000),
}
TOGETHER = {
    "s3_presigned": {"seal": "off"},
    "s3_public_endpoint": {"s3_presigned": "true", "seal": "off"},
}


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("sqlite:////srv/holdfast.db", Path("/srv/holdfast.db")),
        ("sqlite:///other.db", Path.cwd() / "other.db"),
        ("postgres://me@db/files", None),
        ("postgresql://me:p%40ss@db:5433/files?sslmode=require", None),
    ],
)
def test_database_url_is_a_file_or_a_server(text: str, path: Path | None) -> None:
    """Several nodes share the one, and nobody the other."""
    settings = load(None, {"HOLDFAST_DATABASE_URL": text}, {})
    assert settings.database_path == path
    assert settings.is_shared is (path is None)


@pytest.mark.parametrize(
    "text", ["holdfast.db", "mysql://me:secret@db/x", "postgresql://me:secret@db", "postgresql://me:secret@db:x/y",
             "sqlite://", "sqlite:///", "sqlite:///a?secret=1"],
)  # fmt: skip
def test_database_url_that_is_none_is_refused_without_being_shown(text: str) -> None:
    """It may hold a password."""
    with pytest.raises(ConfigError, match="database_url") as caught:
        load(None, {"HOLDFAST_DATABASE_URL": text}, {})
    assert "me:secret" not in str(caught.value)


def test_password_is_never_shown() -> None:
    """Neither by the settings, nor where the place is told to people."""
    text = "postgresql://me:secret@db/files?password=secret&sslmode=require"
    settings = load(None, {"HOLDFAST_DATABASE_URL": text, "HOLDFAST_S3_SECRET_KEY": "secret"}, {})
    assert "secret" not in repr(settings)
    assert settings.database_url is not None
    assert settings.database_url.shown == "postgresql://me@db/files?sslmode=require"


@pytest.mark.parametrize("text", ["/srv/blobs", "file://", "ftp://host/x", "file:///a?b"])
def test_blobs_url_that_is_none_is_refused(text: str) -> None:
    """With the two that there are."""
    with pytest.raises(ConfigError, match=r"file:///PATH or s3://BUCKET"):
        load(None, {"HOLDFAST_BLOBS_URL": text}, {})


def test_small_content_is_larger_where_blobs_are_in_s3() -> None:
    """Unless it is set."""
    s3 = {"HOLDFAST_BLOBS_URL": "s3://bucket/files"}
    assert load(None, {}, {}).inline_threshold == 4096
    assert load(None, s3, {}).inline_threshold == 32_768
    assert load(None, {**s3, "HOLDFAST_INLINE_THRESHOLD": "100"}, {}).inline_threshold == 100
    assert load(None, s3, {}).blobs_folder is None


def test_keys_of_aws_are_taken_together_or_not_at_all() -> None:
    """Never one of ours with one of theirs."""
    aws = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_SESSION_TOKEN": "c"}
    settings = load(None, aws, {})
    assert (settings.s3_access_key, settings.s3_secret_key, settings.s3_session_token) == ("a", "b", "c")
    settings = load(None, {**aws, "HOLDFAST_S3_ACCESS_KEY": "own"}, {})
    assert (settings.s3_access_key, settings.s3_secret_key, settings.s3_session_token) == ("own", None, None)


@pytest.mark.parametrize(
    "text", ["cdn.example.com", "ftp://cdn.example.com", "https://cdn/?a", "https://u@cdn", "https://"]
)
def test_cdn_base_url_is_an_address(text: str) -> None:
    """Signed URLs are put together of it."""
    with pytest.raises(ConfigError, match="cdn_base_url"):
        load(None, {"HOLDFAST_CDN_BASE_URL": text}, {})


def test_settings_of_a_group_can_stand_below_its_name(tmp_path: Path) -> None:
    """In the file, as a mapping or with a dot; twice is a mistake."""
    file = tmp_path / "config.yaml"
    file.write_text("cdn:\n  base_url: https://cdn.example.com\ncors.origins: ['https://app.example.com']\n")
    settings = load(file, {}, {})
    assert settings.cdn_base_url == "https://cdn.example.com"
    assert settings.cors_origins == ("https://app.example.com",)
    file.write_text("cdn: {base_url: https://cdn.example.com}\ncdn_base_url: https://other.example.com\n")
    with pytest.raises(ConfigError, match=r"cdn_base_url.*twice"):
        load(file, {}, {})
    file.write_text("cdn: {bse_url: https://cdn.example.com}\n")
    with pytest.raises(ConfigError, match="did you mean cdn_base_url"):
        load(file, {}, {})


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"s3_presigned": "true"}, "s3_presigned.*seal: off"),
        ({"s3_presigned": "true", "seal": "on"}, "s3_presigned.*seal: off"),
        ({"s3_public_endpoint": "https://s3.example.com"}, "s3_public_endpoint.*set s3_presigned"),
        (
            {"s3_presigned": "true", "seal": "off", "s3_public_endpoint": "https://s3.example.com/bucket"},
            "s3_public_endpoint.*has a path",
        ),
    ],
)
def test_url_of_the_store_needs_plain_blobs_and_an_address(given: dict[str, str], problem: str) -> None:
    """What would have no effect, or give URLs that nobody can use, is told at the start."""
    with pytest.raises(ConfigError, match=problem):
        load(None, {f"HOLDFAST_{name.upper()}": value for name, value in given.items()}, {})
