"""Builds the S3 servers that tests drive and that are not there yet: ``build_s3.py FOLDER NAME…``.

They come to ``FOLDER/bin`` and stay there for later runs, with all that Go has fetched for them beside it. Where none
of them is to be had, moto's server is installed into the environment. Started by ``dev.py`` as a program, with the
standard library alone. What cannot be had is told in one line, and is no failure.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

MODULES = {
    "minio": "github.com/minio/minio@latest",
    "versitygw": "github.com/versity/versitygw/cmd/versitygw@latest",
}
MOTO = "moto[server]>=5,<6"
_TELL_EVERY_S = 20.0


def build(folder: Path, name: str) -> bool:
    """Whether it was built; shows that it goes on."""
    print(f"dev.py: building {name} with Go into {folder / 'bin'}; the first time takes some minutes", flush=True)
    began = told = time.monotonic()
    try:
        process = subprocess.Popen(
            ["go", "install", "-v", MODULES[name]],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            cwd=folder,
            env=variables(folder),
        )
    except OSError as error:
        print(f"dev.py: {name} could not be built ({error.strerror})", flush=True)
        return False
    last = ""
    with process:
        for steps, line in enumerate(process.stderr or (), 1):
            last = line.strip() or last
            if time.monotonic() > told + _TELL_EVERY_S:
                told = time.monotonic()
                print(f"dev.py: {name}, {steps} packages after {told - began:.0f} s", flush=True)
    if process.returncode != 0:
        print(f"dev.py: {name} could not be built ({last[:300]})", flush=True)
        return False
    print(f"dev.py: {name} was built in {time.monotonic() - began:.0f} s", flush=True)
    return True


def variables(folder: Path) -> dict[str, str]:
    """All that Go writes goes below the folder."""
    return {
        **os.environ,
        "GOBIN": str(folder / "bin"),
        "GOCACHE": str(folder / "go-build"),
        "GOPATH": str(folder / "go"),
        # Else nobody could remove what was fetched without changing its rights first.
        "GOFLAGS": "-modcacherw",
    }


def install_moto() -> None:
    """What stands in for a server."""
    if importlib.util.find_spec("moto") is not None:
        return
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-input", MOTO]
    if subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode != 0:
        print("dev.py: neither Go nor moto is to be had, so tests on S3 are skipped", flush=True)


def main(folder: Path, missing: list[str]) -> None:
    """One after the other: each takes all cores."""
    built = 0
    if shutil.which("go"):
        (folder / "bin").mkdir(parents=True, exist_ok=True)
        built = sum(build(folder, name) for name in missing)
    if not built and set(missing) == set(MODULES):
        install_moto()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
