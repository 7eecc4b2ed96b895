"""What is read of the API server: objects that hold anything at any place, and its answers."""

import contextlib
import copy
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import cache

import urllib3
from cluster_model import ClusterModel
from inputs import Source, Target

from agent.decide import published_verdict
from cluster import answers, events, kubeconfig, shapes
from cluster.backoff import MAX_RETRY_AFTER, Backoff
from cluster.connections import pool
from cluster.credentials import Credentials
from cluster.errors import ApiError, CredentialsError, one_line
from cluster.informer import Informer
from cluster.lease import Record, claim
from cluster.node_preflight import from_object, spec_body
from cluster.resources import NODE_PREFLIGHTS, NODES
from controller import objects
from controller.actions import Action, AskNode, WriteCheckStatus, WriteRuntimeStatus
from controller.decide import decide
from controller.rollout import ManifestError, prepare
from controller.truncation import LIMIT

Wire = dict[str, object]

FIELDS = (
    *("metadata", "spec", "status", "name", "uid", "resourceVersion", "generation", "creationTimestamp"),
    *(
        "labels",
        "annotations",
        "ownerReferences",
        "kind",
        "conditions",
        "type",
        "reason",
        "message",
        "taints",
    ),
    *("enabled", "preflight", "minPassedNodes", "ignoredChecks", "lastActedOn", "features", "skippedNodes"),
    *("pendingCheck", "preflightCheckSummary", "lastCompleted", "enabledGeneration", "checks", "failures"),
    *(
        "startTime",
        "completionTime",
        "pass",
        "truncated",
        "passed",
        "results",
        "runID",
        "run",
        "id",
        "deadline",
    ),
    *(
        "template",
        "nodeSelector",
        "affinity",
        "tolerations",
        "containerStatuses",
        "state",
        "waiting",
        "items",
    ),
)


def spoilt(source: Source, value: object) -> Wire:
    """Returns an object with something else at some places; it is still an object."""
    wire = source.spoil(value, FIELDS)
    return wire if isinstance(wire, dict) else {"metadata": wire}


def read_fields(data: bytes) -> None:
    """Whatever stands in an object, each field is read as its type or counts as absent."""
    source = Source(data)
    obj = source.json(FIELDS, 5)
    path = [source.key(FIELDS) for _ in range(source.below(3))]
    assert isinstance(shapes.text(obj, *path), str)
    assert shapes.flag(obj, *path) in (True, False)
    assert type(shapes.number(obj, *path)) is int
    assert all(isinstance(value, str) for value in shapes.texts(obj, *path).values())
    assert all(isinstance(one, Mapping) for one in shapes.items(obj, *path))
    assert all(isinstance(one, str) for one in shapes.words(obj, *path))
    time = shapes.time(obj, *path)
    if time is not None:
        assert shapes.time({"t": shapes.micro_timestamp(time)}, "t") == time
    assert isinstance(shapes.key(obj), str)


PREFLIGHT: Wire = {
    "metadata": {
        "name": "n",
        "uid": "u",
        "resourceVersion": "7",
        "ownerReferences": [{"kind": "Node", "apiVersion": "v1", "uid": "x"}],
    },
    "spec": {
        "skip": False,
        "config": {"useEmulation": True, "ignoredChecks": ["Tun"]},
        "run": {"id": "r", "check": "c", "deadline": "2026-01-01T00:00:00Z"},
    },
    "status": {
        "runID": "r",
        "passed": True,
        "mode": "Hardware",
        "results": [{"checkName": "KVM", "passed": True, "status": "Pass", "reason": "GuestRan"}],
        "startTime": "2026-01-01T00:00:00Z",
    },
}


def read_node_preflights(data: bytes) -> None:
    """Any object is a NodePreflight; what is kept of it can be written and compared."""
    wire = spoilt(Source(data), PREFLIGHT)
    read = from_object(wire)
    json.dumps(read.status.to_dict() if read.status else None)
    hash(published_verdict(read.status))
    assert read.pending is None or (read.run is not None and not read.skip)
    body = spec_body(
        read.name,
        node_uid=read.node_uid,
        skip=read.skip,
        use_emulation=read.use_emulation,
        ignored_checks=read.ignored_checks,
        run=read.run,
    )
    back = from_object(body)
    assert (back.name, back.skip, back.use_emulation) == (read.name, read.skip, read.use_emulation)
    assert (back.run and back.run.id) == (read.run and read.run.id)


