"""``python -m tests.fuzz.guided TARGET FOLDER SECONDS``: coverage-guided fuzzing of one target, in its own process.

FOLDER holds the corpus; an input that breaks the target is written to it and printed.
"""

from __future__ import annotations

import sys
from pathlib import Path

import atheris  # type: ignore[import-not-found,import-untyped,unused-ignore]

with atheris.instrument_imports(include=["providers", "appliance"]):
    from tests.fuzz.targets import TARGETS


def main() -> None:
    """Does not return: libFuzzer ends the process."""
    name, folder, seconds = sys.argv[1:]
    target = TARGETS[name]
    corpus = Path(folder)
    for number, seed in enumerate(target.seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    options = [f"-max_total_time={seconds}", "-max_len=4096", "-timeout=10", "-rss_limit_mb=2048"]
    atheris.Setup([sys.argv[0], *options, f"-artifact_prefix={folder}/", folder], target.check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
