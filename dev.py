#!/usr/bin/env python3
"""The project's commands, for a machine with nothing but Python 3.11.

usage: python3 dev.py VERB [arguments]

  setup   install the product and all that its tests need
  run     install the product at need, then `holdfast serve` with the arguments
  test    setup, check, then pytest with the arguments; the last line counts all of it
  check   lint, format, types and the order of imports
  fix     repair what the linter and the formatter can repair
  soak    the long tests: big files, big trees, long loads; the server's on two nodes
  bench   the benchmarks, with the arguments

An active virtual environment is used as it is. Without one, .venv is made beside this file. The checkout is installed
in place, so a change of the code needs no new installation; nothing is written outside the two but temporary files.
Two exceptions: setup, test and soak, started by root on Debian or Ubuntu, install the programs that the tests drive,
and where there is Go they build S3 servers and a newer rclone in ~/.cache/holdfast-tests.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent


# Debian keeps these out of the path: PostgreSQL's programs, one folder a version, and what others start for a user.
ELSEWHERE = ("/usr/lib/postgresql/*/bin", "/usr/libexec", "/usr/lib/gvfs", "/usr/sbin", "/sbin")
# In an environment: programs of packages that were unpacked and not installed, and clients that are no programs.
UNPACKED = "holdfast-tools"
NODE_CLIENTS = "holdfast-clients"
NODE_PACKAGES = (("webdav", "5"), ("tus-js-client", "4"))
# Kept between runs, since it takes minutes to build.
BUILT = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "holdfast-tests"


@dataclass(frozen=True)
class Tool:
    """A program that tests drive; ``used_for`` completes "without it there are no …". What is ``unpacked`` is not
    installed, since its package starts a service on all addresses; ``built``: by that script in tests/support.
    """

    command: str
    package: str
    used_for: str
    unpacked: bool = False
    built: str = ""

    def found(self, folder: Path) -> bool:
        """Whether it is on this machine, or in the environment."""
        places = [*(str(folder / UNPACKED / "usr" / name) for name in ("bin", "sbin")), str(BUILT / "bin")]
        return shutil.which(self.command) is not None or any(
            path.exists() for place in (*ELSEWHERE, *places) for path in Path("/").glob(f"{place}/{self.command}"[1:])
        )


TOOLS = (
    Tool("litmus", "litmus", "WebDAV conformance suites"),
    Tool("cadaver", "cadaver", "tests with cadaver"),
    Tool("rclone", "rclone", "tests with rclone"),
    Tool("curl", "curl", "tests with curl"),
    Tool("pg_ctl", "postgresql", "tests on PostgreSQL"),
    Tool("chromium", "chromium", "tests of the web panel in a browser"),
    Tool("strace", "strace", "power-loss tests"),
    Tool("mount.davfs", "davfs2", "tests with davfs2"),
    Tool("fusermount3", "fuse3", "tests with rclone's mount"),
    Tool("dbus-daemon", "dbus-daemon", "tests with gvfs and KIO"),
    Tool("gio", "libglib2.0-bin", "tests with gvfs"),
    Tool("gvfsd-dav", "gvfs-backends", "tests with gvfs"),
    # Its dependency kio is what speaks WebDAV.
    Tool("kioclient", "kde-cli-tools", "tests with KIO"),
    Tool("nginx", "nginx", "tests behind nginx", unpacked=True),
    Tool("haproxy", "haproxy", "tests of nodes behind a balancer"),
    Tool("varnishd", "varnish libvarnishapi3 libjemalloc2", "tests behind Varnish", unpacked=True),
    Tool("caddy", "caddy", "tests behind Caddy", unpacked=True),
    Tool("minio", "minio", "tests on S3 with MinIO", built="build_s3.py"),
    Tool("versitygw", "versitygw", "tests on S3 with versitygw", built="build_s3.py"),
    Tool("rclone-tus", "rclone 1.70 or newer", "tests with rclone's uploads by tus", built="build_rclone.py"),
)


@dataclass
class Result:
    """One line of the summary; a check counts as one test that passed or failed."""

    name: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0


def stop(problem: str) -> NoReturn:
    """End with one line for a person."""
    print(f"dev.py: {problem}", file=sys.stderr)
    raise SystemExit(2)


# ---------------------------------------------------------------------------------------------------- environment


def environment() -> Path:
    """The folder of the virtual environment in use; made if there is none."""
    if sys.prefix != sys.base_prefix:
        return Path(sys.prefix)
    folder = ROOT / ".venv"
    if works(folder):
        return folder
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        stop(
            f"this Python cannot make virtual environments; install its venv module "
            f"(Debian, Ubuntu: apt-get install python{version}-venv) or activate an environment, then try again"
        )
    print(f"dev.py: making the virtual environment {folder}", flush=True)
    # --clear: what an interrupted run left behind is not repaired but replaced.
    if subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], check=False).returncode != 0:
        stop(f"could not make {folder}; the reason stands above")
    return folder


def works(folder: Path) -> bool:
    """Whether this is a whole environment: its Python starts, is new enough, finds pip and installs in here."""
    python = folder / "bin" / "python"
    if not python.exists():
        return False
    probe = "import pip, os, sys; sys.exit(sys.version_info < (3, 11) or not os.path.samefile(sys.prefix, sys.argv[1]))"
    return subprocess.run([python, "-c", probe, str(folder)], check=False, capture_output=True).returncode == 0


def install(extra: str = "") -> Path:
    """Install the checkout in place, unless this very pyproject.toml is installed already. Returns the environment.

    Later starts therefore need no network.
    """
    folder = environment()
    python = folder / "bin" / "python"
    stamps = {name: folder / f".holdfast-{name or 'product'}" for name in ("", "dev")}
    wanted = hashlib.sha256(f"{ROOT}\n{sys.version}\n".encode() + (ROOT / "pyproject.toml").read_bytes()).hexdigest()
    enough = ["dev"] if extra else ["", "dev"]
    if (folder / "bin" / "holdfast").exists() and any(read(stamps[name]) == wanted for name in enough):
        return folder
    what = f"{ROOT}[{extra}]" if extra else str(ROOT)
    print(f"dev.py: installing {what} into {folder}", flush=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--no-input", "--no-cache-dir"]
    if subprocess.run([*pip, "--disable-pip-version-check", "--editable", what], check=False).returncode != 0:
        stop("could not install; pip's reason stands above")
    stamps[extra].write_text(wanted)
    return folder


def read(path: Path) -> str:
    """The text of a small file, empty if there is none."""
    return path.read_text() if path.exists() else ""


def install_fuzzer(folder: Path) -> None:
    """What guides fuzzing by coverage, where there is a build of it; elsewhere those tests are skipped."""
    python = str(folder / "bin" / "python")
    if subprocess.run([python, "-c", "import atheris"], check=False, stderr=subprocess.DEVNULL).returncode == 0:
        return
    command = [python, "-m", "pip", "install", "--quiet", "--no-input", "--only-binary", ":all:", "atheris>=2.3,<4"]
    if subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode != 0:
        print("dev.py: atheris is not to be had, so fuzzing guided by coverage is skipped", flush=True)


def install_node_clients(folder: Path) -> None:
    """The libraries that web programs use, where there is Node.js; elsewhere their tests are skipped."""
    target = folder / NODE_CLIENTS
    missing = [f"{name}@{version}" for name, version in NODE_PACKAGES if not (target / "node_modules" / name).is_dir()]
    if not missing or not shutil.which("node") or not shutil.which("npm"):
        return
    target.mkdir(exist_ok=True)
    options = ("--prefix", str(target), "--no-audit", "--no-fund", "--loglevel=error")
    for package in missing:
        if subprocess.run(["npm", "install", *options, package], check=False, cwd=target).returncode != 0:
            print(f"dev.py: {package} is not to be had from npm, so tests with it are skipped", flush=True)


def build_tools(folder: Path) -> None:
    """Programs that are in no package, where there is Go; elsewhere what stands in for them, or nothing."""
    for script in ("build_s3.py", "build_rclone.py"):
        names = [tool.command for tool in TOOLS if tool.built == script and not tool.found(folder)]
        subprocess.run([folder / "bin/python", ROOT / "tests/support" / script, BUILT, *names], check=False)


def install_tools(folder: Path) -> None:
    """What the tests drive: root on Debian or Ubuntu gets it, everybody else is told."""
    install_node_clients(folder)
    build_tools(folder)
    missing = [tool for tool in TOOLS if not tool.built and not tool.found(folder)]
    if missing and os.geteuid() == 0 and shutil.which("apt-get") and Path("/etc/debian_version").exists():
        updated = apt_get("update")
        packages = [tool.package for tool in missing if not tool.unpacked]
        # Together is faster; if one of them is not to be had, the others are still wanted.
        if packages and not (updated and apt_get("install", *packages)):
            for package in packages:
                apt_get("install", package)
        unpack([name for tool in missing if tool.unpacked for name in tool.package.split()], folder / UNPACKED)
    report_missing_tools(folder)


def unpack(packages: list[str], target: Path) -> None:
    """Their files below ``target``; none of their scripts is run, so nothing is started."""
    for package in packages:
        with tempfile.TemporaryDirectory() as scratch:
            apt_get("download", package, cwd=scratch)
            for archive in Path(scratch).glob("*.deb"):
                subprocess.run(["dpkg-deb", "-x", str(archive), str(target)], check=False)


def apt_get(verb: str, *packages: str, cwd: str | None = None) -> bool:
    """Whether it succeeded; its warnings are shown."""
    print(f"dev.py: apt-get {verb} {' '.join(packages)}", flush=True)
    options = ["-qq", "-y", "--no-install-recommends"] if verb == "install" else ["-qq"]
    # As root it cannot hand a folder of root's to the user that usually downloads; it says so each time.
    options += ["-o", "APT::Sandbox::User=root"] if verb == "download" else []
    return (
        subprocess.run(
            ["apt-get", *options, verb, *packages],
            check=False,
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
        ).returncode
        == 0
    )


def report_missing_tools(folder: Path) -> None:
    """One line for each tool that is not there."""
    for tool in TOOLS:
        if not tool.found(folder):
            print(f"dev.py: {tool.package} is not installed, so {tool.used_for} are skipped", flush=True)


def variables(folder: Path) -> dict[str, str]:
    """The environment of checks and tests: the installed programs come first in the path.

    Settings of a server that runs here for real are left out, so that no test can meet its data. And Python keeps what
    it compiles, wherever the machine says otherwise: the tests start it a thousand times.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if name != "PYTHONDONTWRITEBYTECODE" and (not name.startswith("HOLDFAST_") or name.startswith("HOLDFAST_TEST_"))
    }
    return {**kept, "VIRTUAL_ENV": str(folder), "PATH": f"{folder / 'bin'}{os.pathsep}{kept.get('PATH', os.defpath)}"}


