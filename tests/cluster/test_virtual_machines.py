"""Virtual machines are found whatever kinds are installed, in whatever versions; else it is said."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest
import vmkinds
from controlplane import ControlPlane
from faultyapi import FaultyAPI, answer, status

from cluster import kubeconfig
from cluster.resources import VIRTUAL_MACHINES, Resource
from cluster.transport import ApiError, Client, Credentials
from cluster.virtual_machines import Owner, VirtualMachine, first, heads, list_all, makers
from controller.switch import VMs
from controller.vms import look

KUBEVIRT, INSTANCE, GDC = VIRTUAL_MACHINES


@pytest.fixture
def client(control_plane: ControlPlane) -> Iterator[Client]:
    made = Client(kubeconfig.load(str(control_plane.kubeconfig)))
    yield made
    made.close()


@pytest.mark.parametrize(
    "kinds",
    [
        {},
        {KUBEVIRT: ["v1"], INSTANCE: ["v1"]},
        {GDC: ["v1"]},
        {KUBEVIRT: ["v1", "v1alpha3"], INSTANCE: ["v1alpha3"], GDC: ["v1alpha1"]},
        {KUBEVIRT: ["v2", "v1"], GDC: ["v1beta7"]},
    ],
    ids=["none", "kubevirt", "gdc", "older-versions", "versions-to-come"],
)
def test_kinds_that_are_installed_are_found_in_the_versions_that_are_served(
    client: Client, kinds: dict[Resource, list[str]]
) -> None:
    with ExitStack() as stack:
        for kind, versions in kinds.items():
            stack.enter_context(vmkinds.installed(client, kind, *versions))
        assert list_all(client) == []
        assert look(client) == (VMs.NONE, "")
        for kind, versions in kinds.items():
            vmkinds.add(client, replace(kind, version=versions[-1]), "vm")
            found = [one for one in list_all(client) if one.resource.plural == kind.plural]
            assert [(one.namespace, one.name) for one in found if one.resource.group == kind.group] == [
                ("default", "vm")
            ]
            some = first(client, kind)
            assert some is not None
            assert some.resource.version in versions
        assert look(client)[0] is (VMs.SOME if kinds else VMs.NONE)


def test_one_page_of_one_is_asked_for_where_only_existence_matters() -> None:
    group = {"preferredVersion": {"version": "v1"}, "versions": [{"version": "v1"}, {"version": "v1alpha3"}]}
    page = {"items": [{"metadata": {"name": "vm", "namespace": "ns"}}], "metadata": {"continue": "more"}}
    with FaultyAPI([answer(200, group), answer(200, page)]) as server:
        asking = Client(Credentials(server.url), attempts=1)
        found = first(asking, KUBEVIRT)
        asking.close()
    assert str(found) == "virtualmachines.kubevirt.io -n ns vm"
    assert [request.query.get("limit") for request in server.requests] == [None, "1"]
    assert "as=PartialObjectMetadataList" in server.requests[1].headers["accept"]


def test_a_kind_that_discovery_does_not_know_yet_is_found() -> None:
    page = {"items": [{"metadata": {"name": "vm", "namespace": "ns"}}], "metadata": {}}
    unknown = status(404, "NotFound", "the server could not find the requested resource")
    with FaultyAPI([unknown, unknown, answer(200, page)]) as server:
        asking = Client(Credentials(server.url), attempts=1)
        found = first(asking, KUBEVIRT)
        asking.close()
    assert found is not None
    assert found.resource.version == "v1alpha3"


def test_a_kind_whose_versions_cannot_be_converted_is_unknown_never_none(client: Client) -> None:
    stored = replace(KUBEVIRT, version="v1alpha3")
    with vmkinds.installed(client, KUBEVIRT, "v1", "v1alpha3", conversion=vmkinds.BROKEN):
        vmkinds.add(client, stored, "vm")
        found, told = look(client)
        assert found is VMs.UNKNOWN
        assert told.startswith("virtualmachines.kubevirt.io: ")
        assert "conversion webhook" in told
        with pytest.raises(ApiError, match="conversion webhook"):
            list_all(client)
        with vmkinds.installed(client, GDC, "v1"):  # what is there counts more than what is not known
            vmkinds.add(client, GDC, "other")
            assert look(client) == (
                VMs.SOME,
                "the first: kubectl delete virtualmachines.vm.cluster.gke.io -n default other",
            )


@pytest.mark.parametrize("code", [500, 503, 403, 429])
def test_a_broken_answer_is_unknown_never_none(code: int) -> None:
    """403 too: an API server that has just started answers so before it has read its roles."""
    group = answer(200, {"versions": [{"version": "v1"}]})
    broken = status(code, "Broken", "no answer to that")
    with FaultyAPI([group, broken] * 3) as server:
        asking = Client(Credentials(server.url), attempts=1)
        found, told = look(asking)
        asking.close()
    assert (found, "no answer to that" in told) == (VMs.UNKNOWN, True)


def test_who_may_not_list_a_kind_that_is_not_installed_misses_nothing(
    control_plane: ControlPlane, client: Client
) -> None:
    rules = [{"apiGroups": ["kubevirt.io"], "resources": ["*"], "verbs": ["list"]}]
    token = vmkinds.reader(control_plane, "lists-kubevirt", rules)
    theirs = Client(
        Credentials(
            control_plane.server,
            ca_file=str(control_plane.ca_file),
            authorization=lambda: f"Bearer {token}",
        ),
        attempts=1,
    )
    with vmkinds.installed(client, KUBEVIRT, "v1"):
        vmkinds.add(client, KUBEVIRT, "vm")
        assert [one.name for one in list_all(theirs)] == ["vm"]
        with pytest.raises(ApiError, match="cannot list resource"):
            first(theirs, GDC)
        with vmkinds.installed(client, GDC, "v1"), pytest.raises(ApiError, match="cannot list resource"):
            list_all(theirs)
    theirs.close()


def owned(name: str, uid: str, owner: Owner | None = None) -> VirtualMachine:
    return VirtualMachine(KUBEVIRT, "default", name, uid, owner)


def test_an_owned_machine_goes_with_its_owner_and_alone_when_that_is_gone() -> None:
    machine = owned("vm", "1")
    instance = owned("vm", "2", Owner("VirtualMachine", "vm", "1"))
    orphan = owned("old", "3", Owner("VirtualMachine", "old", "gone"))
    replica = owned("web-x", "4", Owner("VirtualMachineInstanceReplicaSet", "web", "5"))
    assert heads([machine, instance, orphan, replica]) == [machine, orphan, replica]
    assert makers([machine, instance, orphan]) == []
    assert makers([replica, replica]) == ["VirtualMachineInstanceReplicaSet default/web"]


def test_owner_references_that_somebody_made_up_hide_no_machine() -> None:
    own = owned("a", "1", Owner("VirtualMachine", "a", "1"))
    circle = [owned("b", "2", Owner("Pool", "c", "3")), owned("c", "3", Owner("Pool", "b", "2"))]
    assert heads([own]) == [own]
    assert heads(circle) == circle
    assert makers([owned("d", "4", Owner("Pool\n\x1b[2J", "x" * 2000, "5"))])[0].startswith(
        "Pool [2J default/x"
    )
