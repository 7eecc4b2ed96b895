"""The scenarios, a module for each architecture; each has a tuple `SCENARIOS`."""

from importlib import import_module
from pkgutil import iter_modules

from lab.scenario import Scenario

SCENARIOS: tuple[Scenario, ...] = tuple(
    scenario
    for module in sorted(found.name for found in iter_modules(__path__))
    for scenario in import_module(f"{__name__}.{module}").SCENARIOS
)
"""All of them; modules in the order of their names, scenarios in that of their module."""
