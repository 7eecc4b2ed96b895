"""The controller killed before and after each of its writes, on a real API server."""

import itertools
import threading
from collections.abc import Mapping

import pytest
from controllerlab import ControllerLab

from cluster.resources import CHECKS, NAMESPACE, NODE_PREFLIGHTS
from cluster.transport import Client, Credentials, Object


class Writes:
    """Counts the writes of all clients that share it, and kills the thread of one."""

    def __init__(self, fatal: int, *, after: bool) -> None:
        self.fatal = fatal
        self.after = after
        self.count = 0
        self.killed = threading.Event()

    def kill(self) -> None:
        self.killed.set()
        raise SystemExit  # ends the thread at once, as SIGKILL ends the process


def mortal(credentials: Credentials, writes: Writes) -> Client:
    """A client whose n-th write kills its thread: before it is sent, or before its answer arrives."""

    class Mortal(Client):
        def _call(
            self,
            method: str,
            path: str,
            *,
            params: Mapping[str, str] | None = None,
            body: Mapping[str, object] | None = None,
            content_type: str = "application/json",
        ) -> Object:
            fatal = False
            if method != "GET":
                fatal = writes.count == writes.fatal
                writes.count += 1
            if fatal and not writes.after:
                writes.kill()
            answer = super()._call(method, path, params=params, body=body, content_type=content_type)
            if fatal:
                writes.kill()
            return answer

    return Mortal(credentials)


WRITES = 12
"""From enabling to ready the controller writes so often, Events included."""
STEPS = list(itertools.product(range(WRITES), (False, True)))


@pytest.mark.filterwarnings("ignore:Exception in thread reconciler")  # the SystemExit that kills it
@pytest.mark.parametrize(("fatal", "after"), STEPS)
def test_from_enabling_to_verdict(lab: ControllerLab, fatal: int, after: bool):
    lab.add_node("w1")
    lab.start()
    lab.installed()
    lab.stop()
    lab.enable()

    writes = Writes(fatal, after=after)
    lab.start(client=mortal(lab.credentials(), writes))
    lab.until(writes.killed.is_set, "killed")
    lab.stop()
    lab.start()
    lab.until(lambda: lab.status().get("ready") is True, "ready")

    (name,) = lab.checks()
    assert lab.check(name)["pass"] is True
    assert lab.agents.answered == [(name, "w1")]
    summary = lab.summary()
    assert summary["preflightCheckName"] == name
    assert summary["lastCompleted"]["name"] == name
    assert "pendingCheck" not in lab.status()
    assert lab.names(NODE_PREFLIGHTS) == {"w1"}
    annotations = lab.get(CHECKS, name, namespace=NAMESPACE)["metadata"]["annotations"]
    assert annotations == {"kubevm.io/trigger": "Enabled"}