def execute(folder: Path, *command: str) -> int:
    """Exit code of a program of the environment, started in the checkout."""
    program = str(folder / "bin" / command[0])
    return subprocess.run([program, *command[1:]], cwd=ROOT, env=variables(folder), check=False).returncode


# --------------------------------------------------------------------------------------------------------- verbs


def run_check(folder: Path) -> list[Result]:
    """All checks, also after one has failed."""
    checks = {
        "ruff": ["ruff", "check", "."],
        "format": ["ruff", "format", "--check", "."],
        "mypy": ["mypy"],
        "imports": ["lint-imports", "--no-logo"],
    }
    results = []
    for name, command in checks.items():
        print(f"== {name}", flush=True)
        began = time.monotonic()
        passed = execute(folder, *command) == 0
        results.append(Result(name, int(passed), int(not passed), seconds=time.monotonic() - began))
    return results


def run_pytest(folder: Path, args: list[str], name: str = "pytest") -> Result:
    """The counts come from pytest's own report; a run that executed no test counts as one failure."""
    print(f"== {name}", flush=True)
    began = time.monotonic()
    result = Result(name)
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.xml"
        code = execute(folder, "python", "-m", "pytest", f"--junit-xml={report}", *args)
        if report.exists():
            for suite in ET.parse(report).getroot().iter("testsuite"):  # noqa: S314 (pytest wrote it just now)
                result.failed += int(suite.get("failures", 0)) + int(suite.get("errors", 0))
                result.skipped += int(suite.get("skipped", 0))
                result.passed += int(suite.get("tests", 0))
            # A test that passed and failed in its teardown is one test and one error.
            result.passed = max(0, result.passed - result.failed - result.skipped)
    if code != 0 and not result.failed:
        result.failed = 1
    result.seconds = time.monotonic() - began
    return result