POD: Wire = {
    "metadata": {
        "name": "p",
        "ownerReferences": [{"kind": "DaemonSet", "controller": True, "name": "vm-preflight-agent"}],
    },
    "spec": {
        "nodeName": "a",
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "values": ["a"]}]}]
                }
            }
        },
    },
    "status": {
        "phase": "Running",
        "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
        "containerStatuses": [{"state": {"waiting": {"reason": "ErrImagePull"}}}],
    },
}


@cache
def worlds() -> tuple[ClusterModel, ...]:
    """Returns a cluster at moments of a history: before a check, during it, after it, switched off."""
    cluster, moments = ClusterModel(), []

    def settle() -> None:
        cluster.settle()
        cluster.wait(1)
        moments.append(copy.deepcopy(cluster))

    for name in ("a", "b", "c"):
        cluster.add_node(name)
    cluster.label("c", skip=True)
    settle()
    cluster.enable(preflight={"ignoredChecks": ["Tun"]})
    settle()
    cluster.serve_all()
    cluster.answer("a")
    settle()
    cluster.answer("b", passed=False)
    settle()
    cluster.label("c", skip=False)
    cluster.ask("manual")
    settle()
    cluster.answer_all()
    settle()
    cluster.enable(enabled=False)
    settle()
    return tuple(moments)


def project_objects(data: bytes) -> None:
    """Any object is a node, a pod, a DaemonSet, a check and a VMRuntime, and the same when read again."""
    source = Source(data)
    cluster = source.pick(worlds())
    valid = [
        POD,
        *cluster.nodes.values(),
        *cluster.checks.values(),
        *filter(None, (cluster.runtime, cluster.daemon_set)),
    ]
    wire = spoilt(source, source.pick(valid))
    for project in (objects.node, objects.agent_pod, objects.daemon_set, objects.check, objects.runtime):
        assert repr(project(wire)) == repr(project(copy.deepcopy(wire)))


def decide_what_to_do(data: bytes) -> None:
    """Whatever some objects hold, the controller decides; what it writes is JSON of bounded size, and no node
    passes unless its agent said so."""
    source = Source(data)
    cluster = copy.deepcopy(source.pick(worlds()))
    for _ in range(source.below(3) + 1):
        kind = source.pick((cluster.checks, cluster.preflights, cluster.nodes, None))
        if kind:
            name = source.pick(sorted(kind))
            kind[name] = spoilt(source, kind[name])
        elif cluster.runtime is not None:
            cluster.runtime = spoilt(source, cluster.runtime)
    cluster.wait(source.pick((0, 1, 200, 1000)))
    world = cluster.world()
    said = {
        name for name, one in world.preflights.items() if one.status is not None and one.status.passed is True
    }
    for action in decide(world).actions:
        for wire in written(action):
            encoded = json.dumps(wire, allow_nan=False)
            assert len(encoded.encode()) < 2 * LIMIT
        if isinstance(action, WriteCheckStatus) and action.status.get("pass") is True:
            passed = {
                name
                for name in shapes.mapping(action.status, "checks")
                if shapes.flag(action.status, "checks", name, "passed")
            }
            assert passed <= said


def written(action: Action) -> Iterator[object]:
    """Yields what an action writes."""
    match action:
        case WriteRuntimeStatus(_, status) | WriteCheckStatus(_, status):
            yield status
            for field in ("startTime", "completionTime"):
                assert field not in status or shapes.time(status, field) is not None
        case AskNode():
            yield action.body()


class Response:
    """A response's stream, cut anyhow."""

    def __init__(self, data: bytes, cuts: Source) -> None:
        self._data = data
        self._cuts = cuts

    def read1(self, size: int) -> bytes:
        """Returns some bytes more."""
        count = min(size, self._cuts.below(40) + 1 if self._cuts.left else size)
        some, self._data = self._data[:count], self._data[count:]
        return some


def read_watches(data: bytes) -> None:
    """However a stream of events is cut, the same ones come out, then the same ApiError of one line."""
    outcomes = []
    for cuts in (Source(data), Source(b"")):
        found = []
        try:
            for line in answers.lines(Response(data, cuts), "WATCH /x"):  # type: ignore[arg-type]  # as much as is read of it
                kind, obj = answers.event(line, "WATCH /x")
                assert kind in ("ADDED", "MODIFIED", "DELETED", "BOOKMARK")
                found.append(repr(obj))
        except ApiError as error:
            assert str(error).isprintable()
            assert len(str(error)) < 1200
            found.append(str(error))
        outcomes.append(found)
    assert outcomes[0] == outcomes[1]


