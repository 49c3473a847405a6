"""Commands on all sorts of terminals: full, closed, interrupted, of another character set."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.server.dav_client import Dav
from tests.server.running import ADMIN, HOLDFAST, Server, until


def begin(
    server: Server, *arguments: str, stdin: int = subprocess.PIPE, stdout: int = subprocess.PIPE
) -> subprocess.Popen[bytes]:
    """A command that is not waited for; what it reads and writes are pipes that stay open, unless given."""
    environment = {**server.environment(), "HOLDFAST_WORKERS": "1", "HOLDFAST_LISTEN": "127.0.0.1:0"}
    # Buffered output fails at another place than output that is not; most people's is.
    environment.pop("PYTHONUNBUFFERED", None)
    return subprocess.Popen(
        [HOLDFAST, *arguments], env=environment, cwd=server.scratch / "cwd", stdin=stdin, stdout=stdout,
        stderr=subprocess.PIPE, start_new_session=True,
        # Whoever started the tests in the background may have them ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    )  # fmt: skip


def interrupted(process: subprocess.Popen[bytes]) -> tuple[int, bytes]:
    """Exit code, as a shell shows it, and standard error after a Ctrl-C."""
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    return 130 if process.returncode == -signal.SIGINT else process.returncode, said


def maps(process: subprocess.Popen[bytes]) -> str:
    """What the process has loaded, libraries among it."""
    return Path(f"/proc/{process.pid}/maps").read_text(encoding="utf-8", errors="replace")


def has_database(process: subprocess.Popen[bytes]) -> bool:
    """Whether the process has its file open, or a connection to its server."""
    for entry in Path(f"/proc/{process.pid}/fd").iterdir():
        # It may have been closed meanwhile.
        with contextlib.suppress(FileNotFoundError):
            if os.readlink(entry).startswith("socket:") or os.readlink(entry).endswith("/holdfast.db"):
                return True
    return False


def test_interrupt_of_a_command_that_waits_is_no_traceback(server: Server) -> None:
    """Exit code 130, nothing said, nothing done."""
    process = begin(server, "user", "add", "never", "--password-stdin")
    until(lambda: has_database(process), what="the command's work")
    assert interrupted(process) == (130, b"")
    assert "never" not in server.holdfast("user", "list").stdout


@pytest.mark.parametrize("library", ["/yaml/", "/cryptography/"])
def test_interrupt_while_the_program_is_loaded_is_no_traceback(server: Server, library: str) -> None:
    """People are quick. Some libraries swallow an interrupt while they are loaded; then the command goes on."""
    process = begin(server, "user", "add", "never", "--password-stdin")
    until(lambda: library in maps(process), what="the loading")
    code, said = interrupted(process)
    assert code in (130, 2)
    assert b"Traceback" not in said
    assert b"KeyboardInterrupt" not in said


@pytest.mark.parametrize(("cause", "code", "said"), [("KeyboardInterrupt", -signal.SIGINT, 0), ("KeyError", 1, 1)])
def test_interrupt_that_python_wrapped_is_one_too(cause: str, code: int, said: int) -> None:
    """That is what becomes of one that comes while a class is made."""
    program = f"import appliance.cli\nraise RuntimeError('Error calling __set_name__') from {cause}()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("RuntimeError")) == (code, said)


def test_interrupt_of_a_server_that_does_not_serve_yet_is_no_traceback(tmp_path: Path) -> None:
    """Its data folder can be served afterwards."""
    server = Server(tmp_path)
    process = begin(server, "serve")
    until((server.data / "server.lock").exists, what="the claim on the folder")
    code, said = interrupted(process)
    assert code in (130, 0), said
    assert b"Traceback" not in said
    server.start()
    server.finish()


@pytest.mark.parametrize("typed", [b"\x04", b"a password of anna\n\x04"])
def test_end_of_input_at_the_password_prompt_is_one_line(server: Server, typed: bytes) -> None:
    """Ctrl-D, at the first prompt or the second."""
    terminal, end = pty.openpty()
    process = begin(server, "user", "add", "anna", stdin=end)
    os.close(end)
    assert process.stderr is not None
    try:
        # One at a time: the prompt forgets what was typed before it.
        for part in typed.splitlines(keepends=True):
            seen = b""
            while not seen.endswith((b"Password: ", b"Once more: ")):
                seen += process.stderr.read(1)
            os.write(terminal, part)
        _, said = process.communicate(timeout=30)
    finally:
        os.close(terminal)
    assert process.returncode == 2
    assert said.decode().split("\n")[-2:] == ["holdfast: no password was typed", ""]
    assert b"Traceback" not in said


@pytest.mark.parametrize("arguments", [("user", "list"), ("--help",), ("trash", "list", "--user", ADMIN)])
def test_output_that_cannot_be_written_is_one_line(server: Server, arguments: tuple[str, ...]) -> None:
    """A full disk is told, once; who does not want to read more is no error to speak of."""
    with open("/dev/full", "wb") as full:
        process = begin(server, *arguments, stdout=full.fileno())
        _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (1, b"holdfast: No space left on device\n")
    reading, writing = os.pipe()
    os.close(reading)
    process = begin(server, *arguments, stdout=writing)
    os.close(writing)
    _, said = process.communicate(timeout=30)
    assert (process.returncode, said) == (1, b"")


def test_closed_streams_are_no_traceback(server: Server) -> None:
    """As cron and careless scripts leave them."""
    for command, code in (
        ("user list >&-", 0), ("user add shut --password-stdin <&-", 2), ("user add shut <&-", 2),
        ("user disable nobody 2>&-", 1), ("user disable nobody 2>/dev/full", 1),
    ):  # fmt: skip
        result = subprocess.run(
            ["sh", "-c", f"{HOLDFAST} {command}"], env=server.environment(), cwd=server.scratch / "cwd",
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert (result.returncode, "Traceback" in result.stderr) == (code, False), (command, result.stderr)


def test_names_that_the_terminal_cannot_show_are_escaped(server: Server, dav: Dav, area: str) -> None:
    """Instead of an error in the middle of a table."""
    dav.ok("PUT", f"{area}caf%C3%A9", b"x")
    dav.ok("DELETE", f"{area}caf%C3%A9")
    for environment in ({"PYTHONIOENCODING": "ascii"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}):
        listed = server.holdfast("trash", "list", "--user", ADMIN, environment=environment).stdout
        assert "caf\\xe9\n" in listed or (sys.flags.utf8_mode and "café\n" in listed)
    assert "café\n" in server.holdfast("trash", "list", "--user", ADMIN, environment={"PYTHONUTF8": "1"}).stdout


def test_password_that_is_no_text_is_refused(server: Server) -> None:
    """Typed in another character set than the terminal's."""
    process = begin(server, "user", "add", "latin", "--password-stdin")
    _, said = process.communicate(b"gef\xe4hrlich\n", timeout=30)
    assert (process.returncode, len(said.splitlines())) == (2, 1)
    assert said.startswith(b"holdfast: a password ")
