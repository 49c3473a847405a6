"""Settings: where they come from, which wins, what is refused and how that is said."""

from __future__ import annotations

import os
from dataclasses import fields
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.config import BY_NAME, TABLE, Address, Setting, Settings, load, usable_cores
from appliance.errors import ConfigError
from appliance.retention import parse as parse_retention
from tests.unit import test_config_store

# As the environment's empty variables, which templates turn into this.
EMPTY = "".join(f'{setting.name}: ""\n' for setting in TABLE)
EXAMPLE = Path(__file__).parents[2] / "config.example.yaml"

# For each setting: a text other than its default, as it may stand in the environment or the file, and its value.
SAMPLES: dict[str, tuple[str, object]] = {
    "data": ("/srv/holdfast", Path("/srv/holdfast")),
    "listen": ("0.0.0.0:9000", Address("0.0.0.0", 9000)),
    "tls_certificate": ("/etc/certificate.pem", Path("/etc/certificate.pem")),
    "tls_key": ("/etc/key.pem", Path("/etc/key.pem")),
    "hsts_seconds": ("60", 60),
    "allow_plain_http": ("true", True),
    "trusted_proxies": ("10.0.0.2, fd00::/8,10.0.0.2", (ip_network("10.0.0.2/32"), ip_network("fd00::/8"))),
    "workers": ("3", 3),
    "threads": ("64", 64),
    "durability": ("fast", "fast"),
    "seal": ("on", "on"),
    "master_key_file": ("/etc/master.key", Path("/etc/master.key")),
    "master_key": ("HFMK-ABC", "HFMK-ABC"),
    "admin_user": ("root", "root"),
    "admin_password": ("correct horse", "correct horse"),
    "public_urls": ("https://a.example,http://b.example:8000/", ("https://a.example", "http://b.example:8000")),
    "max_file_size": ("10 GB", 10_000_000_000),
    "default_quota": ("5GiB", 5 * 1024**3),
    "reserve": ("64 MiB", 64 * 1024**2),
    "inline_threshold": ("0", 0),
    "max_xml_size": ("2 MiB", 2 * 1024**2),
    "max_header_size": ("32 KiB", 32768),
    "header_seconds": ("5", 5),
    "idle_seconds": ("6", 6),
    "body_stall_seconds": ("7", 7),
    "connections_per_address": ("0", 0),
    "shutdown_seconds": ("8", 8),
    "lock_seconds": ("9", 9),
    "max_lock_seconds": ("86401", 86401),
    "session_idle_minutes": ("30", 30),
    "session_hours": ("12", 12),
    "retention": ("all 2d, daily", parse_retention("all 2d, daily")),
    "trash_days": ("14", 14),
    "expire_minutes": ("15", 15),
    "pressure_percent": ("10", 10),
    "sweep_minutes": ("10", 10),
    "quarantine_hours": ("48", 48),
    "dead_percent": ("50", 50),
    "scrub_days": ("7", 7),
    "scrub_bytes_per_second": ("8 MiB", 8 * 1024**2),
    "log_level": ("debug", "debug"),
    "log_file": ("/var/log/holdfast.log", Path("/var/log/holdfast.log")),
    "access_log": ("stderr", "stderr"),
    "access_log_format": ("text", "text"),
    "log_bytes": ("1 MiB", 1024**2),
    "log_files_kept": ("11", 11),
    **test_config_store.SAMPLES,
}

# What a setting is of no use without.
TOGETHER = {
    "tls_certificate": {"tls_key": "/etc/key.pem"},
    "tls_key": {"tls_certificate": "/etc/certificate.pem"},
    "hsts_seconds": {"tls_certificate": "/etc/certificate.pem", "tls_key": "/etc/key.pem"},
    **test_config_store.TOGETHER,
}


def from_text(tmp_path: Path, text: str) -> Settings:
    """Settings from a file with this text."""
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return load(path, {}, {})


def refused(tmp_path: Path, text: str) -> ConfigError:
    """The error that a file with this text gives; it is one line."""
    with pytest.raises(ConfigError) as caught:
        from_text(tmp_path, text)
    assert "\n" not in str(caught.value)
    return caught.value


