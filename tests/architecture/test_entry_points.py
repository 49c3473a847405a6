"""dev.py, make and CI are the same commands, and start on a machine with nothing but Python."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import dev
from tests.server import programs

ROOT = Path(__file__).parents[2]


def test_dev_needs_nothing_but_the_standard_library() -> None:
    """It is what installs everything else; an older Python must get as far as the sentence that says so."""
    source = (ROOT / "dev.py").read_text(encoding="utf-8")
    tree = ast.parse(source, feature_version=(3, 8))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names


def test_make_has_the_verbs_of_dev() -> None:
    """Both ways lead to the same."""
    phony = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert phony[0].split() == list(dev.VERBS)
    assert all(re.search(rf"^  {verb}  ", dev.__doc__ or "", re.MULTILINE) for verb in dev.VERBS)


def test_ci_runs_the_test_command() -> None:
    """CI is the developer's command and nothing beside it."""
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text(encoding="utf-8").splitlines()[-1] == 'exec python3 dev.py test "$@"'


@pytest.mark.parametrize(("args", "code"), [([], 2), (["tset"], 2), (["--help"], 0)])
def test_dev_called_wrongly_shows_its_verbs(args: list[str], code: int) -> None:
    """A mistake is answered with the usage, and installs nothing."""
    done = subprocess.run(
        [sys.executable, ROOT / "dev.py", *args], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == code
    assert "usage: python3 dev.py VERB" in (done.stderr if code else done.stdout)


def test_dev_without_ensurepip_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Debian's Python has no ensurepip until a package is installed."""
    monkeypatch.setattr(dev, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    with pytest.raises(SystemExit) as stopped:
        dev.environment()
    assert stopped.value.code == 2
    assert list(tmp_path.iterdir()) == []


def test_dev_takes_only_a_whole_environment(tmp_path: Path) -> None:
    """A Python that an interrupted run left without its configuration would install into the system."""
    assert dev.works(Path(sys.prefix))
    assert not dev.works(tmp_path)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(Path(sys.executable).resolve())
    assert not dev.works(tmp_path)


def test_dev_hides_the_settings_of_a_real_server_from_tests(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nobody's data is met by a test because a variable was set."""
    monkeypatch.setenv("HOLDFAST_DATA", "/srv/real")
    monkeypatch.setenv("HOLDFAST_TEST_POSTGRESQL", "kept")
    variables = dev.variables(tmp_path)
    assert "HOLDFAST_DATA" not in variables
    assert variables["HOLDFAST_TEST_POSTGRESQL"] == "kept"
    assert variables["PATH"].startswith(f"{tmp_path / 'bin'}{os.pathsep}")


def test_dev_lets_python_keep_what_it_compiles(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Else each of the servers and commands that tests start would compile the whole product again."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    assert "PYTHONDONTWRITEBYTECODE" not in dev.variables(tmp_path)


@pytest.mark.parametrize(
    ("results", "line", "code"),
    [
        ([dev.Result("mypy", passed=1), dev.Result("pytest", passed=7, skipped=2)], "8 passed, 0 failed, 2 skipped", 0),
        ([dev.Result("mypy", failed=1), dev.Result("pytest", passed=7)], "7 passed, 1 failed, 0 skipped", 1),
    ],
)
def test_summary_ends_with_the_sum_of_all(
    capsys: pytest.CaptureFixture[str], results: list[dev.Result], line: str, code: int
) -> None:
    """A failed check fails the run as a failed test does."""
    assert dev.summary(results) == code
    assert capsys.readouterr().out.splitlines()[-1] == line


@pytest.mark.parametrize(
    ("text", "code", "counts"),
    [
        ("def test_a(): pass\ndef test_b(): assert 0\n", 1, (1, 1, 0)),
        ("import pytest\n@pytest.mark.skip\ndef test_a(): pass\ndef test_b(): pass\n", 0, (1, 0, 1)),
        ("", 1, (0, 1, 0)),
        ("raise RuntimeError\n", 1, (0, 1, 0)),
    ],
)
def test_run_pytest_counts_what_happened(tmp_path: Path, text: str, code: int, counts: tuple[int, int, int]) -> None:
    """Failures, errors while collecting and a run without any test are all failures."""
    path = tmp_path / "test_it.py"
    path.write_text(text)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    result = dev.run_pytest(Path(sys.prefix), ["-p", "no:cacheprovider", "-c", str(tmp_path / "pytest.ini"), str(path)])
    assert (result.passed, result.failed, result.skipped) == counts
    assert dev.summary([result]) == code


def test_dev_finds_programs_that_it_has_unpacked(tmp_path: Path) -> None:
    """Where the tests look for them too; their packages are never installed, since that starts services."""
    program = tmp_path / dev.UNPACKED / "usr" / "sbin" / "not-on-this-machine"
    tool = dev.Tool("not-on-this-machine", "none", "tests of nothing", unpacked=True)
    assert not tool.found(tmp_path)
    program.parent.mkdir(parents=True)
    program.touch(mode=0o755)
    assert tool.found(tmp_path)
    assert {tool.command for tool in dev.TOOLS if tool.unpacked} == {"nginx", "caddy", "varnishd"}
    assert Path(sys.prefix, dev.UNPACKED, "usr") == programs.UNPACKED
    assert Path(sys.prefix, dev.NODE_CLIENTS, "node_modules") == programs.NODE_MODULES
