"""The command ``holdfast`` with small packs, and under the name of another boot: ``launch.py BYTES BOOT ARGUMENTS…``.

A file of several packs then needs few megabytes of trace, and a start takes the machine for one that went down. A 0
and an empty name leave things as they are. Made for subprocesses: everything set here holds in the servers' workers.
"""

from __future__ import annotations

import sys

from appliance.chunks import packing
from appliance.cli.main import main
from appliance.upkeep import durable

if __name__ == "__main__":
    pack_size, boot, *arguments = sys.argv[1:]
    packing.PACK_SIZE = int(pack_size) or packing.PACK_SIZE
    if boot:
        durable.current_boot = lambda: boot
    raise SystemExit(main(arguments))