def test_table_and_settings_name_the_same() -> None:
    """No setting can be in the table and not in the result, nor the other way round."""
    assert [setting.name for setting in TABLE] == [field.name for field in fields(Settings)]
    assert set(SAMPLES) == set(BY_NAME)


def test_load_with_nothing_given_yields_the_defaults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without any source the server is on loopback, its data below the current folder."""
    monkeypatch.chdir(tmp_path)
    settings = load(None, {}, {})
    assert settings.data == tmp_path / "holdfast-data"
    assert settings.listen == Address("127.0.0.1", 8080)
    assert settings.workers == min(usable_cores(), 64)
    assert settings.admin_password is None
    assert settings.public_urls == ()
    for setting in TABLE:
        if setting.type in ("integer", "bytes", "choice", "user"):
            assert getattr(settings, setting.name) == setting.default_value()


@pytest.mark.parametrize("name", BY_NAME)
def test_setting_from_environment_is_taken(name: str) -> None:
    """Each setting has its variable."""
    text, value = SAMPLES[name]
    settings = load(None, {f"HOLDFAST_{name.upper()}": text, "PATH": "/bin"}, TOGETHER.get(name, {}))
    assert getattr(settings, name) == value
    assert value != getattr(load(None, {}, {}), name) or name == "workers"


@pytest.mark.parametrize("name", BY_NAME)
def test_setting_from_file_is_taken(name: str, tmp_path: Path) -> None:
    """Each setting can stand in the file, in the words of the environment."""
    text, value = SAMPLES[name]
    others = "".join(f"{key}: {other}\n" for key, other in TOGETHER.get(name, {}).items())
    assert getattr(from_text(tmp_path, f'{name}: "{text}"\n{others}'), name) == value


def test_sources_in_conflict_win_in_order(tmp_path: Path) -> None:
    """Command line before environment before file before default, setting by setting."""
    path = tmp_path / "config.yaml"
    path.write_text("threads: 10\nidle_seconds: 10\nheader_seconds: 10\n")
    environ = {"HOLDFAST_CONFIG": str(path), "HOLDFAST_THREADS": "20", "HOLDFAST_IDLE_SECONDS": "20"}
    settings = load(None, environ, {"threads": 30, "durability": "fast", "listen": None})
    found = settings.threads, settings.idle_seconds, settings.header_seconds, settings.durability, settings.lock_seconds
    assert found == (30, 20, 10, "fast", 3600)


def test_config_file_given_and_in_environment_takes_the_given(tmp_path: Path) -> None:
    """HOLDFAST_CONFIG counts only where no file is named."""
    path = tmp_path / "config.yaml"
    path.write_text("threads: 10\n")
    assert load(path, {"HOLDFAST_CONFIG": "/does/not/exist"}, {}).threads == 10


def test_data_relative_in_file_starts_at_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file means the same folder from wherever a command is run; elsewhere the current folder counts."""
    monkeypatch.chdir("/")
    assert from_text(tmp_path, "data: ../store\n").data == tmp_path.parent / "store"
    assert load(None, {"HOLDFAST_DATA": "store"}, {}).data == Path("/store")
    assert load(None, {}, {"data": Path("~/store")}).data == Path("~/store").expanduser()


@pytest.mark.parametrize("empty", ["", "# only a comment\n", "---\n", "null\n", "threads:\nadmin_password: ~\n", EMPTY])
def test_file_without_values_yields_the_defaults(tmp_path: Path, empty: str) -> None:
    """An empty file, and a name without a value or with an empty text, set nothing."""
    assert from_text(tmp_path, empty) == load(None, {}, {})


def test_environment_empty_variable_counts_as_unset(tmp_path: Path) -> None:
    """Compose files pass variables on that nobody set."""
    assert load(None, {"HOLDFAST_LISTEN": "", "HOLDFAST_ADMIN_PASSWORD": "", "HOLDFAST_CONFIG": ""}, {}) == load(
        None, {}, {}
    )


