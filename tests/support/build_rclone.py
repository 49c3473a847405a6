"""Builds a newer rclone than distributions have, whose WebDAV backend speaks tus: ``build_rclone.py FOLDER NAME``.

Only the backends and commands that the tests use, which takes a minute where all of them would take ten. It comes to
``FOLDER/bin`` and stays there for later runs. Started by ``dev.py`` as a program, with the standard library alone. What
cannot be had is told in one line, and is no failure.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

VERSION = "v1.74.4"
PACKAGES = ("backend/local", "backend/webdav", "cmd/copy", "cmd/obscure")
_MODULE = "github.com/rclone/rclone"


def main(folder: Path, names: list[str]) -> None:
    """Each of ``names`` is the same program."""
    if not names or not shutil.which("go"):
        return
    source = folder / "rclone-source"
    source.mkdir(parents=True, exist_ok=True)
    (source / "go.mod").write_text("module holdfast-tests\n")
    imports = "".join(f'\t_ "{_MODULE}/{package}"\n' for package in PACKAGES)
    (source / "main.go").write_text(
        f'package main\n\nimport (\n{imports}\t"{_MODULE}/cmd"\n)\n\nfunc main() {{\n\tcmd.Main()\n}}\n'
    )
    began = time.monotonic()
    for name in names:
        print(f"dev.py: building {name} with Go into {folder / 'bin'}; the first time takes some minutes", flush=True)
        wanted = [f"{_MODULE}/{package}@{VERSION}" for package in (*PACKAGES, "cmd")]
        for command in (["go", "get", *wanted], ["go", "build", "-o", str(folder / "bin" / name), "."]):
            done = subprocess.run(
                command, cwd=source, env=_variables(folder), capture_output=True, text=True, check=False
            )
            if done.returncode != 0:
                last = (done.stderr.strip().splitlines() or ["it says nothing"])[-1]
                print(f"dev.py: {name} could not be built ({last[:300]})", flush=True)
                return
        print(f"dev.py: {name} was built in {time.monotonic() - began:.0f} s", flush=True)


def _variables(folder: Path) -> dict[str, str]:
    """All that Go writes goes below the folder, and can be removed without changing its rights first."""
    return {
        **os.environ,
        "GOCACHE": str(folder / "go-build"),
        "GOPATH": str(folder / "go"),
        "GOFLAGS": "-modcacherw",
    }


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
