"""The agents' DaemonSet: read from the administrator's manifest, applied when it differs, with the image set.

The manifest is a file that changes in place (a mounted ConfigMap): it is looked at on every look, and read
again when it changed. One that cannot be used changes nothing: what runs goes on, and a condition names it.
"""

import hashlib
import json
import os
from collections.abc import Mapping

import yaml

from cluster import shapes
from cluster.resources import AGENT_NAME, DAEMON_SETS
from cluster.transport import ApiError, Client
from controller.objects import DaemonSet, WireObject
from controller.world import Manifest

PLACEHOLDER = "vm-preflight"
"""An image of this name, without a registry and whatever its tag, stands for the controller's own."""
MAX_BYTES = 1 << 20
SERVER_FIELDS = ("creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid")
"""Fields of ``metadata`` that `kubectl get -o yaml` prints and that are not ours to set."""


class ManifestError(ValueError):
    """A manifest that cannot be used; one line."""


def prepare(text: str, *, image: str, namespace: str) -> dict[str, object]:
    """Makes the object to apply out of a manifest.

    Args:
        text: The manifest, YAML.
        image: What replaces the placeholder; empty leaves it as it is.
        namespace: Where the agents run.

    Raises:
        ManifestError: It is not the agents' DaemonSet.
    """
    try:
        manifest: object = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ManifestError(f"not a YAML document: {' '.join(str(error).split())}") from None
    if not isinstance(manifest, Mapping):
        raise ManifestError("not a YAML mapping")
    kind = f"{shapes.text(manifest, 'apiVersion')} {shapes.text(manifest, 'kind')}"
    if kind != f"{DAEMON_SETS.api_version} {DAEMON_SETS.kind}":
        raise ManifestError(
            f"its kind is {kind.strip() or 'missing'}, not {DAEMON_SETS.api_version} {DAEMON_SETS.kind}"
        )
    name = shapes.text(manifest, "metadata", "name")
    if name != AGENT_NAME:
        raise ManifestError(f"its name is {name!r}, not {AGENT_NAME!r}")
    if not shapes.items(manifest, "spec", "template", "spec", "containers"):
        raise ManifestError("it has no containers")
    try:
        body: object = json.loads(json.dumps(manifest, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise ManifestError(f"it holds something that JSON cannot: {error}") from None
    if not isinstance(body, dict):
        raise ManifestError("not a YAML mapping")
    body.pop("status", None)
    metadata = {
        key: value for key, value in shapes.mapping(body, "metadata").items() if key not in SERVER_FIELDS
    }
    body["metadata"] = {**metadata, "namespace": namespace}
    if image:
        _set_image(body, image)
    return body


def _set_image(body: WireObject, image: str) -> None:
    spec = shapes.mapping(body, "spec", "template", "spec")
    for container in (*shapes.items(spec, "containers"), *shapes.items(spec, "initContainers")):
        if isinstance(container, dict) and shapes.text(container, "image").partition(":")[0] in (
            "",
            PLACEHOLDER,
        ):
            container["image"] = image


class Rollout:
    """Applies and deletes the agents' DaemonSet.

    Args:
        client: Calls to the API server.
        path: File of the manifest.
        image: The agents' image; empty leaves the manifest's.
        namespace: Where the agents run.
    """

    def __init__(self, client: Client, *, path: str, image: str, namespace: str) -> None:
        self._client = client
        self._path = path
        self._image = image
        self._namespace = namespace
        self._stamp: tuple[int, int, int] | None = None
        self._body: dict[str, object] = {}
        self._trouble = ""
        self._apply_trouble = ""
        self._applied: tuple[str, str, int] | None = None

    def look(self, there: DaemonSet | None) -> Manifest:
        """Reads the manifest if it changed, and compares what is there with it.

        Args:
            there: The DaemonSet as it is.
        """
        self._read()
        current = there is not None and self._applied == (
            self._digest(),
            there.meta.uid,
            there.meta.generation,
        )
        return Manifest(
            template=shapes.mapping(self._body, "spec", "template"),
            trouble=self._trouble,
            applied=current,
            apply_trouble=self._apply_trouble,
        )

    def apply(self) -> WireObject:
        """Applies the manifest, taking fields over that somebody else changed, and returns the DaemonSet.

        Raises:
            ApiError: The API server's answer.
        """
        try:
            wire = self._client.apply(DAEMON_SETS.path(AGENT_NAME, namespace=self._namespace), self._body)
        except ApiError as error:
            self._apply_trouble = f"DaemonSet {AGENT_NAME}: {error.message or error}"
            raise
        self._apply_trouble = ""
        generation = shapes.number(wire, "metadata", "generation")
        self._applied = (self._digest(), shapes.text(wire, "metadata", "uid"), generation)
        return wire

    def delete(self, daemon_set: DaemonSet) -> None:
        """Deletes the DaemonSet with its pods.

        Raises:
            ApiError: The API server's answer. One that is gone, or was made anew, is no error.
        """
        path = DAEMON_SETS.path(AGENT_NAME, namespace=self._namespace)
        self._client.delete_exactly(path, uid=daemon_set.meta.uid)

    def _read(self) -> None:
        try:
            found = os.stat(self._path)
            stamp = (found.st_ino, found.st_mtime_ns, found.st_size)
            if stamp == self._stamp:
                return
            self._stamp = stamp
            if found.st_size > MAX_BYTES:
                raise ManifestError(f"larger than {MAX_BYTES} bytes")
            with open(self._path, encoding="utf-8") as file:
                text = file.read(MAX_BYTES)
            self._body = prepare(text, image=self._image, namespace=self._namespace)
            self._trouble = ""
        except OSError as error:
            self._stamp = None
            self._trouble = f"{self._path}: {error.strerror}"
        except ValueError as error:  # a ManifestError, or bytes that are not UTF-8
            self._trouble = f"{self._path}: {error}"

    def _digest(self) -> str:
        return hashlib.sha256(json.dumps(self._body, sort_keys=True).encode()).hexdigest()