@pytest.mark.parametrize(
    "variable",
    ["HOLDFAST_TEST_CLIENTS", "HOLDFAST_SERVICE_HOST", "HOLDFAST_SERVICE_PORT_HTTP",
     "HOLDFAST_PORT_8080_TCP_ADDR", "HOLDFASTER"],
)  # fmt: skip
def test_environment_foreign_variable_is_ignored(variable: str) -> None:
    """What tests and container systems set beside ours is no mistake."""
    assert load(None, {variable: "x", "HOLDFAST_PORT": "tcp://10.0.0.1:8080"}, {}) == load(None, {}, {})


@pytest.mark.parametrize(
    ("variable", "advice"),
    [
        ("HOLDFAST_LISTN", "did you mean HOLDFAST_LISTEN?"),
        ("HOLDFAST_Threads", "did you mean HOLDFAST_THREADS?"),
        ("HOLDFAST_PORT", "remove it"),
        ("HOLDFAST_FAULT", "remove it"),
        ("HOLDFAST_XYZZY", "remove it"),
    ],
)
def test_environment_unknown_variable_is_refused(variable: str, advice: str) -> None:
    """A misspelt variable would be without effect, silently."""
    with pytest.raises(ConfigError) as caught:
        load(None, {variable: "1"}, {})
    assert caught.value.setting == variable
    assert caught.value.problem.endswith(advice)


@pytest.mark.parametrize(
    ("key", "advice"),
    [("listn", "did you mean listen?"), ("public-urls", "did you mean public_urls?"), ("quux", "remove it")],
)
@pytest.mark.parametrize("value", ["1", "", "[1]"])
def test_file_unknown_key_is_refused(tmp_path: Path, key: str, advice: str, value: str) -> None:
    """A misspelt name is found, even without a value, and the error says which name was meant."""
    error = refused(tmp_path, f"threads: 8\n{key}: {value}\n")
    assert error.setting == key
    assert error.problem.endswith(advice)


