"""Every setting, in one table: the single source of parsing, bounds and documentation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from appliance.config.credentials import NAME_LEAST, NAME_MOST, PASSWORD_LEAST, PASSWORD_MOST
from appliance.config.setting import Address, BlobPlace, DatabasePlace, Network, Setting, usable_cores
from appliance.retention import DEFAULT, Retention

_EIB = 1024**6
# A structured field holds 15 digits.
_MOST_A_MINUTE = 10**14

TABLE: tuple[Setting, ...] = (
    Setting(name="data", type="path", default="./holdfast-data", unit="path",
            help="The data folder: database, stored bytes and lock files. It is made at the first start with mode 0700."
                 " A relative path starts at the configuration file's folder if it is written there, else at the"
                 " current folder."),
    Setting(name="database_url", type="database", default=None, unit="URL",
            help="Where names, versions, users and all else but the content of files are kept: sqlite:///PATH, or"
                 " postgresql://USER:PASSWORD@HOST:PORT/NAME, which several nodes can share. The password is better"
                 " set in the environment than in this file. Unset: holdfast.db in the data folder."),
    Setting(name="blobs_url", type="blobs", default=None, unit="URL",
            help="Where the content of files is kept: file:///PATH, or"
                 " s3://BUCKET/PREFIX?endpoint=http://HOST:PORT&region=NAME. Several nodes share one bucket, or one"
                 " folder that all of them mount. Unset: the data folder."),
    Setting(name="s3_access_key", type="secret", default=None, unit="characters",
            help="Access key of the S3 service. The environment is a better place for it than this file. Unset:"
                 " AWS_ACCESS_KEY_ID."),
    Setting(name="s3_secret_key", type="secret", default=None, unit="characters",
            help="Secret key of the S3 service. The environment is a better place for it than this file. Unset:"
                 " AWS_SECRET_ACCESS_KEY."),
    Setting(name="s3_session_token", type="secret", default=None, unit="characters",
            help="Session token that belongs to keys which are valid for a while only. Unset: AWS_SESSION_TOKEN, if the"
                 " keys are AWS's too."),
    Setting(name="s3_other_access_key", type="secret", default=None, unit="characters",
            help="While blobs move between two S3 services: access key of the one that blobs_url does not name. Unset:"
                 " both have the same keys."),
    Setting(name="s3_other_secret_key", type="secret", default=None, unit="characters",
            help="Secret key of that other one."),
    Setting(name="s3_other_session_token", type="secret", default=None, unit="characters",
            help="Session token of that other one, if its keys have one."),
    Setting(name="s3_presigned", type="switch", default="false", unit="true or false",
            help="true: the API's manifests of files name URLs of the S3 service itself, each for five minutes and for"
                 " just the bytes of one file. Such reading passes this server by: nothing here counts or limits it,"
                 " and who lost a right has them for these minutes. Only with `seal: off`. false: URLs of this"
                 " server."),
    Setting(name="s3_public_endpoint", type="url", default=None, unit="URL",
            help="Where clients reach the S3 service for that: scheme, host and port. Only with s3_presigned. Unset:"
                 " the endpoint in blobs_url."),
    Setting(name="cache_bytes", type="bytes", default=4 * 1024**3, unit="bytes", low=0, high=_EIB,
            help="Where blobs are in S3: so much of what was read last is kept near, in the data folder. 0: nothing."),
    Setting(name="listen", type="address", default="127.0.0.1:8080", unit="HOST:PORT", low=0, high=65535,
            help="Where to listen; an IPv6 address stands in brackets, as in [::1]:8080. 0.0.0.0:8080 listens on every"
                 " IPv4 address. Where others can reach it, it has to be set how passwords are kept from being read on"
                 " the way: tls_certificate, trusted_proxies or allow_plain_http. Port 0 takes a free one."),
    Setting(name="tls_certificate", type="file", default=None, unit="path",
            help="The server speaks https with this certificate: a PEM file, the server's own first, then those between"
                 " it and the root. A new file is taken while the server runs. `holdfast tls self-signed` makes one"
                 " for a home network."),
    Setting(name="tls_key", type="file", default=None, unit="path",
            help="The private key of tls_certificate: a PEM file without a passphrase."),
    Setting(name="hsts_seconds", type="integer", default=0, unit="seconds", low=0, high=63072000,
            help="How long browsers that have been here come by https only, for every port of this host name. Only with"
                 " tls_certificate. 0: nothing is told."),
    Setting(name="allow_plain_http", type="switch", default="false", unit="true or false",
            help="true: listen without TLS where others can reach it. Passwords and files can be read on the way, so"
                 " only in a network that nobody else is in, such as a container's. Windows does not send passwords"
                 " over http."),
    Setting(name="trusted_proxies", type="networks", default="", unit="list of addresses",
            help="Addresses and networks of proxies in front, as in 10.0.0.2 or 172.16.0.0/12. What X-Forwarded-For,"
                 " X-Forwarded-Proto and X-Forwarded-Host say is believed if it comes from one of them. They send"
                 " passwords on over plain http, so that way has to be safe. In the environment: separated by commas."),
    Setting(name="workers", type="integer", default=usable_cores, unit="processes", low=1, high=64,
            help="Processes that answer requests. They share the port."),
    Setting(name="threads", type="integer", default=32, unit="threads", low=4, high=512,
            help="Requests that one worker handles at the same time."),
    Setting(name="durability", type="choice", default="safe", unit="choice", choices=("safe", "fast"),
            help="safe: an answered upload survives a power cut. fast: it survives a crash of the server, but a power"
                 " cut may take the last seconds; what is left is always whole."),
    Setting(name="seal", type="choice", default="auto", unit="choice", choices=("auto", "on", "off"),
            help="Whether blobs are encrypted before they are stored (AES-256-GCM). auto: where others keep them (S3),"
                 " and not in the data folder. It can be switched at any time: what is stored already stays as it is,"
                 " and readable. Small files and all names are in the database, which is not encrypted."),
    Setting(name="master_key_file", type="file", default=None, unit="path",
            help="The file with the master key, without which nothing that is encrypted can be read. Unset: master.key"
                 " in the data folder, which is made when the first blob is to be encrypted. `holdfast key backup`"
                 " tells what to keep, and where not to."),
    Setting(name="master_key", type="secret", default=None, unit="text",
            help="The master key itself, before master_key_file. The environment is a better place for it than this"
                 " file."),
    Setting(name="audit_days", type="integer", default=365, unit="days", low=0, high=36500,
            help="How long the audit trail keeps downloads, what became of users and their devices, and the address of"
                 " each change. 0: for ever. What was changed when and by whom is kept as long as the files are."),
    Setting(name="audit_key_file", type="file", default=None, unit="path",
            help="The file with the key that the audit trail is sealed with; of several lines the first seals, all of"
                 " them verify. Nodes that share a store need the same. Unset: audit.key in the data folder, which is"
                 " made at the first start."),
    Setting(name="audit_key", type="secret", default=None, unit="text",
            help="The key itself, before audit_key_file. The environment is a better place for it than this file."),
    Setting(name="admin_user", type="user", default="admin", unit="characters", low=NAME_LEAST, high=NAME_MOST,
            help="Name of the administrator who is made at the first start: a-z 0-9 . _ - @, a letter or digit first."
                 " Capitals count as small letters."),
    Setting(name="admin_password", type="password", default=None, unit="characters", low=PASSWORD_LEAST,
            high=PASSWORD_MOST,
            help="The administrator's password at the first start. Unset: one is generated and printed once. The"
                 " environment is a better place for it than this file."),
    Setting(name="public_urls", type="urls", default="", unit="list of URLs",
            help="Addresses under which proxies publish this server, scheme, host and port each, as in"
                 " https://files.example.com. The Destination of a COPY or MOVE may name any of them. In the"
                 " environment: separated by commas."),
    Setting(name="max_file_size", type="bytes", default=64 * 1024**3, unit="bytes", low=1, high=_EIB,
            help="The largest file that is accepted."),
    Setting(name="default_quota", type="bytes", default=0, unit="bytes", low=0, high=_EIB,
            help="Quota that new users get, unless another one is given. 0: no limit."),
    Setting(name="reserve", type="bytes", default=16 * 1024**2, unit="bytes", low=0, high=1024**4,
            help="Room of the data folder's file system that is kept from new content, so that deleting, moving and the"
                 " database go on when it is full; at most an eighth of the file system. While that gets full (less"
                 " than 64 times the reserve is free), a file of half this size holds a part of it against others."
                 " 0: none."),
    Setting(name="inline_threshold", type="bytes", default=4096, unit="bytes", low=0, high=65536,
            help="Content up to this size is kept in the database instead of a pack. Unset, where blobs are in S3:"
                 " 32 KiB, so that small files need no request each."),
    Setting(name="max_xml_size", type="bytes", default=1024**2, unit="bytes", low=1024, high=64 * 1024**2,
            help="The largest XML body of a request (PROPFIND, PROPPATCH, LOCK)."),
    Setting(name="max_header_size", type="bytes", default=65536, unit="bytes", low=4096, high=1024**2,
            help="The largest request line and headers together."),
    Setting(name="header_seconds", type="integer", default=20, unit="seconds", low=1, high=300,
            help="Time for a request's line and headers to arrive, from their first byte to their last."),
    Setting(name="idle_seconds", type="integer", default=120, unit="seconds", low=1, high=3600,
            help="How long a connection may wait for its next request."),
    Setting(name="body_stall_seconds", type="integer", default=60, unit="seconds", low=1, high=3600,
            help="How long a body may stand still, in either direction. A slow one may take days."),
    Setting(name="connections_per_address", type="integer", default=256, unit="connections", low=0, high=65536,
            help="Connections that one address (of IPv6: one /64 network) may have open to a worker. With one more, the"
                 " one of them that has been silent for the longest is closed; never one whose request is being"
                 " answered. 0: no limit."),
    Setting(name="user_requests_per_minute", type="integer", default=0, unit="requests", low=0, high=_MOST_A_MINUTE,
            help="Requests that one user, with all devices together, may make in a minute; with one more the answer is"
                 " 429, until there are some again. A sync client makes thousands where there are many small files. 0:"
                 " no limit."),
    Setting(name="user_bytes_per_minute", type="bytes", default=0, unit="bytes", low=0, high=_MOST_A_MINUTE,
            help="Bytes that one user may send and receive in a minute. What runs is never cut off; it counts against"
                 " the next request. 0: no limit."),
    Setting(name="token_requests_per_minute", type="integer", default=0, unit="requests", low=0, high=_MOST_A_MINUTE,
            help="The same of one app password or bearer token. 0: no limit."),
    Setting(name="token_bytes_per_minute", type="bytes", default=0, unit="bytes", low=0, high=_MOST_A_MINUTE,
            help="The same of one app password or bearer token. 0: no limit."),
    Setting(name="address_requests_per_minute", type="integer", default=0, unit="requests", low=0, high=_MOST_A_MINUTE,
            help="The same of one address (of IPv6: one /64 network), whether somebody signs in or not; but not of one"
                 " in trusted_proxies. Everybody behind one router has one address. 0: no limit."),
    Setting(name="address_bytes_per_minute", type="bytes", default=0, unit="bytes", low=0, high=_MOST_A_MINUTE,
            help="The same of one address. 0: no limit."),
    Setting(name="drain_seconds", type="integer", default=0, unit="seconds", low=0, high=600,
            help="How long the server goes on answering when it is told to stop, while /readyz says 503 already, so"
                 " that a balancer in front sends what is new to other nodes first. Longer than the balancer takes to"
                 " notice; 0 where there is none."),
    Setting(name="shutdown_seconds", type="integer", default=30, unit="seconds", low=1, high=3600,
            help="Time for running requests to finish when the server is told to stop."),
    Setting(name="lock_seconds", type="integer", default=3600, unit="seconds", low=1, high=2419200,
            help="Life of a WebDAV lock whose client asks for no time. Unset: max_lock_seconds, if that is less."),
    Setting(name="max_lock_seconds", type="integer", default=86400, unit="seconds", low=1, high=2419200,
            help="The longest life of a WebDAV lock; a client that asks for more gets this."),
    Setting(name="session_idle_minutes", type="integer", default=120, unit="minutes", low=1, high=10080,
            help="How long a browser stays signed in to the pages for people without a request."),
    Setting(name="session_hours", type="integer", default=168, unit="hours", low=1, high=8760,
            help="How long a browser stays signed in at most, however much it is used."),
    Setting(name="upload_hours", type="integer", default=168, unit="hours", low=1, high=8760,
            help="How long an unfinished upload of the API is kept after its last part."),
    Setting(name="max_staged_size", type="bytes", default=256 * 1024**3, unit="bytes", low=1, high=_EIB,
            help="Bytes that the unfinished uploads of one user may announce together."),
    Setting(name="cdn_base_url", type="url", default=None, unit="URL",
            help="Where a shared cache (CDN, Varnish, nginx) publishes what is below /api/v1/signed/ of this server, as"
                 " in https://cdn.example.com. URLs for downloads begin with it then. Unset: with this server's own."),
    Setting(name="cdn_revocation_seconds", type="integer", default=240, unit="seconds", low=0, high=300,
            help="The longest that caches may keep what signed URLs answer: so long something can still be had from one"
                 " that was deleted here, or whose signing key was revoked. 0: they keep nothing."),
    Setting(name="cdn_purge_url", type="url", default=None, unit="URL",
            help="Where that cache takes PURGE requests, whose Surrogate-Key header names what it has to drop: what was"
                 " deleted here is gone there within seconds then. Unset: after cdn_revocation_seconds at most."),
    Setting(name="cors_origins", type="origins", default="", unit="list of URLs",
            help="Web sites whose pages may use the API and signed URLs from browsers, scheme, host and port each; *:"
                 " every one. They send a token or a password themselves: what a browser has for this server is never"
                 " used. In the environment: separated by commas."),
    Setting(name="retention", type="retention", default=DEFAULT, unit="steps",
            help="How long the past can be opened: every state for a while, then one an hour, a day, a week, a month. A"
                 " step without an age holds for ever; none keeps nothing. Users and folders can have rules of their"
                 " own (holdfast user retention)."),
    Setting(name="trash_days", type="integer", default=30, unit="days", low=0, high=36500,
            help="How long what was removed stays in the trash. Sync clients that were away for longer begin anew."),
    Setting(name="expire_minutes", type="integer", default=60, unit="minutes", low=1, high=10080,
            help="Time between two runs of the job that thins the past and empties the trash."),
    Setting(name="pressure_percent", type="integer", default=5, unit="percent", low=0, high=50,
            help="While less than this part of the data folder's file system is free, and less than 16 GiB, the past"
                 " and the trash are kept for half as long, then for a quarter, and so on to 1/32, until there is room"
                 " again. 0: never."),
    Setting(name="sweep_minutes", type="integer", default=5, unit="minutes", low=1, high=1440,
            help="Time between two runs of the jobs that clear what crashes and broken-off uploads left."),
    Setting(name="quarantine_hours", type="integer", default=24, unit="hours", low=0, high=8760,
            help="How long pieces of content that no file and no version needs any more stay on the disk, so that"
                 " `holdfast prune --undo` can bring them back. They go at once while there is little room. 0: not at"
                 " all."),
    Setting(name="dead_percent", type="integer", default=25, unit="percent", low=1, high=100,
            help="A pack of which so much is not needed any more is written anew without it. Less means less waste,"
                 " and more to be copied."),
    Setting(name="scrub_days", type="integer", default=30, unit="days", low=0, high=3650,
            help="Every stored byte is read and verified once in so many days, spread over them. 0: never."),
    Setting(name="scrub_bytes_per_second", type="bytes", default=32 * 1024**2, unit="bytes per second", low=65536,
            high=_EIB,
            help="The fastest that stored bytes are read for that, and to write packs anew, however much there is."),
    Setting(name="log_level", type="choice", default="info", unit="choice",
            choices=("debug", "info", "warning", "error"), help="The least severe messages that are logged."),
    Setting(name="log_file", type="log", default="stderr", unit="path", choices=("stderr",),
            help="Where the server's messages go. A relative path starts as that of data does."),
    Setting(name="access_log", type="log", default="off", unit="path", choices=("off", "stderr"),
            help="Where each request gets a line when it was answered, with its id, user, path and status, and without"
                 " any secret."),
    Setting(name="access_log_format", type="choice", default="json", unit="choice", choices=("json", "text"),
            help="json: an object a line, for programs. text: for reading."),
    Setting(name="log_bytes", type="bytes", default=16 * 1024**2, unit="bytes", low=0, high=_EIB,
            help="Size from which a log file is put aside as NAME.1, and a new one begun. 0: never; whoever rotates"
                 " them otherwise needs no signal."),
    Setting(name="log_files_kept", type="integer", default=5, unit="files", low=1, high=1000,
            help="How many files that were put aside are kept of each log."),
)  # fmt: skip
INLINE_FOR_S3 = 32 * 1024
BY_NAME: Mapping[str, Setting] = {setting.name: setting for setting in TABLE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The checked settings of a run; meaning, unit and bounds of each are in ``TABLE``."""

    data: Path
    database_url: DatabasePlace | None
    blobs_url: BlobPlace | None
    s3_access_key: str | None = field(repr=False)
    s3_secret_key: str | None = field(repr=False)
    s3_session_token: str | None = field(repr=False)
    s3_other_access_key: str | None = field(repr=False)
    s3_other_secret_key: str | None = field(repr=False)
    s3_other_session_token: str | None = field(repr=False)
    s3_presigned: bool
    s3_public_endpoint: str | None
    cache_bytes: int
    listen: Address
    tls_certificate: Path | None
    tls_key: Path | None
    hsts_seconds: int
    allow_plain_http: bool
    trusted_proxies: tuple[Network, ...]
    workers: int
    threads: int
    durability: Literal["safe", "fast"]
    seal: Literal["auto", "on", "off"]
    master_key_file: Path | None
    master_key: str | None = field(repr=False)
    audit_days: int
    audit_key_file: Path | None
    audit_key: str | None = field(repr=False)
    admin_user: str
    admin_password: str | None = field(repr=False)
    public_urls: tuple[str, ...]
    max_file_size: int
    default_quota: int
    reserve: int
    inline_threshold: int
    max_xml_size: int
    max_header_size: int
    header_seconds: int
    idle_seconds: int
    body_stall_seconds: int
    connections_per_address: int
    user_requests_per_minute: int
    user_bytes_per_minute: int
    token_requests_per_minute: int
    token_bytes_per_minute: int
    address_requests_per_minute: int
    address_bytes_per_minute: int
    drain_seconds: int
    shutdown_seconds: int
    lock_seconds: int
    max_lock_seconds: int
    session_idle_minutes: int
    session_hours: int
    upload_hours: int
    max_staged_size: int
    cdn_base_url: str | None
    cdn_revocation_seconds: int
    cdn_purge_url: str | None
    cors_origins: tuple[str, ...]
    retention: Retention
    trash_days: int
    expire_minutes: int
    pressure_percent: int
    sweep_minutes: int
    quarantine_hours: int
    dead_percent: int
    scrub_days: int
    scrub_bytes_per_second: int
    log_level: Literal["debug", "info", "warning", "error"]
    # A path, or one of the words.
    log_file: Path | Literal["stderr"]
    access_log: Path | Literal["off", "stderr"]
    access_log_format: Literal["json", "text"]
    log_bytes: int
    log_files_kept: int

    @property
    def is_shared(self) -> bool:
        """Whether other nodes may be at the same store: only a server's database lets them."""
        return self.database_url is not None and self.database_url.path is None

    @property
    def database_path(self) -> Path | None:
        """The SQLite file; None where there is none."""
        return self.data / "holdfast.db" if self.database_url is None else self.database_url.path

    @property
    def blobs_folder(self) -> Path | None:
        """The folder that holds the blobs; None where an S3 service does."""
        return self.data if self.blobs_url is None else self.blobs_url.path