def summary(results: list[Result]) -> int:
    """Print all results, the sum in the last line. Returns the exit code."""
    print("== summary")
    for result in results:
        counts = f"{result.passed} passed, {result.failed} failed, {result.skipped} skipped"
        print(f"{result.name:10} {counts} in {result.seconds:.0f} s")
    report_missing_tools(environment())
    passed, failed, skipped = (sum(getattr(r, key) for r in results) for key in ("passed", "failed", "skipped"))
    print(f"{passed} passed, {failed} failed, {skipped} skipped", flush=True)
    return 1 if failed else 0


def parallel(args: list[str]) -> list[str]:
    """Two processes more than cores, as tests wait a lot; each file of tests in one, in the order of collection."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    alone = cores == 1 or any(arg.startswith(("-n", "--numprocesses", "--pdb", "--dist", "no:xdist")) for arg in args)
    return [] if alone else ["-n", str(min(cores, 8) + 2), "--dist", "loadfile", "--no-loadscope-reorder"]


def setup(args: list[str]) -> int:
    """Everything that the other verbs need."""
    install_tools(install("dev"))
    return 0


def run(args: list[str]) -> NoReturn:
    """Become the server."""
    program = install() / "bin" / "holdfast"
    sys.stdout.flush()
    os.execv(program, [str(program), "serve", *args])


def test(args: list[str]) -> int:
    """Checks and tests, all of them, whatever fails first."""
    folder = install("dev")
    install_tools(folder)
    return summary([*run_check(folder), run_pytest(folder, [*parallel(args), *args])])


def check(args: list[str]) -> int:
    """The checks alone."""
    return 1 if any(result.failed for result in run_check(install("dev"))) else 0


def fix(args: list[str]) -> int:
    """Repair; what is left is said and makes the exit code."""
    folder = install("dev")
    left = execute(folder, "ruff", "check", "--fix", ".")
    return execute(folder, "ruff", "format", ".") or left


def soak(args: list[str]) -> int:
    """The long tests, with what they measured; without arguments, those of the server on two nodes as well."""
    folder = install("dev")
    install_tools(folder)
    install_fuzzer(folder)
    results = [run_pytest(folder, ["-m", "soak", "--timeout=0", "-raP", *parallel(args), *args], "soak")]
    if not args:
        os.environ["HOLDFAST_TEST_NODES"] = "s3"
        results.append(run_pytest(folder, [*parallel([]), "tests/server"], "two nodes"))
    return summary(results)


def bench(args: list[str]) -> int:
    """Run the package ``benchmarks``."""
    if not (ROOT / "benchmarks" / "__main__.py").exists():
        stop("this checkout has no benchmarks")
    return execute(install("dev"), "python", "-m", "benchmarks", *args)


VERBS = {verb.__name__: verb for verb in (setup, run, test, check, fix, soak, bench)}


def main(argv: list[str]) -> int:
    """Exit code of the verb; 2 for a mistake in its use."""
    if sys.version_info < (3, 11):  # noqa: UP036 (this file is what an older Python meets first)
        version = f"{sys.version_info[0]}.{sys.version_info[1]}"
        stop(f"Holdfast needs Python 3.11 or newer, and this is {version}; start it with python3.11 for example")
    if len(argv) < 2 or argv[1] not in VERBS:
        asked = len(argv) > 1 and argv[1] in ("-h", "--help", "help")
        print(__doc__, file=sys.stdout if asked else sys.stderr)
        return 0 if asked else 2
    try:
        return VERBS[argv[1]](argv[2:])
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    raise SystemExit(main(sys.argv))