@pytest.mark.parametrize(
    ("line", "clause"),
    [
        ("workers: true", "'true' is not a whole number; write 1 to 64"),
        ("workers: 12x", "'12x' is not a whole number"),
        ("workers: 1.0", "'1.0' is not a whole number"),
        ("workers: 1_0", "'1_0' is not a whole number"),
        ("workers: 0x10", "'0x10' is not a whole number"),
        ("workers: [1]", "a list is not a whole number"),
        ("workers: 0", "0 is out of bounds; write 1 to 64"),
        ("workers: -1", "-1 is out of bounds; write 1 to 64"),
        ("workers: 65", "65 is out of bounds; write 1 to 64"),
        (f"workers: {'9' * 5000}", "is not a whole number"),
        ("threads: 3", "3 is out of bounds; write 4 to 512"),
        ("max_file_size: 0", "0 is out of bounds"),
        ("max_file_size: 1.5 GiB", "'1.5 GiB' is not a size"),
        ("max_file_size: 64 mib", "'64 mib' is not a size"),
        ("max_file_size: 64 XB", "'64 XB' is not a size"),
        ("inline_threshold: 65 KiB", "66560 is out of bounds; write 0 to 65536"),
        ("durability: Safe", "'Safe' is not one of its values; write safe or fast"),
        ("durability: {a: b}", "a mapping is not one of its values"),
        ("listen: 8080", "'8080' is not HOST:PORT"),
        ("listen: ':8080'", "':8080' is not HOST:PORT"),
        ("listen: localhost:http", "'localhost:http' is not HOST:PORT"),
        ("listen: '::1:8080'", "'::1:8080' is not HOST:PORT"),
        ("listen: '[127.0.0.1]:80'", "is not HOST:PORT"),
        ("listen: 256.0.0.1:80", "'256.0.0.1:80' is not HOST:PORT"),
        ("listen: http://localhost:80", "is not HOST:PORT"),
        ("listen: localhost:65536", "port 65536 is out of bounds; write port 0 to 65535"),
        ("listen: localhost:-1", "is not HOST:PORT"),
        ('admin_user: "a\\nb"', "is not a user name"),
        ('admin_user: " "', "'' cannot be one; a user name has 1 to 64 of a-z"),
        ("admin_user: bad/name", "'bad/name' cannot be one"),
        ("admin_password: 7 chars", "a password has 8 to 1024 characters"),
        ("data: [a]", "a list is not a path"),
        ('data: "a\\0b"', "is not a path"),
        ("data: ~nobody-by-this-name/x", "names a home folder that is not known"),
        ("public_urls: {a: b}", "a mapping is not a list of URLs"),
        ("public_urls: [files.example.com]", "'files.example.com' is not an address of this server"),
        ("public_urls: [ftp://files.example.com]", "is not an address of this server"),
        ("public_urls: [https://files.example.com/prefix]", "is not an address of this server"),
        ("public_urls: ['https://files.example.com/?a']", "is not an address of this server"),
        ("public_urls: [https://u@files.example.com]", "is not an address of this server"),
        ("public_urls: ['https://files.example.com:99999']", "is not an address of this server"),
        ("public_urls: ['https://']", "is not an address of this server"),
        ("public_urls: [[https://a.example]]", "a list is not an address of this server"),
        ("tls_key: [a]", "a list is not a path; write the path of a file"),
        ("allow_plain_http: yes", "'yes' is not one of its values; write true or false"),
        ("allow_plain_http: [true]", "a list is not one of its values"),
        ("trusted_proxies: {a: b}", "a mapping is not a list of addresses"),
        ("trusted_proxies: [proxy.example.com]", "'proxy.example.com' is not an address or a network"),
        ("trusted_proxies: [10.0.0.256]", "'10.0.0.256' is not an address or a network"),
        ("trusted_proxies: [10.0.0.1/8]", "is an address within a network; write 10.0.0.0/8 for all of it"),
        ("trusted_proxies: [[10.0.0.1]]", "a list is not an address or a network"),
    ],
)
def test_file_wrong_value_is_refused(tmp_path: Path, line: str, clause: str) -> None:
    """The error names the setting, shows the value, says what to write and where it stood."""
    error = refused(tmp_path, line)
    assert error.setting == line.split(":")[0]
    assert clause in error.problem
    assert error.problem.endswith(f"(from {tmp_path / 'config.yaml'})")


@pytest.mark.parametrize("setting", [s for s in TABLE if s.type in ("integer", "bytes")], ids=lambda s: s.name)
def test_numbers_at_their_bounds_are_taken_and_beyond_refused(setting: Setting) -> None:
    """The documented bounds include their ends and are the ones that hold."""
    assert setting.low is not None
    assert setting.high is not None
    for inside in (setting.low, setting.high):
        others = {"lock_seconds": 1} if setting.name == "max_lock_seconds" else {"max_lock_seconds": 2419200}
        others |= TOGETHER.get(setting.name, {})
        assert getattr(load(None, {}, others | {setting.name: inside}), setting.name) == inside
    for outside in (setting.low - 1, setting.high + 1):
        with pytest.raises(ConfigError, match="out of bounds"):
            load(None, {}, {setting.name: outside})


@pytest.mark.parametrize("value", [True, 1.0, b"1", object()])
def test_override_wrong_type_is_refused(value: object) -> None:
    """True is an int to Python, not to a person."""
    with pytest.raises(ConfigError, match="the command line"):
        load(None, {}, {"workers": value})


def test_override_unknown_name_is_refused() -> None:
    """A caller's mistake is not silent either."""
    with pytest.raises(ConfigError, match="did you mean workers"):
        load(None, {}, {"worker": 1})


@pytest.mark.parametrize(
    ("text", "clause"),
    [
        ("threads: 8\nlisten: [\n", "line 3: this is not YAML"),
        ("threads: 8\n\tlisten: x\n", "line 2: this is not YAML"),
        ("threads: 8\nthreads: 9\n", "line 2: a name stands there for the second time"),
        ("- threads\n", "must hold lines like `name: value`"),
        ("threads\n", "must hold lines like `name: value`"),
        ("? [a]\n: b\n", "line 1: this is not YAML"),
        ("a: b\n---\nc: d\n", "this is not YAML"),
        ("admin_user: \x01\n", "this is not YAML"),
        ("[" * 5000, "this is not YAML"),
    ],
)
def test_file_that_is_no_mapping_is_refused(tmp_path: Path, text: str, clause: str) -> None:
    """The line with the mistake is named."""
    error = refused(tmp_path, text)
    assert error.setting == "config"
    assert clause in error.problem


