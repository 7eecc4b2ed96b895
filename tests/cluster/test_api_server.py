"""The room against a real kube-apiserver: what no server of our own can vouch for."""

import threading
import uuid
from collections.abc import Iterator, Mapping

import pytest
from controlplane import ControlPlane
from waiting import until

from cluster import kubeconfig, shapes
from cluster.backoff import Backoff
from cluster.events import EventRecorder, reference
from cluster.informer import Informer
from cluster.lease import Election, Timing
from cluster.resources import LEASES, NODES, Resource
from cluster.transport import ApiError, Client, Credentials

CONFIG_MAPS = Resource("", "v1", "configmaps", "ConfigMap", namespaced=True)
NAMESPACES = Resource("", "v1", "namespaces", "Namespace")
PATIENCE = 60.0


@pytest.fixture
def client(control_plane: ControlPlane) -> Iterator[Client]:
    one = Client(kubeconfig.load(str(control_plane.kubeconfig)))
    yield one
    one.close()


@pytest.fixture
def namespace(client: Client) -> Iterator[str]:
    name = f"cluster-{uuid.uuid4().hex[:8]}"
    client.create(NAMESPACES.path(), {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    client.delete(NAMESPACES.path(name))


def config_map(name: str, **data: str) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def data_of(obj: Mapping[str, object]) -> Mapping[str, str]:
    return shapes.texts(obj, "data")


class Watch:
    """An informer on ConfigMaps, and a way to wait for what it shows."""

    def __init__(self, client: Client, namespace: str, **options: object) -> None:
        self._told = threading.Condition()
        self.informer: Informer[Mapping[str, str]] = Informer(
            client, CONFIG_MAPS, data_of, namespace=namespace, on_change=self._tell, **options
        )

    def _tell(self) -> None:
        with self._told:
            self._told.notify_all()

    def until(self, names: set[str]) -> None:
        def shown() -> set[str]:
            # Every namespace is given one of these by the controller manager.
            return {key.split("/")[1] for key in self.informer.items()} - {"kube-root-ca.crt"}

        with self._told:
            came = self._told.wait_for(lambda: shown() == names, PATIENCE)
            assert came, f"expected {names}, has {shown()}: {self.informer.error}"


def test_create_read_change_delete(client: Client, namespace: str) -> None:
    collection = CONFIG_MAPS.path(namespace=namespace)
    path = CONFIG_MAPS.path("a", namespace=namespace)
    made = client.create(collection, config_map("a", k="1", old="x"))
    assert client.get(path) == made
    with pytest.raises(ApiError) as caught:
        client.create(collection, config_map("a"))
    assert caught.value.already_exists
    assert not caught.value.conflict
    assert str(caught.value) == f'POST {collection}: 409 AlreadyExists: configmaps "a" already exists'

    patched = client.patch(path, {"data": {"k": "2", "old": None}})
    assert data_of(patched) == {"k": "2"}
    with pytest.raises(ApiError) as caught:
        client.replace(path, {**made, "data": {"k": "3"}})
    assert caught.value.conflict
    replaced = client.replace(path, {**patched, "data": {"k": "4"}})
    assert data_of(replaced) == {"k": "4"}

    with pytest.raises(ApiError) as caught:
        client.delete(path, uid=str(uuid.uuid4()))
    assert caught.value.conflict
    client.delete_exactly(path, uid=str(uuid.uuid4()))
    assert client.get(path) == replaced
    client.delete(path, uid=shapes.text(made, "metadata", "uid"))
    with pytest.raises(ApiError) as caught:
        client.get(path)
    assert caught.value.not_found
    with pytest.raises(ApiError) as caught:
        client.delete(path)
    assert caught.value.not_found
    client.delete_exactly(path, uid=shapes.text(made, "metadata", "uid"))


def test_apply_owns_its_fields_and_takes_away_what_it_leaves_out(client: Client, namespace: str) -> None:
    path = CONFIG_MAPS.path("applied", namespace=namespace)
    client.apply(path, config_map("applied", ours="1", gone="1"))
    applied = client.apply(path, config_map("applied", ours="2"))
    assert data_of(applied) == {"ours": "2"}
    managers = {shapes.text(entry, "manager") for entry in shapes.items(applied, "metadata", "managedFields")}
    assert managers == {"vm-preflight"}


def test_a_conflict_with_another_manager_is_told_unless_forced(
    client: Client, control_plane: ControlPlane, namespace: str
) -> None:
    path = CONFIG_MAPS.path("shared", namespace=namespace)
    control_plane.kubectl("create", "configmap", "shared", "--from-literal=k=theirs", "-n", namespace)
    with pytest.raises(ApiError) as caught:
        client.apply(path, config_map("shared", k="ours"), force=False)
    assert caught.value.conflict
    assert data_of(client.apply(path, config_map("shared", k="ours"))) == {"k": "ours"}


def test_a_list_in_pages(client: Client, namespace: str) -> None:
    collection = CONFIG_MAPS.path(namespace=namespace)
    for number in range(7):
        labelled = {"name": f"c{number}", "labels": {"t": "x"}}
        client.create(collection, {**config_map(""), "metadata": labelled})
    params = {"labelSelector": "t=x", "limit": "3"}
    pages = [len(shapes.items(page, "items")) for page in client.pages(collection, params=params)]
    assert pages == [3, 3, 1]
    whole = shapes.items(client.list(collection, params=params), "items")
    assert [shapes.text(obj, "metadata", "name") for obj in whole] == [f"c{number}" for number in range(7)]


def test_what_is_invalid_is_one_readable_line(client: Client, namespace: str) -> None:
    with pytest.raises(ApiError) as caught:
        client.create(CONFIG_MAPS.path(namespace=namespace), config_map("Not A Name"))
    assert (caught.value.status, caught.value.reason) == (422, "Invalid")
    assert "Not A Name" in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_token_without_rights_is_forbidden(control_plane: ControlPlane) -> None:
    token = control_plane.token("default", "default")
    client = Client(kubeconfig.load(str(control_plane.kubeconfig_for_token(token))))
    with pytest.raises(ApiError) as caught:
        client.list(NODES.path())
    assert caught.value.forbidden
    assert "system:serviceaccount:default:default" in str(caught.value)


def test_a_token_that_is_none(control_plane: ControlPlane) -> None:
    client = Client(kubeconfig.load(str(control_plane.kubeconfig_for_token("wrong"))))
    with pytest.raises(ApiError) as caught:
        client.list(NODES.path())
    assert (caught.value.status, caught.value.reason) == (401, "Unauthorized")


@pytest.mark.parametrize("name", ["", "another.example"])
def test_a_server_that_is_not_trusted(control_plane: ControlPlane, name: str) -> None:
    ca_file = str(control_plane.ca_file) if name else ""
    client = Client(Credentials(control_plane.server, ca_file=ca_file, server_name=name))
    with pytest.raises(ApiError) as caught:
        client.get("/version")
    assert caught.value.reason == "UntrustedServer"
    assert "certificate verify failed" in str(caught.value)


def test_a_server_whose_certificate_is_not_to_be_verified(control_plane: ControlPlane) -> None:
    client = Client(Credentials(control_plane.server, verify=False))
    assert "gitVersion" in client.get("/version")


def test_the_cache_follows(client: Client, namespace: str) -> None:
    collection = CONFIG_MAPS.path(namespace=namespace)
    client.create(collection, config_map("a", k="1"))
    watch = Watch(client, namespace)
    watch.informer.start()
    try:
        assert watch.informer.wait_synced(PATIENCE)
        watch.until({"a"})
        client.create(collection, config_map("b"))
        watch.until({"a", "b"})
        client.delete(CONFIG_MAPS.path("a", namespace=namespace))
        watch.until({"b"})
    finally:
        watch.informer.stop()
    watch.informer._thread.join(PATIENCE)
    assert not watch.informer._thread.is_alive()


def test_one_object_by_name(client: Client, namespace: str) -> None:
    collection = CONFIG_MAPS.path(namespace=namespace)
    watch = Watch(client, namespace, name="b")
    watch.informer.start()
    try:
        for name in ("a", "b"):
            client.create(collection, config_map(name))
        watch.until({"b"})
    finally:
        watch.informer.stop()


def test_a_watch_is_open_before_any_event_and_ends_when_it_was_asked_to(client: Client) -> None:
    version = shapes.text(client.list(LEASES.path(namespace="none-here")), "metadata", "resourceVersion")
    params = {"resourceVersion": version, "timeoutSeconds": "1"}
    opened = threading.Event()
    path = LEASES.path(namespace="none-here")
    assert list(client.watch(path, params=params, read_timeout=PATIENCE, on_open=opened.set)) == []
    assert opened.is_set()


def test_an_api_server_that_restarts_is_followed() -> None:
    with ControlPlane() as plane:
        client = Client(kubeconfig.load(str(plane.kubeconfig)))
        collection = CONFIG_MAPS.path(namespace="default")
        restarted = threading.Event()
        watch = Watch(
            client,
            "default",
            on_restart=restarted.set,
            backoff=Backoff(base=0.1, cap=0.5, random=lambda: 0.5),
        )
        first = client.create(collection, config_map("a"))
        client.create(collection, config_map("b"))
        watch.informer.start()
        watch.until({"a", "b"})
        plane.stop_apiserver()
        assert restarted.wait(PATIENCE)
        assert set(watch.informer.items()) >= {"default/a", "default/b"}
        plane.start_apiserver()
        client.delete(CONFIG_MAPS.path("a", namespace="default"))
        watch.until({"b"})
        until(lambda: not watch.informer.error, "the API server has filled its cache")  # else: 429
        watch.informer.stop()

        early = {"resourceVersion": shapes.text(first, "metadata", "resourceVersion")}
        with pytest.raises(ApiError) as caught:
            list(client.watch(collection, params=early, read_timeout=PATIENCE))
        assert caught.value.gone, "a server that has restarted remembers no version from before"


def test_of_two_candidates_one_leads_and_the_other_follows(client: Client, namespace: str) -> None:
    timing = Timing(duration=30, renew_deadline=20.0, retry_period=0.2)
    led: list[str] = []
    leading = {name: threading.Event() for name in "ab"}
    stops = {name: threading.Event() for name in "ab"}
    ends: dict[str, bool] = {}

    def candidate(name: str) -> None:
        def lead() -> None:
            led.append(name)
            leading[name].set()

        election = Election(client, namespace=namespace, name="leader", identity=name, timing=timing)
        ends[name] = election.run(lead, stops[name])

    threads = {name: threading.Thread(target=candidate, args=(name,), daemon=True) for name in "ab"}
    threads["a"].start()
    assert leading["a"].wait(PATIENCE)
    threads["b"].start()
    lease = client.get(LEASES.path("leader", namespace=namespace))
    assert shapes.text(lease, "spec", "holderIdentity") == "a"
    assert shapes.number(lease, "spec", "leaseDurationSeconds") == 30
    assert shapes.time(lease, "spec", "renewTime") is not None
    assert led == ["a"]

    stops["a"].set()
    threads["a"].join(PATIENCE)
    assert leading["b"].wait(PATIENCE)
    lease = client.get(LEASES.path("leader", namespace=namespace))
    assert shapes.text(lease, "spec", "holderIdentity") == "b"
    assert shapes.number(lease, "spec", "leaseTransitions") == 1

    client.patch(LEASES.path("leader", namespace=namespace), {"spec": {"holderIdentity": "thief"}})
    threads["b"].join(PATIENCE)
    assert not threads["b"].is_alive()
    assert ends == {"a": True, "b": False}
    assert led == ["a", "b"]


def test_events_are_where_kubectl_looks(client: Client, control_plane: ControlPlane, namespace: str) -> None:
    made = client.create(CONFIG_MAPS.path(namespace=namespace), config_map("a"))
    about = reference(CONFIG_MAPS, "a", namespace=namespace, uid=shapes.text(made, "metadata", "uid"))
    recorder = EventRecorder(client, "vm-preflight", instance="test")
    assert recorder.record(about, "Warning", "PreflightFailed", "KVM: no /dev/kvm")
    shown = control_plane.kubectl("events", "--for=configmap/a", "-n", namespace)
    assert "PreflightFailed" in shown
    assert "KVM: no /dev/kvm" in shown
    node = reference(NODES, f"n-{namespace}", uid=f"u-{namespace}")
    assert recorder.record(node, "Normal", "NodeReadyForVMs", "a guest ran")
    selector = f"--field-selector=involvedObject.uid=u-{namespace}"
    assert "NodeReadyForVMs" in control_plane.kubectl("get", "events", "-n", "default", selector)
