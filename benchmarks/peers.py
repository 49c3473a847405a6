"""The servers that Holdfast is held against: how they are got, and how they are started.

All answer on 127.0.0.1 with HTTP Basic and serve an empty folder. Apache hashes passwords with apr1, as Debian's
htpasswd does: bcrypt, which it computes on every request, would be all that is measured. What is not said here is as
the program comes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from passlib.hash import apr_md5_crypt

from benchmarks.failures import NotAvailable
from benchmarks.servers import HOST, PASSWORD, USER, Place, Server, launch

_WSGIDAV = ("wsgidav==4.4.0", "cheroot==11.1.2", "lxml")
_COPYPARTY = ("copyparty==1.20.26",)


@dataclass(frozen=True)
class Peer:
    """``get`` makes it available and returns its label, ``start`` starts it; both raise NotAvailable."""

    name: str
    get: Callable[[Path], str]
    start: Callable[[Path, Place, str], Server]


def installed(package: str, *programs: str) -> str:
    """A program of the system, installed where that is ours to do."""
    for attempt in (False, True):
        for program in programs:
            found = shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
            if found:
                return found
        if not attempt:
            _apt_get(package)
    raise NotAvailable(f"{programs[0]} is not there after the installation of {package}")


def _apt_get(package: str) -> None:
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise NotAvailable(f"{package} is not installed (only root on Debian or Ubuntu can have it installed)")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update"], ["install", "-y", "--no-install-recommends", package]):
        done = subprocess.run(
            ["apt-get", "-qq", *arguments],
            check=False,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        if done.returncode != 0:
            raise NotAvailable(f"apt-get {arguments[0]} failed, so {package} is not there")


def _environment(cache: Path, name: str, requirements: tuple[str, ...]) -> Path:
    """A virtual environment with these requirements; made once in ``cache``."""
    folder = cache / name
    stamp = folder / "requirements"
    wanted = "\n".join(requirements)
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        steps = (
            [sys.executable, "-m", "venv", "--clear", str(folder)],
            [str(folder / "bin" / "pip"), "install", "-q", "--disable-pip-version-check", *requirements],
        )
        for step in steps:
            done = subprocess.run(step, check=False, capture_output=True, text=True)
            if done.returncode != 0:
                words = (done.stderr or done.stdout).strip().splitlines()
                raise NotAvailable(f"{name} cannot be installed: {words[-1] if words else 'no reason given'}")
        stamp.write_text(wanted, encoding="utf-8")
    return folder / "bin"


# -- WsgiDAV ----------------------------------------------------------------------------------------------------------


def _get_wsgidav(cache: Path) -> str:
    _environment(cache, "wsgidav", _WSGIDAV)
    return f"{_WSGIDAV[0].replace('==', ' ').replace('wsgidav', 'WsgiDAV')}, {_WSGIDAV[1].replace('==', ' ')}"


def _start_wsgidav(cache: Path, place: Place, label: str) -> Server:
    """With its own defaults: 8 KiB blocks, one log line a request."""
    config = place.folder / "wsgidav.yaml"
    config.write_text(
        f"""\
host: {HOST}
port: {place.port}
server: cheroot
provider_mapping: {{"/": "{place.files}"}}
http_authenticator: {{accept_basic: true, accept_digest: false, default_to_digest: false}}
simple_dc: {{user_mapping: {{"*": {{"{USER}": {{password: "{PASSWORD}"}}}}}}}}
""",
        encoding="utf-8",
    )
    program = _environment(cache, "wsgidav", _WSGIDAV) / "wsgidav"
    return launch("wsgidav", label, place, [str(program), f"--config={config}"])


# -- copyparty --------------------------------------------------------------------------------------------------------


def _get_copyparty(cache: Path) -> str:
    _environment(cache, "copyparty", _COPYPARTY)
    return _COPYPARTY[0].replace("==", " ")


def _start_copyparty(cache: Path, place: Place, label: str) -> Server:
    """Indexed (-e2dsa) and deduplicating; --daw lets a PUT replace a file, as WebDAV clients expect."""
    program = _environment(cache, "copyparty", _COPYPARTY) / "copyparty"
    state = place.folder / "state"
    state.mkdir()
    command = [
        str(program), "-q", "-i", HOST, "-p", str(place.port), "--http-only", "-a", f"{USER}:{PASSWORD}",
        "-v", f"{place.files}::A,{USER}", "-e2dsa", "--dedup", "--daw", "--dav-auth", "--hist", str(state / "hist"),
    ]  # fmt: skip
    return launch("copyparty", label, place, command, environment={"HOME": str(state), "LC_ALL": "C.UTF-8"})


# -- rclone -----------------------------------------------------------------------------------------------------------


def _get_rclone(_: Path) -> str:
    done = subprocess.run([installed("rclone", "rclone"), "version"], capture_output=True, text=True, check=False)
    return done.stdout.partition("\n")[0].strip() or "rclone"


def _start_rclone(_: Path, place: Place, label: str) -> Server:
    """`rclone serve webdav` over a folder; it hashes the password with MD5-crypt by itself."""
    command = [
        installed("rclone", "rclone"), "serve", "webdav", str(place.files), "--addr", f"{HOST}:{place.port}",
        "--user", USER, "--pass", PASSWORD, "--config", "/dev/null", "--cache-dir", str(place.folder / "cache"),
    ]  # fmt: skip
    return launch("rclone", label, place, command)


# -- Apache -----------------------------------------------------------------------------------------------------------

_APACHE = """\
ServerRoot {root}
ServerName {host}
Listen {host}:{port}
PidFile {folder}/httpd.pid
{modules}
{identity}
TypesConfig {types}
ErrorLog {folder}/error.log
LogFormat "%h %l %u %t \\"%r\\" %>s %O" common
CustomLog {folder}/access.log common
KeepAlive On
# A connection of this benchmark carries thousands of requests; Debian closes it after 100.
MaxKeepAliveRequests 0
DavLockDB {folder}/state/locks
LimitRequestBody 0
DocumentRoot {files}
<Directory {files}>
  Dav On
  AllowOverride None
  AuthType Basic
  AuthName files
  AuthUserFile {folder}/htpasswd
  Require valid-user
