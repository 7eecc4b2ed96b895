"""The contract of a check: a function of the host, and data about it that can be listed without running it.

The decorator attaches data and registers nothing: a check is found through an entry point, so import order
never matters and a plugin is written exactly as the built-in checks are.
"""

from collections.abc import Callable, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from preflight.host import Host
from preflight.result import Finding, Outcome

Threshold = int | str
"""What a check's setting can hold, in a configuration file and in the check."""


class Weight(StrEnum):
    """What a Fail or Unknown of a check does to the node's verdict."""

    BLOCKING = "blocking"
    UNLESS_EMULATED = "unless-emulated"
    ADVISORY = "advisory"


BLOCKING = Weight.BLOCKING
UNLESS_EMULATED = Weight.UNLESS_EMULATED
ADVISORY = Weight.ADVISORY


class Setting(NamedTuple):
    """A threshold of a check that its users can set under ``[checks.NAME]``.

    Attributes:
        name: The TOML key, with its unit in the name (``minimum_bytes``).
        default: The value where nothing is configured; also fixes the type.
        description: One sentence for `checks explain` and the reference page.
        minimum: The least valid value of an integer setting.
        pattern: Regular expression that a text setting matches as a whole.
    """

    name: str
    default: Threshold
    description: str
    minimum: int | None = None
    pattern: str | None = None


class Run(NamedTuple):
    """What a check may know of the run that it is part of.

    Attributes:
        use_emulation: VMs may run under software emulation on this node.
        findings: What the checks named in ``needs`` and ``after`` found.
        settings: This check's settings, complete (defaults filled in).
        previous: What this check found when it was asked last by the same process, None where it was not: for
            what takes long, and cannot have changed as long as what it depends on has not.
    """

    use_emulation: bool = False
    findings: Mapping[str, Finding] = MappingProxyType({})
    settings: Mapping[str, Threshold] = MappingProxyType({})
    previous: Finding | None = None

    def number(self, setting: Setting) -> int:
        """Returns the value in force of a setting that is a whole number."""
        return int(self.settings.get(setting.name, setting.default))

    def text(self, setting: Setting) -> str:
        """Returns the value in force of a setting that is text."""
        return str(self.settings.get(setting.name, setting.default))


CheckFunction = Callable[[Host, Run], Finding]


class Check(NamedTuple):
    """A check: its declaration and its function.

    Attributes:
        name: CamelCase name; the feature name in VMRuntime's summary.
        weight: Default weight.
        outcomes: Every outcome that the function can return: its closed list of reasons.
        function: The function that asks.
        question: First line of the function's module documentation, as one question.
        reads: What is read, for people: paths, ioctls.
        source: Where the facts come from: kernel document, man page, KEP.
        timeout: Seconds the check may take.
        needs: Checks without whose success this one cannot run; it is skipped as ``DependencyFailed``.
        after: Checks whose finding this one takes into account, whatever it is.
        settings: Thresholds that users can set.
        description: Why it is asked, in paragraphs: what follows the question in the module's documentation.
        open_reasons: An outcome may come with a reason that is not declared: an executable words its own.
    """

    name: str
    weight: Weight
    outcomes: tuple[Outcome, ...]
    function: CheckFunction
    question: str
    reads: tuple[str, ...]
    source: str
    timeout: float = 5.0
    needs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    settings: tuple[Setting, ...] = ()
    description: str = ""
    open_reasons: bool = False

    def __call__(self, host: Host, run: Run) -> Finding:
        """Asks the host."""
        return self.function(host, run)

    def declared(self, outcome: Outcome) -> Outcome | None:
        """Returns what an outcome is declared as: itself, or with `open_reasons` the first of its status."""
        if outcome in self.outcomes:
            return outcome
        if self.open_reasons:
            return next((one for one in self.outcomes if one.status is outcome.status), None)
        return None


def check(
    name: str,
    *,
    question: str,
    weight: Weight,
    outcomes: tuple[Outcome, ...],
    reads: tuple[str, ...],
    source: str,
    timeout: float = 5.0,
    needs: tuple[str, ...] = (),
    after: tuple[str, ...] = (),
    settings: tuple[Setting, ...] = (),
) -> Callable[[CheckFunction], Check]:
    """Makes a `Check` of a function; see `Check` for the arguments."""

    def attach(function: CheckFunction) -> Check:
        return Check(
            name=name,
            weight=weight,
            outcomes=outcomes,
            function=function,
            question=question,
            reads=reads,
            source=source,
            timeout=timeout,
            needs=needs,
            after=after,
            settings=settings,
            description=_paragraphs(function),
        )

    return attach


def _paragraphs(function: CheckFunction) -> str:
    """Returns what follows the first paragraph of the documentation of a function's module."""
    document: str | None = getattr(function, "__globals__", {}).get("__doc__")
    return (document or "").partition("\n\n")[2].strip()