def test_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """Missing, a folder, not UTF-8: each says what to do."""
    with pytest.raises(ConfigError, match="there is no file"):
        load(tmp_path / "none.yaml", {}, {})
    with pytest.raises(ConfigError, match="there is no file"):
        load(None, {"HOLDFAST_CONFIG": str(tmp_path / "none.yaml")}, {})
    with pytest.raises(ConfigError, match="cannot be read"):
        load(tmp_path, {}, {})
    (tmp_path / "latin.yaml").write_bytes(b"admin_user: J\xf6rg\n")
    with pytest.raises(ConfigError, match="is not UTF-8 at byte 13"):
        load(tmp_path / "latin.yaml", {}, {})


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_file_without_permission_is_refused(tmp_path: Path) -> None:
    """The reason of the system is passed on."""
    path = tmp_path / "config.yaml"
    path.write_text("threads: 8\n")
    path.chmod(0)
    with pytest.raises(ConfigError, match=r"cannot be read \(Permission denied\)"):
        load(path, {}, {})


@pytest.mark.parametrize(
    ("text", "address", "shown"),
    [
        ("127.0.0.1:0", Address("127.0.0.1", 0), "127.0.0.1:0"),
        ("[::1]:8080", Address("::1", 8080), "[::1]:8080"),
        ("[::]:65535", Address("::", 65535), "[::]:65535"),
        ("localhost:80", Address("localhost", 80), "localhost:80"),
        ("nas_1.home.arpa:80", Address("nas_1.home.arpa", 80), "nas_1.home.arpa:80"),
    ],
)
def test_listen_is_parsed_into_host_and_port(text: str, address: Address, shown: str) -> None:
    """Brackets belong to the writing, not to the host; the text of an address can be written again."""
    listen = load(None, {}, {"listen": text}).listen
    assert listen == address
    assert str(listen) == shown
    assert load(None, {}, {"listen": listen}).listen == address


def test_public_urls_in_several_spellings_are_made_comparable() -> None:
    """Case, default port, a slash at the end and repetition make no difference."""
    text = "HTTPS://Files.Example.com:443/, http://[::1]:80, https://files.example.com,http://nas:8080"
    assert load(None, {"HOLDFAST_PUBLIC_URLS": text}, {}).public_urls == (
        "https://files.example.com",
        "http://[::1]",
        "http://nas:8080",
    )


def test_lock_seconds_over_their_maximum_are_refused() -> None:
    """A default that every client would be denied is a mistake."""
    with pytest.raises(ConfigError) as caught:
        load(None, {}, {"lock_seconds": 100, "max_lock_seconds": 99})
    assert caught.value.setting == "lock_seconds"
    assert "max_lock_seconds (99)" in caught.value.problem


@pytest.mark.parametrize("most", [1, 60, 3599, 3600, 2419200])
def test_lock_seconds_that_nobody_set_are_within_their_maximum(most: int) -> None:
    """One setting alone, within its bounds, is never refused."""
    settings = load(None, {"HOLDFAST_MAX_LOCK_SECONDS": str(most)}, {})
    assert (settings.lock_seconds, settings.max_lock_seconds) == (min(3600, most), most)


@given(st.sampled_from(TABLE), st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"])))
def test_any_text_gives_a_value_or_one_clear_line(setting: Setting, text: str) -> None:
    """Whatever stands in a variable: a value of the right type, or a ConfigError of one line that names the setting."""
    try:
        value = getattr(load(None, {setting.variable: text}, {}), setting.name)
    except ConfigError as error:
        assert error.setting == setting.name
        assert len(str(error).splitlines()) == 1
    else:
        assert value is None or isinstance(value, (int, str, Path, tuple))
