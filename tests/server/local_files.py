"""Real files for clients to carry: what is installed beside the tests."""

from __future__ import annotations

import shutil
import sysconfig
from pathlib import Path

ODD_NAMES = [
    "semi;colon",
    "question?mark",
    "hash#sign",
    "per%cent",
    "encoded%20space%2F",
    "amp&ersand",
    "plus+sign",
    "two  blanks",
    "quote'and\"quote",
    "Ünïcödé",
    "日本語のファイル",
    "everything ;?#%&+ at once – ß",
]


def real_files(target: Path, count: int, most_bytes: int = 1_000_000) -> list[Path]:
    """Copy files of site-packages to ``target``, in their folders; returns their relative paths."""
    source = Path(sysconfig.get_path("purelib"))
    taken: list[Path] = []
    for path in sorted(source.rglob("*")):
        if len(taken) == count:
            break
        if path.is_file() and "__pycache__" not in path.parts and path.stat().st_size <= most_bytes:
            taken.append(path.relative_to(source))
    assert len(taken) == count, f"site-packages has only {len(taken)} files"
    for relative in taken:
        (target / relative).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source / relative, target / relative)
    return taken


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder by its relative path; ``tree`` of ``listing`` without folders gives the same."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