def read_refusals(data: bytes) -> None:
    """Whatever stands in an answer that is no success, one line tells it, and no wait has no end."""
    source = Source(data)
    refused = urllib3.HTTPResponse(
        status=source.pick((400, 401, 403, 404, 409, 410, 429, 500, 503, 599)),
        reason=source.pick(("Not Found", "", None, source.text())),
        headers={"Retry-After": source.pick(("5", "9" * 400, "-1", "\u0663", "soon", source.text()))},
        body=source.pick((STATUS, STATUS[:20], source.rest())),
    )
    error = answers.failure(refused, "GET /x")
    assert str(error).isprintable()
    assert len(str(error)) < 2200
    assert error.not_found is (error.status == 404)
    assert Backoff(base=1, cap=8, random=lambda: 1.0).delay(9, error.retry_after) <= MAX_RETRY_AFTER + 8


STATUS = b'{"kind": "Status", "reason": "NotFound\\u001b[31m", "message": "no\\nsuch", "code": 404}'

KINDS = ("ADDED", "MODIFIED", "DELETED", "BOOKMARK")


class Server:
    """An API server that lists and streams anything."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.told: list[tuple[str, Wire]] = []

    def limited(self, **_: object) -> "Server":
        """Returns itself."""
        return self

    def pages(self, _path: str, *, params: object) -> Iterator[Wire]:
        """Yields a list's pages."""
        del params
        for _ in range(self._source.below(3)):
            listed: list[object] = [self._object() for _ in range(self._source.below(3))]
            page: Wire = {"metadata": {"resourceVersion": "1"}, "items": listed}
            page = spoilt(self._source, page) if self._source.below(8) == 0 else page
            self.told += [("ADDED", dict(one)) for one in shapes.items(page, "items")]
            yield page

    def watch(
        self, _path: str, *, on_open: Callable[[], None], **_given: object
    ) -> Iterator[tuple[str, Wire]]:
        """Yields events."""
        on_open()
        for _ in range(self._source.below(6)):
            event: tuple[str, Wire] = (self._source.pick(KINDS), self._object())
            yield event
            self.told.append(event)
        if self._source.below(2):
            raise ApiError(410, "Gone", "x")

    def _object(self) -> Wire:
        wire: Wire = {"metadata": {"name": self._source.pick(("a", "b", "c")), "resourceVersion": "2"}}
        return spoilt(self._source, wire) if self._source.below(4) == 0 else wire


def keep_caches(data: bytes) -> None:
    """Whatever is listed and streamed, a cache holds nothing but what was told."""
    server = Server(Source(data))
    informer = Informer(server, NODES, from_object, on_change=lambda: None, read_timeout=1.0)  # type: ignore[arg-type]
    error = informer._list_and_watch()
    assert error is None or isinstance(error, ApiError)
    told = {shapes.key(obj) for _, obj in server.told}
    if informer.synced:
        assert set(informer.items()) <= told
    else:
        assert not informer.items()


LEASE: Wire = {
    "spec": {
        "holderIdentity": "a",
        "leaseDurationSeconds": 15,
        "acquireTime": "t",
        "renewTime": "t",
        "leaseTransitions": 3,
    }
}


def read_leases(data: bytes) -> None:
    """Any Lease is read; who takes it writes numbers that are none below zero, and is the holder."""
    source = Source(data)
    record = Record.of(spoilt(source, LEASE))
    assert record.duration >= 0 <= record.transitions
    taken = claim(record, source.pick(("a", "b")), duration=15, moment="now")
    json.dumps(taken.to_dict(), allow_nan=False)
    assert taken.holder in ("a", "b")
    assert taken.transitions - record.transitions == (taken.holder != record.holder)


def name_things(data: bytes) -> None:
    """A name never leads to another path, and an Event's name is one that the API server takes."""
    source = Source(data)
    name, namespace = (source.take(40).decode("utf-8", "replace") for _ in range(2))
    path = NODE_PREFLIGHTS.path(name or "x", subresource="status")
    assert path.count("/") == 6
    assert path.isascii()
    assert not set("?# ") & set(path)
    made = events.event_name(name, worlds()[0].now)
    assert re.fullmatch(r"[a-z0-9][-a-z0-9.]{0,251}[a-z0-9]", made)
    line = one_line(namespace)
    assert line.isprintable()
    assert one_line(line) == line


