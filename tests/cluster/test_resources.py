from urllib.parse import unquote

from hypothesis import given
from hypothesis import strategies as st

from cluster.resources import CHECKS, NODE_PREFLIGHTS, NODES, PODS


def test_paths() -> None:
    assert NODES.path() == "/api/v1/nodes"
    assert PODS.path() == "/api/v1/pods"
    assert PODS.path("p", namespace="ns") == "/api/v1/namespaces/ns/pods/p"
    assert (
        NODE_PREFLIGHTS.path("n", subresource="status") == "/apis/kubevm.io/v1alpha1/nodepreflights/n/status"
    )
    assert CHECKS.api_version == "vm.cluster.gke.io/v1"
    assert NODES.api_version == "v1"


@given(st.text(st.characters(codec="utf-8"), min_size=1))
def test_a_hostile_name_stays_one_part_of_the_path(name: str) -> None:
    path = NODES.path(name)
    assert path.isascii()
    head, last = path.rsplit("/", 1)
    assert head == "/api/v1/nodes"
    assert unquote(last) == name
    assert not {"?", "#", " "} & set(path)
