from itertools import product

import pytest
from fakechecks import ABSENT, BAD, DOOMED, GOOD, POOR, VAGUE

from preflight.check import ADVISORY, BLOCKING, UNLESS_EMULATED, Weight
from preflight.report import Mode
from preflight.result import Outcome, Result, Status
from preflight.verdict import judge, mode_of, passed

PASSES = True
FAILS = False

# What a weight makes of an outcome: (without emulation, with emulation).
TABLE = {
    (GOOD, BLOCKING): ((Status.PASS, PASSES), (Status.PASS, PASSES)),
    (GOOD, UNLESS_EMULATED): ((Status.PASS, PASSES), (Status.PASS, PASSES)),
    (GOOD, ADVISORY): ((Status.PASS, PASSES), (Status.PASS, PASSES)),
    (POOR, BLOCKING): ((Status.WARN, PASSES), (Status.WARN, PASSES)),
    (POOR, UNLESS_EMULATED): ((Status.WARN, PASSES), (Status.WARN, PASSES)),
    (POOR, ADVISORY): ((Status.WARN, PASSES), (Status.WARN, PASSES)),
    (ABSENT, BLOCKING): ((Status.SKIP, PASSES), (Status.SKIP, PASSES)),
    (ABSENT, UNLESS_EMULATED): ((Status.SKIP, PASSES), (Status.SKIP, PASSES)),
    (ABSENT, ADVISORY): ((Status.SKIP, PASSES), (Status.SKIP, PASSES)),
    (BAD, BLOCKING): ((Status.FAIL, FAILS), (Status.FAIL, FAILS)),
    (BAD, UNLESS_EMULATED): ((Status.FAIL, FAILS), (Status.WARN, PASSES)),
    (BAD, ADVISORY): ((Status.WARN, PASSES), (Status.WARN, PASSES)),
    (DOOMED, BLOCKING): ((Status.FAIL, FAILS), (Status.FAIL, FAILS)),
    (DOOMED, UNLESS_EMULATED): ((Status.FAIL, FAILS), (Status.FAIL, FAILS)),
    (DOOMED, ADVISORY): ((Status.FAIL, FAILS), (Status.FAIL, FAILS)),
    (VAGUE, BLOCKING): ((Status.UNKNOWN, FAILS), (Status.UNKNOWN, FAILS)),
    (VAGUE, UNLESS_EMULATED): ((Status.UNKNOWN, FAILS), (Status.WARN, PASSES)),
    (VAGUE, ADVISORY): ((Status.UNKNOWN, PASSES), (Status.UNKNOWN, PASSES)),
}


def test_the_table_is_complete() -> None:
    assert set(TABLE) == set(product((GOOD, POOR, ABSENT, BAD, DOOMED, VAGUE), Weight))


@pytest.mark.parametrize("use_emulation", [False, True])
@pytest.mark.parametrize(("outcome", "weight"), TABLE)
def test_a_weight_judges_an_outcome(outcome: Outcome, weight: Weight, use_emulation: bool) -> None:
    finding = outcome("message", hint="hint", evidence={"a": "b"})
    status, lets_pass = TABLE[outcome, weight][use_emulation]
    assert judge("KVM", weight, finding, 0.5, use_emulation=use_emulation, ignored=["CPU"]) == Result(
        "KVM", status, lets_pass, outcome.reason, "message", "hint", {"a": "b"}, 0.5
    )


@pytest.mark.parametrize("use_emulation", [False, True])
@pytest.mark.parametrize(("outcome", "weight"), TABLE)
def test_an_ignored_check_passes_and_is_shown_as_warn_at_most(
    outcome: Outcome, weight: Weight, use_emulation: bool
) -> None:
    result = judge("KVM", weight, outcome("message"), 0.5, use_emulation=use_emulation, ignored=["KVM"])
    bad = outcome.status in (Status.FAIL, Status.UNKNOWN)
    assert result.status is (Status.WARN if bad else outcome.status)
    assert result.passed
    assert result.reason == outcome.reason


@pytest.mark.parametrize(
    ("kvm", "emulation", "use_emulation", "mode"),
    [
        (None, GOOD, True, None),
        (GOOD, None, False, Mode.HARDWARE),
        (GOOD, DOOMED, True, Mode.HARDWARE),
        (POOR, None, True, Mode.HARDWARE),
        (BAD, None, False, Mode.NONE),
        (BAD, GOOD, False, Mode.NONE),
        (BAD, GOOD, True, Mode.EMULATION),
        (BAD, BAD, True, Mode.EMULATION),
        (BAD, VAGUE, True, Mode.EMULATION),
        (BAD, None, True, Mode.EMULATION),
        (BAD, DOOMED, True, Mode.NONE),
        (VAGUE, GOOD, True, Mode.EMULATION),
        (VAGUE, GOOD, False, Mode.NONE),
        (ABSENT, GOOD, True, Mode.EMULATION),
        (ABSENT, GOOD, False, Mode.NONE),
    ],
)
def test_the_mode(
    kvm: Outcome | None, emulation: Outcome | None, use_emulation: bool, mode: Mode | None
) -> None:
    found = {"KVM": kvm, "Emulation": emulation, "Tun": BAD}
    findings = {name: outcome("m") for name, outcome in found.items() if outcome is not None}
    assert mode_of(findings, use_emulation=use_emulation) is mode


def test_a_node_passes_when_every_result_lets_it() -> None:
    good = judge("A", BLOCKING, GOOD("m"), 0.0)
    bad = judge("B", BLOCKING, BAD("m"), 0.0)
    assert passed([good])
    assert not passed([good, bad])
    assert not passed([bad])


def test_nothing_asked_is_no_pass() -> None:
    assert not passed([])
