"""Which version of this program is installed."""

from preflight import distributions

DISTRIBUTION = "vm-preflight"


def version() -> str:
    """Returns the installed distribution's version, ``unknown`` where nothing is installed."""
    for distribution in distributions.installed():
        if distribution.name == DISTRIBUTION and distribution.version:
            return distribution.version
    return "unknown"
