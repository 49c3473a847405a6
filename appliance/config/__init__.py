"""The configuration of a run: checked settings from the command line, the environment, a YAML file and defaults.

Only this package reads the environment and YAML. It checks each value by itself and the few that depend on each
other; whether a folder can be written or a port is free is found out by whoever uses it. Nothing here keeps state.
"""

from __future__ import annotations

from appliance.config.setting import PREFIX, Address, BlobPlace, DatabasePlace, Network, Setting, usable_cores
from appliance.config.sources import load
from appliance.config.table import BY_NAME, TABLE, Settings
from appliance.config.testing import fault
from appliance.config.values import blob_place, database_place

__all__ = [
    "BY_NAME",
    "PREFIX",
    "TABLE",
    "Address",
    "BlobPlace",
    "DatabasePlace",
    "Network",
    "Setting",
    "Settings",
    "blob_place",
    "database_place",
    "fault",
    "load",
    "usable_cores",
]
