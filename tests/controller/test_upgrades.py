"""The cluster is upgraded: histories played against the controller's whole decision."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from cluster_model import START, ClusterModel

from cluster import shapes
from cluster.node_preflight import NodePreflight, RunRequest
from controller.objects import Check, Memory, Meta, Node
from controller.silence import Patience
from controller.switch import VMs
from controller.upgrades import Upgrade, changes, noted, seen

NEW = "v1.38.0"
NEWER = "v1.38.1"


def enabled(*names: str) -> ClusterModel:
    """A cluster whose first check has passed."""
    cluster = ClusterModel()
    for name in names:
        cluster.add_node(name)
    cluster.settle()
    cluster.enable()
    run(cluster)
    assert len(cluster.checks) == 1
    return cluster


def run(cluster: ClusterModel) -> None:
    """What is asked is answered."""
    cluster.settle()
    cluster.serve_all()
    cluster.answer_all()
    cluster.settle()
    cluster.wait(1)


def quiet(cluster: ClusterModel, seconds: float = 60) -> None:
    """Time passes with a look every ten seconds, as the controller looks when nothing happens."""
    until = cluster.now + timedelta(seconds=seconds)
    cluster.settle()
    while cluster.now < until:
        cluster.wait(10)
        cluster.settle()


def triggers(cluster: ClusterModel) -> list[str]:
    """Why each check was made that is there, the oldest first."""
    return [
        shapes.text(cluster.checks[name], "metadata", "annotations", "kubevm.io/trigger")
        for name in cluster.created
        if name in cluster.checks
    ]


def api_server(cluster: ClusterModel) -> None:
    cluster.api_server_version = NEW


def one_kubelet(cluster: ClusterModel) -> None:
    cluster.upgrade("a", NEW)


def all_at_once(cluster: ClusterModel) -> None:
    cluster.api_server_version = NEW
    for name in cluster.nodes:
        cluster.upgrade(name, NEW)


def a_downgrade(cluster: ClusterModel) -> None:
    cluster.upgrade("a", "v1.36.0")


UPGRADES = pytest.mark.parametrize("upgrade", [api_server, one_kubelet, all_at_once, a_downgrade])


@UPGRADES
def test_an_upgrade_asks_for_one_check_once_it_is_quiet(upgrade: Callable[[ClusterModel], None]):
    cluster = enabled("a", "b")
    before = cluster.writes
    upgrade(cluster)
    quiet(cluster, 50)
    assert cluster.writes == before
    quiet(cluster, 10)
    assert triggers(cluster) == ["Enabled", "ClusterUpgraded"]
    run(cluster)
    assert cluster.last["name"] == cluster.created[-1]
    before = cluster.writes
    quiet(cluster, 1200)
    assert triggers(cluster) == ["Enabled", "ClusterUpgraded"]
    assert cluster.writes == before


@UPGRADES
def test_an_upgrade_while_the_controller_was_away_is_acted_on_once(upgrade: Callable[[ClusterModel], None]):
    cluster = enabled("a", "b")
    cluster.restart()
    upgrade(cluster)
    cluster.wait(3600)
    quiet(cluster)
    run(cluster)
    cluster.restart()
    quiet(cluster, 120)
    assert triggers(cluster) == ["Enabled", "ClusterUpgraded"]


@UPGRADES
def test_a_controller_that_begins_anew_in_the_time_of_quiet_waits_anew(
    upgrade: Callable[[ClusterModel], None],
):
    cluster = enabled("a", "b")
    upgrade(cluster)
    quiet(cluster, 50)
    cluster.restart()
    quiet(cluster, 50)
    assert len(cluster.checks) == 1
    quiet(cluster, 10)
    run(cluster)
    assert triggers(cluster) == ["Enabled", "ClusterUpgraded"]


@UPGRADES
@pytest.mark.parametrize("crash", range(8))
def test_a_crash_at_any_step_makes_no_second_check(upgrade: Callable[[ClusterModel], None], crash: int):
    cluster = enabled("a", "b")
    upgrade(cluster)
    quiet(cluster, 50)
    cluster.wait(10)
    cluster.settle(crash_after=[crash])
    quiet(cluster)
    run(cluster)
    quiet(cluster, 300)
    assert triggers(cluster) == ["Enabled", "ClusterUpgraded"]
    assert cluster.status["lastActedOn"]["apiServerVersion"] == cluster.api_server_version
    for name, node in cluster.nodes.items():
        assert (
            cluster.preflights[name]["spec"]["kubeletVersion"] == node["status"]["nodeInfo"]["kubeletVersion"]
        )


def test_a_rolling_upgrade_asks_for_one_check_after_it():
    cluster = enabled(*"abcde")
    for name in "abcde":
        cluster.upgrade(name, NEW)
        quiet(cluster, 50)
    assert len(cluster.checks) == 1
    quiet(cluster, 10)
    assert len(cluster.checks) == 2


def test_a_rolling_upgrade_that_takes_long_is_checked_after_ten_minutes_and_at_its_end():
    names = [f"n{number:02}" for number in range(20)]
    cluster = enabled(*names)
    upgraded = []
    for name in names:
        cluster.upgrade(name, NEW)
        quiet(cluster, 50)
        cluster.answer_all()
        upgraded.append(len(cluster.checks))
    # the twelfth node came 550 s after the first: the ten minutes end before the thirteenth
    assert upgraded == [1] * 11 + [2] * 9
    quiet(cluster)
    assert triggers(cluster) == ["Enabled", "ClusterUpgraded", "ClusterUpgraded"]


def test_api_servers_that_are_upgraded_one_by_one_make_no_check_each_time_they_are_asked():
    cluster = enabled("a")
    for _ in range(60):  # ten minutes in which they answer in turn
        cluster.api_server_version = NEW
        quiet(cluster, 10)
        cluster.api_server_version = "v1.37.1"
        quiet(cluster, 10)
    assert len(cluster.checks) == 1
    cluster.api_server_version = NEW
    quiet(cluster)
    assert len(cluster.checks) == 2
    run(cluster)
    for version in ("v1.37.1", NEW) * 10:  # one that is late
        cluster.api_server_version = version
        quiet(cluster, 10)
    quiet(cluster, 600)
    assert len(cluster.checks) == 2


def test_an_upgrade_that_is_taken_back_is_none():
    cluster = enabled("a")
    cluster.upgrade("a", NEW)
    quiet(cluster, 50)
    cluster.upgrade("a", "v1.37.1")
    quiet(cluster, 600)
    assert len(cluster.checks) == 1


def test_versions_that_are_not_told_are_no_change():
    cluster = enabled("a", "b")
    cluster.api_server_version = ""
    cluster.nodes["a"]["status"]["nodeInfo"] = "junk"
    cluster.upgrade("b", "")
    quiet(cluster, 120)
    assert len(cluster.checks) == 1
    cluster.api_server_version = "v1.37.1"
    cluster.upgrade("a", "v1.37.1")
    cluster.upgrade("b", "v1.37.1")
    quiet(cluster, 120)
    assert len(cluster.checks) == 1


def test_the_first_start_stores_and_fires_nothing():
    cluster = enabled("a", "b")
    del cluster.status["lastActedOn"]["apiServerVersion"]  # as a controller left it that knew of no versions
    for preflight in cluster.preflights.values():
        del preflight["spec"]["kubeletVersion"]
    api_server(cluster)
    one_kubelet(cluster)
    quiet(cluster, 120)
    assert len(cluster.checks) == 1
    assert cluster.status["lastActedOn"]["apiServerVersion"] == NEW
    assert cluster.preflights["a"]["spec"]["kubeletVersion"] == NEW


def test_an_upgrade_while_disabled_fires_nothing_later():
    cluster = ClusterModel()
    cluster.add_node("a")
    cluster.settle()
    all_at_once(cluster)
    quiet(cluster, 120)
    assert cluster.status["lastActedOn"]["apiServerVersion"] == NEW
    cluster.enable()
    run(cluster)
    quiet(cluster, 120)
    assert triggers(cluster) == ["Enabled"]
    cluster.enable(enabled=False)
    cluster.settle()
    cluster.upgrade("a", NEWER)
    cluster.api_server_version = NEWER
    cluster.enable()
    run(cluster)
    quiet(cluster, 120)
    assert triggers(cluster) == ["Enabled", "Enabled"]


def test_an_upgrade_during_a_persons_check_of_a_disabled_cluster_fires_nothing_later():
    cluster = ClusterModel()
    cluster.add_node("a")
    cluster.settle()
    cluster.ask("manual")
    cluster.settle()
    all_at_once(cluster)
    quiet(cluster, 70)
    cluster.enable()
    run(cluster)
    run(cluster)
    quiet(cluster, 120)
    assert triggers(cluster) == ["Requested", "Enabled"]


@pytest.mark.parametrize("version", [NEW, ""])
def test_a_node_that_joins_leaves_or_comes_back_is_no_upgrade(version: str):
    cluster = enabled("a", "b")
    cluster.add_node("c", version=version)
    quiet(cluster, 120)
    cluster.upgrade("c", NEW)  # a kubelet that tells its version a while after its node was made
    cluster.remove_node("b")
    quiet(cluster, 120)
    cluster.add_node("b", version=NEW)
    quiet(cluster, 120)
    del cluster.nodes["a"]  # the garbage collector is late
    cluster.add_node("a", version=NEW)
    quiet(cluster, 120)
    assert len(cluster.checks) == 1
    cluster.upgrade("c", NEWER)
    quiet(cluster)
    assert len(cluster.checks) == 2


def test_a_node_that_leaves_in_the_time_of_quiet_takes_its_upgrade_along():
    cluster = enabled("a", "b")
    cluster.upgrade("b", NEW)
    quiet(cluster, 30)
    cluster.remove_node("b")
    quiet(cluster, 120)
    assert len(cluster.checks) == 1


def test_a_node_that_agents_do_not_serve_does_not_matter():
    cluster = enabled("a")
    cluster.add_node("w", labels={"kubernetes.io/os": "windows"})
    cluster.settle()
    cluster.upgrade("w", NEW)
    quiet(cluster, 120)
    assert len(cluster.checks) == 1


def test_a_skipped_node_may_be_upgraded():
    cluster = enabled("a", "b")
    cluster.label("b", skip=True)
    cluster.upgrade("b", NEW)
    quiet(cluster, 120)
    assert len(cluster.checks) == 1
    cluster.label("b", skip=False)
    run(cluster)
    quiet(cluster, 120)
    assert triggers(cluster) == ["Enabled", "SkipLabelRemoved"]


def test_another_automatic_check_that_begins_after_the_change_acts_on_it():
    cluster = enabled("a", "b")
    all_at_once(cluster)
    quiet(cluster, 30)
    cluster.enable(useEmulation=True)
    run(cluster)
    quiet(cluster, 300)
    assert triggers(cluster) == ["Enabled", "FeatureChanged"]


def test_an_upgrade_after_the_start_of_a_check_asks_for_another():
    cluster = enabled("a", "b")
    cluster.enable(useEmulation=True)
    cluster.settle()
    one_kubelet(cluster)
    cluster.answer_all()
    quiet(cluster)
    run(cluster)
    quiet(cluster, 300)
    assert triggers(cluster) == ["Enabled", "FeatureChanged", "ClusterUpgraded"]


def test_an_upgrade_is_folded_into_an_automatic_check_that_waits():
    cluster = enabled("a", "b")
    cluster.ask("manual")
    cluster.settle()  # runs
    cluster.enable(useEmulation=True)
    cluster.settle()  # waits
    all_at_once(cluster)
    quiet(cluster, 100)
    run(cluster)
    run(cluster)
    quiet(cluster, 300)
    assert triggers(cluster) == ["Enabled", "Requested", "FeatureChanged"]


def test_a_persons_check_does_not_act_on_an_upgrade():
    cluster = enabled("a")
    all_at_once(cluster)
    quiet(cluster, 30)
    cluster.ask("manual")
    run(cluster)
    quiet(cluster)
    run(cluster)
    quiet(cluster, 300)
    assert triggers(cluster) == ["Enabled", "Requested", "ClusterUpgraded"]


@pytest.mark.parametrize(("stays_on", "then"), [(True, "ClusterUpgraded"), (False, "Enabled")])
def test_an_upgrade_while_vms_keep_it_on_fires_once_it_stays_on(stays_on: bool, then: str):
    cluster = enabled("a")
    cluster.vms = VMs.SOME
    cluster.enable(enabled=False)
    cluster.settle()
    all_at_once(cluster)
    quiet(cluster, 120)
    assert triggers(cluster) == ["Enabled"]
    if not stays_on:
        cluster.vms = VMs.NONE
        cluster.settle()
    cluster.enable()
    quiet(cluster, 120)
    run(cluster)
    quiet(cluster, 120)
    assert triggers(cluster) == ["Enabled", then]


# the parts

MINUTES = Patience()


def test_seen():
    one, two = frozenset({("u1", NEW)}), frozenset({("u1", NEW), ("u2", NEW)})
    later = START + timedelta(seconds=5)
    assert seen(None, frozenset(), START) is None
    first = seen(None, one, START)
    assert first == Upgrade(one, START, START)
    assert seen(first, one, later) == Upgrade(one, START, START)
    more = seen(first, two, later)
    assert more == Upgrade(two, START, later)
    assert seen(more, one, later + timedelta(seconds=5)) == Upgrade(one, START, later)
    assert seen(more, frozenset(), later) is None


@pytest.mark.parametrize(("last", "due"), [(0, 60), (30, 90), (539, 599), (540, 600), (599, 600), (700, 600)])
def test_due(last: int, due: int):
    upgrade = Upgrade(frozenset(), START, START + timedelta(seconds=last))
    assert upgrade.due(MINUTES) == START + timedelta(seconds=due)


CHECK = Check(
    Meta("vmruntime-preflight-check-00000001-0000-4000-8000-000000000000", "run"), "Enabled", start=START
)
MANUAL = Check(Meta("manual", "run"), "Requested", start=START)


@pytest.mark.parametrize(
    ("running", "taking_part", "asked", "found"),
    [
        (None, set(), "", True),
        (CHECK, {"a"}, "", False),
        (CHECK, {"a"}, "older", False),
        (CHECK, {"a"}, "run", True),
        (CHECK, set(), "older", True),
        (MANUAL, {"a"}, "older", True),
    ],
)
def test_a_run_that_is_about_to_be_asked_for_acts_on_the_change(
    running: Check | None, taking_part: set[str], asked: str, found: bool
):
    node = Node(Meta("a", "u"), kubelet_version=NEW)
    preflight = NodePreflight(
        "a", node_uid="u", kubelet_version="v1.37.1", run=RunRequest(asked) if asked else None
    )
    got = changes(Memory(), "", [node], {"a": preflight}, running=running, taking_part=taking_part)
    assert got == (frozenset({("u", NEW)}) if found else frozenset())


@pytest.mark.parametrize(
    ("before", "now", "begins", "watched", "expected"),
    [
        ("", "v1", False, True, "v1"),
        ("", "", False, True, ""),
        ("v1", "v2", False, True, "v1"),
        ("v1", "v2", True, True, "v2"),
        ("v1", "v2", False, False, "v2"),
        ("v1", "", True, False, "v1"),
    ],
)
def test_noted(before: str, now: str, begins: bool, watched: bool, expected: str):
    preflight = NodePreflight("a", kubelet_version=before)
    node = Node(Meta("a"), kubelet_version=now)
    assert noted(node, preflight, begins=begins, watched=watched) == expected