</Directory>
"""
_MODULES = (
    "mpm_event", "authn_core", "authn_file", "authz_core", "authz_user", "auth_basic", "mime", "reqtimeout", "dav",
    "dav_fs",
)  # fmt: skip
_MODULES_AT = (Path("/usr/lib/apache2"), Path("/usr/lib64/httpd"), Path("/etc/httpd"))


def _apache() -> str:
    # Debian's package of the programs alone: it starts no service.
    return installed("apache2-bin", "apache2", "httpd")


def _get_apache(_: Path) -> str:
    done = subprocess.run([_apache(), "-v"], capture_output=True, text=True, check=False)
    found = done.stdout.partition("Apache/")[2].split()
    return f"Apache {found[0] if found else ''} mod_dav, event MPM"


def _start_apache(_: Path, place: Place, label: str) -> Server:
    program = _apache()
    root = next((each for each in _MODULES_AT if (each / "modules" / "mod_dav.so").exists()), None)
    if root is None:
        raise NotAvailable("Apache has no mod_dav here")
    state = place.folder / "state"
    state.mkdir()
    identity = ""
    if os.geteuid() == 0:
        identity = "User www-data\nGroup www-data" if _has_user("www-data") else "User nobody\nGroup nogroup"
        for folder in (place.files, state):
            shutil.chown(folder, identity.split()[1], identity.split()[3])
    types = Path("/etc/mime.types")
    if not types.exists():
        types = place.folder / "mime.types"
        types.write_text("application/octet-stream bin\n", encoding="ascii")
    hashed = apr_md5_crypt.hash(PASSWORD)
    (place.folder / "htpasswd").write_text(f"{USER}:{hashed}\n", encoding="ascii")
    config = place.folder / "apache.conf"
    config.write_text(
        _APACHE.format(
            root=root,
            host=HOST,
            port=place.port,
            folder=place.folder,
            files=place.files,
            types=types,
            identity=identity,
            modules="\n".join(f"LoadModule {name}_module modules/mod_{name}.so" for name in _MODULES),
        ),
        encoding="utf-8",
    )
    return launch("apache", label, place, [program, "-f", str(config), "-DFOREGROUND"])


def _has_user(name: str) -> bool:
    return any(line.startswith(f"{name}:") for line in Path("/etc/passwd").read_text(encoding="utf-8").splitlines())


# -- SFTPGo -----------------------------------------------------------------------------------------------------------


def _get_sftpgo(_: Path) -> str:
    program = shutil.which("sftpgo")
    if program is None:
        raise NotAvailable("sftpgo is not on the path; docs/performance.md says how it is built")
    _sftpgo_templates()
    done = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    return done.stdout.strip().partition("\n")[0] or "SFTPGo"


def _sftpgo_templates() -> Path:
    """It does not start without them. They lie in the checkout it was built in, or where packages put them."""
    beside = Path(shutil.which("sftpgo") or "sftpgo").resolve().parent
    for folder in (beside, Path("/usr/share/sftpgo")):
        if (folder / "templates").is_dir():
            return folder / "templates"
    raise NotAvailable("sftpgo has no folder `templates` beside it, nor in /usr/share/sftpgo")


def _start_sftpgo(_: Path, place: Place, label: str) -> Server:
    """WebDAV alone, SQLite as its database, one user."""
    (place.folder / "templates").symlink_to(_sftpgo_templates())
    users = place.folder / "users.json"
    users.write_text(
        f'{{"users":[{{"id":1,"username":"{USER}","password":"{PASSWORD}","status":1,"home_dir":"{place.files}",'
        '"permissions":{"/":["*"]},"filesystem":{"provider":0}}],"version":16}',
        encoding="utf-8",
    )
    environment = {
        "SFTPGO_SFTPD__BINDINGS__0__PORT": "0",
        "SFTPGO_HTTPD__BINDINGS__0__PORT": "0",
        "SFTPGO_WEBDAVD__BINDINGS__0__PORT": str(place.port),
        "SFTPGO_WEBDAVD__BINDINGS__0__ADDRESS": HOST,
        # Everything comes from one address here.
        "SFTPGO_COMMON__MAX_PER_HOST_CONNECTIONS": "0",
    }
    command = [
        shutil.which("sftpgo") or "sftpgo", "serve", "-c", str(place.folder), "--loaddata-from", str(users),
        "--log-file-path", "", "--log-level", "warn",
    ]  # fmt: skip
    return launch("sftpgo", label, place, command, environment=environment)


PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        Peer("apache", _get_apache, _start_apache),
        Peer("rclone", _get_rclone, _start_rclone),
        Peer("copyparty", _get_copyparty, _start_copyparty),
        Peer("wsgidav", _get_wsgidav, _start_wsgidav),
        Peer("sftpgo", _get_sftpgo, _start_sftpgo),
    )
}
