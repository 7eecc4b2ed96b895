"""spec.md, section 4, *Command line*: each row, word for word.

What the commands do beside that: `tests/cli/test_vmruntime.py`.
"""

import pytest
from controllerlab import ControllerLab
from program import vm_preflight

from cluster.resources import CHECKS, NAMESPACE


@pytest.fixture(scope="module")
def enabled(lab: ControllerLab) -> ControllerLab:
    """Enabled by the command."""
    status, out, err = run(lab, "enable", "vmruntime")
    assert (status, err) == (0, "")
    assert out.splitlines() == [
        "VM runtime enabled. Virtual machines can be created once the preflight check has passed.",
        "Watch it: kubectl get vmruntimepfc -n vm-system --watch",
    ]
    assert lab.runtime()["spec"]["enabled"] is True
    lab.verdict(passed=True)
    return lab


def run(lab: ControllerLab, *words: str) -> tuple[int, str, str]:
    """Exit status, standard output, standard error."""
    ended = vm_preflight(*words, "--kubeconfig", str(lab.plane.kubeconfig))
    return ended.returncode, ended.stdout, ended.stderr


def test_disable_what_is_disabled(lab: ControllerLab) -> None:
    """Row `disable vmruntime`: nothing to do is an error, as for `enable`."""
    assert run(lab, "disable", "vmruntime") == (
        1,
        "",
        "vm-preflight disable: the VM runtime is already disabled\n",
    )


def test_enable_what_is_enabled(enabled: ControllerLab) -> None:
    """Row `enable vmruntime --kubeconfig K`: enables (see the fixture); an error if already enabled."""
    assert run(enabled, "enable", "vmruntime") == (
        1,
        "",
        "vm-preflight enable: the VM runtime is already enabled\n",
    )


def test_a_check_that_passes(enabled: ControllerLab) -> None:
    """Row `check vmruntimepfc --kubeconfig K`: creates a check, waits for it, prints the result."""
    before = enabled.checks()
    status, out, err = run(enabled, "check", "vmruntimepfc")

    (name,) = enabled.checks() - before
    assert enabled.check(name)["pass"] is True
    assert (status, out) == (0, f"{name} passed\n  2 of 2 nodes passed\n")
    assert err.startswith(f"created {name}, waiting for the nodes to answer\n")
    enabled.delete(CHECKS, name, namespace=NAMESPACE)


def test_a_check_that_fails(enabled: ControllerLab) -> None:
    """Row `check vmruntimepfc --kubeconfig K`: what failed is printed by node, with cause and remedy."""
    enabled.agents.failing = {"w2"}
    status, out, _ = run(enabled, "check", "vmruntimepfc")
    enabled.agents.failing = set()

    assert status == 1
    assert out.partition(" failed\n")[2].splitlines() == [
        "  w2 failed",
        "    KVM: /dev/kvm: No such file or directory",
        "      → modprobe kvm",
        "  1 of 2 nodes passed (w2: KVM DeviceMissing)",
    ]


@pytest.mark.parametrize("force", [[], ["--force=false"], ["--force=true"]], ids=str)
def test_disable(enabled: ControllerLab, force: list[str]) -> None:
    """Row `disable vmruntime --kubeconfig K [--force=true]`: without VMs it is disabled in any case."""
    enabled.enable()

    assert run(enabled, "disable", "vmruntime", *force) == (0, "VM runtime disabled.\n", "")

    assert enabled.runtime()["spec"]["enabled"] is False
    assert enabled.status()["enabled"] is False
