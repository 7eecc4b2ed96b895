"""What people may do of ours who have one of Kubernetes' own roles: `view`, `edit`, `admin`."""

from collections.abc import Iterator

import pytest
from controlplane import ControlPlane
from rights import Rights, listed
from waiting import until

PEOPLE = "people"
OURS = ("vm.cluster.gke.io", "kubevm.io")
CHECKS = "vmruntimepreflightchecks.vm.cluster.gke.io"
EVERYWHERE = {"vmruntimes.vm.cluster.gke.io": "get list watch", "nodepreflights.kubevm.io": "get list watch"}
OUR_KINDS = {CHECKS, *EVERYWHERE}


@pytest.fixture(scope="module")
def people(installed: ControlPlane) -> Iterator[ControlPlane]:
    """A ServiceAccount for each role, bound in `vm-system` and in the whole cluster."""
    installed.kubectl("create", "namespace", PEOPLE)
    for role in ("view", "edit", "admin"):
        for where in ("here", "everywhere"):
            name = f"{role}-{where}"
            installed.kubectl("create", "serviceaccount", name, "-n", PEOPLE)
            kind = ["rolebinding", "-n", "vm-system"] if where == "here" else ["clusterrolebinding"]
            who = f"--serviceaccount={PEOPLE}:{name}"
            installed.kubectl("create", *kind, f"people-{name}", f"--clusterrole={role}", who)
            until(lambda name=name: ours(installed, name).keys() >= OUR_KINDS, "the roles' aggregation")
    yield installed
    for role in ("view", "edit", "admin"):
        installed.kubectl("delete", "rolebinding", "-n", "vm-system", f"people-{role}-here")
        installed.kubectl("delete", "clusterrolebinding", f"people-{role}-everywhere")
    installed.kubectl("delete", "namespace", PEOPLE, "--wait=false")


def ours(plane: ControlPlane, who: str, namespace: str = "vm-system") -> Rights:
    """Somebody's rights on our kinds."""
    found = listed(plane, plane.token(who, PEOPLE), namespace)
    return {
        what: verbs for what, verbs in found.items() if what.endswith(OURS) and "virtualmachine" not in what
    }


@pytest.mark.parametrize("where", ["here", "everywhere"])
@pytest.mark.parametrize(
    ("role", "of_checks"),
    [
        ("view", "get list watch"),
        ("edit", "create delete get list watch"),
        ("admin", "create delete get list watch"),
    ],
)
def test_by_role(people: ControlPlane, role: str, of_checks: str, where: str) -> None:
    until(lambda: ours(people, f"{role}-{where}").get(CHECKS) == of_checks, "the roles' aggregation")

    assert ours(people, f"{role}-{where}") == {CHECKS: of_checks, **EVERYWHERE}


def test_what_is_of_the_whole_cluster_needs_a_binding_there(people: ControlPlane) -> None:
    """A RoleBinding gives what is in the namespace alone, though the list names the rest too."""
    may = {
        where: people.request(
            "GET", "/apis/kubevm.io/v1alpha1/nodepreflights", token=people.token(f"view-{where}", PEOPLE)
        )[0]
        for where in ("here", "everywhere")
    }

    assert may == {"here": 403, "everywhere": 200}


@pytest.mark.parametrize("role", ["view", "edit", "admin"])
def test_the_switch_is_a_cluster_administrators(people: ControlPlane, role: str) -> None:
    token = people.token(f"{role}-everywhere", PEOPLE)

    for path in (
        "/apis/vm.cluster.gke.io/v1/vmruntimes/vmruntime",
        "/apis/kubevm.io/v1alpha1/nodepreflights/n1",
    ):
        assert people.request("PATCH", path, {"spec": {}}, token=token)[0] == 403
        assert people.request("PATCH", f"{path}/status", {"status": {}}, token=token)[0] == 403