KUBECONFIG = b"""apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: k, user: u}}]
clusters: [{name: k, cluster: {server: "https://h:6443", certificate-authority-data: QQ==}}]
users: [{name: u, user: {token: t, client-certificate-data: QQ==, client-key-data: QQ==}}]
"""


def read_kubeconfigs(data: bytes) -> None:
    """A kubeconfig gives credentials, or one line that names the file and is no secret."""
    if b"exec" in data or b"auth-provider" in data:  # what these name would be run
        return
    from kubernetes.config import kube_config

    with tempfile.TemporaryDirectory() as directory:
        path, before, tempfile.tempdir = os.path.join(directory, "config"), tempfile.tempdir, directory
        try:
            with open(path, "wb") as file:
                file.write(data)
            credentials = kubeconfig.load(path)
        except CredentialsError as error:
            assert str(error).startswith(path)
            assert str(error).isprintable()
            assert len(str(error)) < 1200 + len(path)
        else:
            assert isinstance(credentials.server, str)
        finally:
            kube_config._cleanup_temp_files()  # type: ignore[no-untyped-call]
            tempfile.tempdir = before


def read_urls(data: bytes) -> None:
    """The URL of an API server or of a proxy gives connections, or one line that says that it is none."""
    server, _, proxy = data.decode("utf-8", "surrogateescape").partition(" ")
    try:
        connections, prefix = pool(Credentials(server=server, proxy=proxy))
    except CredentialsError as error:
        assert str(error).isprintable()
        return
    assert connections.host
    assert not prefix.endswith("/")
    connections.close()


MANIFEST = b"""apiVersion: apps/v1
kind: DaemonSet
metadata: {name: vm-preflight-agent, uid: x, labels: {a: b}}
spec: {template: {spec: {containers: [{name: a, image: "vm-preflight:1"}], initContainers: [{image: b}]}}}
"""


def read_manifests(data: bytes) -> None:
    """A manifest is the agents' DaemonSet, in JSON and in the right namespace, or refused in one line."""
    try:
        body = prepare(data.decode("utf-8", "replace"), image="r/vm-preflight:2", namespace="vm-system")
    except ManifestError as error:
        assert "\n" not in str(error)
        return
    json.dumps(body, allow_nan=False)
    assert shapes.text(body, "metadata", "namespace") == "vm-system"
    assert shapes.text(body, "metadata", "name") == "vm-preflight-agent"
    images = {
        shapes.text(one, "image") for one in shapes.items(body, "spec", "template", "spec", "containers")
    }
    assert "vm-preflight:1" not in images


EVENTS = (
    b'{"type": "ADDED", "object": {"metadata": {"name": "a"}}}\n\n{"type": "BOOKMARK", "object": {}}\n'
    b'{"type": "ERROR", "object": {"code": 410, "reason": "Gone\\n", "message": "x"}}'
)


def read_stream(data: bytes) -> None:
    """Reads a watch to its end or its fault."""
    with contextlib.suppress(ApiError):
        for line in answers.lines(Response(data, Source(b"")), "WATCH /x"):  # type: ignore[arg-type]  # as much as is read of it
            answers.event(line, "WATCH /x")


TARGETS = (
    Target("fields", read_fields),
    Target("node-preflights", read_node_preflights),
    Target("objects", project_objects),
    Target("controller", decide_what_to_do, suite=50),
    Target("watches", read_watches, (EVENTS, EVENTS[:-5]), read_stream),
    Target("refusals", read_refusals),
    Target("caches", keep_caches),
    Target("leases", read_leases),
    Target(
        "names-of-objects",
        name_things,
        (b"worker-0.example.com", b"a/b?c#d%2e.."),
        lambda data: one_line(data.decode("latin-1")),
    ),
    Target("kubeconfigs", read_kubeconfigs, (KUBECONFIG,), suite=25),
    Target(
        "urls",
        read_urls,
        (b"https://10.0.0.1:6443/k8s", b"http://[::1]:80 http://u:p@proxy:3128", b"https://\xc3\xa9/"),
    ),
    Target("manifests", read_manifests, (MANIFEST,), suite=50),
)
"""Everything that comes from an API server, or from a file that says how to reach it."""
