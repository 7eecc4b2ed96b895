"""spec.md, section 3, *What the verdict does*: what somebody reads who creates a virtual machine.

The policy itself, with every state that there can be: `tests/deploy/test_gate.py`.
"""

import json

import pytest
from controllerlab import ControllerLab
from waiting import until

from cluster.resources import VIRTUAL_MACHINES, Resource

KINDS = pytest.mark.parametrize("kind", VIRTUAL_MACHINES, ids=lambda kind: f"{kind.group} {kind.kind}")


def create(lab: ControllerLab, kind: Resource) -> str:
    """Why kubectl could not create a virtual machine; empty where it could."""
    body = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": "vm"}}
    ended = lab.plane.run_kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(body))
    return ended.stderr if ended.returncode else ""


def refuses(lab: ControllerLab, kind: Resource, text: str) -> str:
    """Waits for a refusal with this text: a policy sees a changed VMRuntime a moment later."""

    def look() -> str | None:
        said = create(lab, kind)
        return said if text in said else None

    return until(look, f"a refusal with {text!r}")


def admits(lab: ControllerLab, kind: Resource) -> None:
    until(lambda: create(lab, kind) == "", "a virtual machine let through")


@pytest.fixture(scope="module")
def none_finished(lab: ControllerLab) -> ControllerLab:
    """Enabled; no check has finished since."""
    lab.agents.silent = {"w1", "w2"}
    lab.enable()
    lab.until(lambda: lab.summary().get("preflightCheckName"), "a check is under way")
    return lab


@pytest.fixture(scope="module")
def passed(none_finished: ControllerLab) -> ControllerLab:
    """The latest check passed."""
    none_finished.agents.speak("w1", "w2")
    none_finished.verdict(passed=True)
    return none_finished


@pytest.fixture(scope="module")
def under_way(passed: ControllerLab) -> ControllerLab:
    """The latest that finished passed, and one that will fail is under way."""
    passed.agents.failing, passed.agents.silent = {"w2"}, {"w1"}
    passed.ask("will-fail")
    passed.until(lambda: passed.agents.answered[-1] == ("will-fail", "w2"), "half of it is answered")
    return passed


@pytest.fixture(scope="module")
def failed(under_way: ControllerLab) -> ControllerLab:
    """The latest check failed."""
    under_way.agents.speak("w1")
    under_way.until(lambda: under_way.check("will-fail").get("pass") is False, "its verdict")
    return under_way


@pytest.fixture(scope="module")
def under_way_again(failed: ControllerLab) -> ControllerLab:
    """The latest that finished failed, and one that will pass is under way."""
    failed.agents.failing, failed.agents.silent = set(), {"w1"}
    failed.ask("will-pass")
    failed.until(lambda: failed.agents.answered[-1] == ("will-pass", "w2"), "half of it is answered")
    return failed


@KINDS
def test_disabled(lab: ControllerLab, kind: Resource) -> None:
    """Line: the verdict counts while the runtime is enabled; disabled, nothing is refused."""
    admits(lab, kind)


@KINDS
def test_none_has_finished(none_finished: ControllerLab, kind: Resource) -> None:
    """Line: when none has finished since it was enabled, creating a VM is refused."""
    said = refuses(none_finished, kind, "no preflight check has finished since the VM runtime was enabled")

    assert said.endswith("wait for one with: kubectl get vmruntimepfc -n vm-system --watch\n")


@KINDS
def test_passed(passed: ControllerLab, kind: Resource) -> None:
    """Line: while the runtime is enabled, VMs can be created once the *latest* check has passed."""
    admits(passed, kind)


@KINDS
def test_under_way_does_not_close(under_way: ControllerLab, kind: Resource) -> None:
    """*Decided*: a check under way neither opens nor closes."""
    assert "preflightCheckPassed" not in under_way.summary()
    assert create(under_way, kind) == ""


@KINDS
def test_failed(failed: ControllerLab, kind: Resource) -> None:
    """Line: when it failed, creating a VM is refused, and the refusal names the check and what failed."""
    said = refuses(failed, kind, "preflight check will-fail failed (KVM)")

    assert said.count("\n") == 1
    assert said.endswith("; see why with: kubectl get vmruntimepfc -n vm-system will-fail -o yaml\n"), (
        "the next command to type"
    )


@KINDS
def test_under_way_does_not_open(under_way_again: ControllerLab, kind: Resource) -> None:
    """*Decided*: a check under way neither opens nor closes."""
    assert "preflightCheckPassed" not in under_way_again.summary()
    assert "preflight check will-fail failed (KVM)" in create(under_way_again, kind)


def test_the_latest_counts(under_way_again: ControllerLab) -> None:
    """Line: the latest check decides, a person's too."""
    lab = under_way_again
    lab.agents.speak("w1")

    admits(lab, VIRTUAL_MACHINES[0])
    assert lab.summary()["lastCompleted"]["name"] == "will-pass"


def test_enabled_again(under_way_again: ControllerLab) -> None:
    """Line: since it was enabled; what passed before that counts no more."""
    lab = under_way_again
    lab.enable(enabled=False)
    lab.until(lambda: lab.status()["enabled"] is False, "off")
    lab.agents.silent = {"w1"}
    lab.enable()

    refuses(lab, VIRTUAL_MACHINES[0], "no preflight check has finished since the VM runtime was enabled")
