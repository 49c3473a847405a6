"""The program, with leases that are renewed all the time: writers follow the epochs of prune at once."""

from __future__ import annotations

import sys

from appliance.chunks import writers

writers.RENEW_S = 0.3  # type: ignore[misc]

from appliance.cli.main import main  # noqa: E402 (it reads the time above when it is imported)

sys.exit(main())
