import pytest

from controller.objects import Meta, Node, Taint
from controller.participation import fits

Template = dict[str, object]


def node(name: str = "w1", *taints: Taint, **labels: str) -> Node:
    return Node(Meta(name), {key.replace("_", "-"): value for key, value in labels.items()}, taints)


def template(**spec: object) -> Template:
    return {"spec": spec}


def affinity(*terms: object) -> Template:
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}
    return template(affinity={"nodeAffinity": required})


def expression(key: str, operator: str, *values: str) -> dict[str, object]:
    return {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}


def test_an_empty_template_fits_everywhere():
    assert fits({}, node())
    assert fits(template(nodeSelector=None, affinity=None, tolerations=None), node())


@pytest.mark.parametrize(
    ("selector", "fit"),
    [
        ({"os": "linux"}, True),
        ({"os": "windows"}, False),
        ({"os": "linux", "gpu": ""}, False),
        ({"os": 1}, False),
    ],
)
def test_node_selector(selector: dict[str, object], fit: bool):
    assert fits(template(nodeSelector=selector), node(os="linux")) is fit


@pytest.mark.parametrize(
    ("term", "fit"),
    [
        (expression("zone", "In", "a", "b"), True),
        (expression("zone", "In", "b"), False),
        (expression("none", "In", "a"), False),
        (expression("zone", "NotIn", "b"), True),
        (expression("zone", "NotIn", "a"), False),
        (expression("none", "NotIn", "a"), True),
        (expression("zone", "Exists"), True),
        (expression("none", "Exists"), False),
        (expression("zone", "DoesNotExist"), False),
        (expression("none", "DoesNotExist"), True),
        (expression("cpus", "Gt", "3"), True),
        (expression("cpus", "Gt", "4"), False),
        (expression("cpus", "Lt", "5"), True),
        (expression("cpus", "Lt", "4"), False),
        (expression("zone", "Gt", "3"), False),
        (expression("cpus", "Gt", "three"), False),
        (expression("cpus", "Gt", "1", "2"), False),
        (expression("none", "Lt", "4"), False),
        (expression("zone", "Like", "a"), False),
        ({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["w1"]}]}, True),
        ({"matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": ["w1"]}]}, False),
        ({"matchFields": [{"key": "spec.x", "operator": "In", "values": ["w1"]}]}, False),
        (
            {
                "matchFields": [{"key": "metadata.name", "operator": "In", "values": ["w1"]}],
                **expression("none", "Exists"),
            },
            False,
        ),
        ({}, False),
    ],
)
def test_required_node_affinity(term: object, fit: bool):
    assert fits(affinity(term), node(zone="a", cpus="4")) is fit


def test_terms_are_alternatives_and_no_term_matches_nothing():
    assert fits(affinity(expression("none", "Exists"), expression("zone", "Exists")), node(zone="a"))
    assert not fits(affinity(), node(zone="a"))


@pytest.mark.parametrize(
    ("toleration", "fit"),
    [
        ({"key": "k", "operator": "Equal", "value": "v", "effect": "NoSchedule"}, True),
        ({"key": "k", "value": "v"}, True),
        ({"key": "k", "operator": "Exists"}, True),
        ({"operator": "Exists"}, True),
        ({"key": "k", "value": "w"}, False),
        ({"key": "k", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"key": "other", "operator": "Exists"}, False),
        ({"key": "k", "operator": "Junk", "value": "v"}, False),
        ({}, False),
    ],
)
def test_tolerations(toleration: dict[str, object], fit: bool):
    assert fits(template(tolerations=[toleration]), node("w1", Taint("k", "v", "NoSchedule"))) is fit


def test_every_taint_must_be_tolerated_but_a_preference():
    tolerations = [{"key": "a", "operator": "Exists"}]
    assert not fits(
        template(tolerations=tolerations),
        node("w1", Taint("a", "", "NoExecute"), Taint("b", "", "NoSchedule")),
    )
    assert fits({}, node("w1", Taint("b", "", "PreferNoSchedule")))


@pytest.mark.parametrize(
    ("key", "effect", "fit"),
    [
        ("node.kubernetes.io/not-ready", "NoExecute", True),
        ("node.kubernetes.io/not-ready", "NoSchedule", False),
        ("node.kubernetes.io/unreachable", "NoExecute", True),
        ("node.kubernetes.io/disk-pressure", "NoSchedule", True),
        ("node.kubernetes.io/memory-pressure", "NoSchedule", True),
        ("node.kubernetes.io/pid-pressure", "NoSchedule", True),
        ("node.kubernetes.io/unschedulable", "NoSchedule", True),
        ("node.kubernetes.io/network-unavailable", "NoSchedule", False),
        ("node-role.kubernetes.io/control-plane", "NoSchedule", False),
    ],
)
def test_what_the_daemon_set_controller_tolerates_for_its_pods(key: str, effect: str, fit: bool):
    assert fits({}, node("w1", Taint(key, "", effect))) is fit


def test_pods_on_the_hosts_network_tolerate_a_missing_one():
    taint = Taint("node.kubernetes.io/network-unavailable", "", "NoSchedule")
    assert fits(template(hostNetwork=True), node("w1", taint))


def test_a_template_bound_to_a_node_fits_that_one():
    assert fits(template(nodeName="w1"), node("w1"))
    assert not fits(template(nodeName="w1"), node("w2"))


@pytest.mark.parametrize("value", ["", "true", "false"])
def test_any_value_of_the_label_skips(value: str):
    assert Node(Meta("w1"), {"kubevm.io/VM-SkipSchedule": value}).skipped
    assert not node("w1").skipped
