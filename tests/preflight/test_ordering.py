import pytest
from fakechecks import ABSENT, BAD, GOOD, POOR, VAGUE, fake
from hypothesis import given
from hypothesis import strategies as st

from preflight.check import ADVISORY, BLOCKING, UNLESS_EMULATED, Run, Weight
from preflight.host import Host
from preflight.ordering import closure, misconfigured, order, unmet
from preflight.outcomes import BAD_CONFIGURATION
from preflight.result import Outcome


def names(checks) -> list[str]:
    return [check.name for check in checks]


def test_weight_comes_before_name() -> None:
    checks = [
        fake("A", weight=ADVISORY),
        fake("D"),
        fake("C"),
        fake("Z", weight=UNLESS_EMULATED),
        fake("Y", weight=UNLESS_EMULATED),
    ]
    assert names(order(checks)) == ["Y", "Z", "C", "D", "A"]


def test_dependencies_come_before_weight() -> None:
    checks = [
        fake("CPU", weight=UNLESS_EMULATED, after=("KVM", "Absent")),
        fake("KVM", weight=UNLESS_EMULATED, needs=("Modules",)),
        fake("Modules", weight=ADVISORY),
        fake("Tun"),
    ]
    assert names(order(checks)) == ["Tun", "Modules", "KVM", "CPU"]


def answer_of(check) -> tuple[Outcome, str]:
    finding = check(Host(), Run())
    return finding.outcome, finding.message


def test_a_check_that_needs_one_that_is_not_there_says_so() -> None:
    ordered = order([fake("A", needs=("Nowhere",)), fake("B", needs=("A",)), fake("C")])
    assert names(ordered) == ["A", "B", "C"]
    assert answer_of(ordered[0]) == (BAD_CONFIGURATION, "it needs Nowhere, and there is no such check")
    assert answer_of(ordered[1])[0] is GOOD


def test_checks_in_a_circle_say_so_and_cost_no_other() -> None:
    ordered = order(
        [
            fake("A", needs=("B",)),
            fake("B", after=("C",)),
            fake("C", needs=("A",)),
            fake("D", after=("A",)),
            fake("E", needs=("E",)),
            fake("F"),
        ]
    )
    assert names(ordered) == ["A", "B", "C", "D", "E", "F"]
    wrong = {check.name for check in ordered if answer_of(check)[0] is BAD_CONFIGURATION}
    assert wrong == {"A", "B", "C", "E"}


weights = st.sampled_from(list(Weight))
some = st.lists(st.sampled_from("ABCDEF"), max_size=2, unique=True).map(tuple)


@given(st.dictionaries(st.sampled_from("ABCDEF"), st.tuples(weights, some, some), max_size=6))
def test_every_check_is_there_once_after_what_it_depends_on(declared) -> None:
    checks = [
        fake(name, weight=weight, needs=needs, after=after)
        for name, (weight, needs, after) in declared.items()
    ]
    ordered = order(checks)
    assert sorted(names(ordered)) == sorted(declared)
    for index, check in enumerate(ordered):
        earlier = names(ordered[:index])
        assert all(name in earlier for name in check.needs)
        assert all(name in earlier for name in check.after if name in declared)
    assert names(order(reversed(checks))) == names(ordered)


def test_the_closure_has_everything_that_is_depended_on() -> None:
    checks = [
        fake("A"),
        fake("B", needs=("A",)),
        fake("C", after=("B", "Nowhere")),
        fake("D"),
        fake("E", needs=("D",)),
    ]
    assert names(closure(checks, ["C"])) == ["A", "B", "C"]
    assert names(closure(checks, ["E", "A", "A"])) == ["A", "D", "E"]
    assert closure(checks, []) == ()


@pytest.mark.parametrize(
    ("outcome", "reason"),
    [
        (GOOD, None),
        (POOR, None),
        (BAD, "needs A, which ended as Fail (Bad)"),
        (VAGUE, "needs A, which ended as Unknown (Vague)"),
        (ABSENT, "needs A, which ended as Skip (Absent)"),
        (None, "needs A, which was not run"),
    ],
)
def test_what_a_check_needs_must_have_succeeded(outcome: Outcome | None, reason: str | None) -> None:
    findings = {"A": outcome("m")} if outcome else {}
    assert unmet(fake("B", needs=("A",)), findings) == reason
    assert unmet(fake("B", after=("A",)), findings) is None


def test_a_misconfigured_check_blocks() -> None:
    check = misconfigured("Plugin", "acme 1.0 does not load")
    assert check.weight is BLOCKING
    assert answer_of(check) == (BAD_CONFIGURATION, "acme 1.0 does not load")
    assert check.outcomes == (BAD_CONFIGURATION,)
