"""What every object has: an identity, and conditions in its status."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from cluster.shapes import items, number, text, time

WireObject = Mapping[str, object]
NOTHING: WireObject = {}


@dataclass(frozen=True, slots=True)
class Meta:
    """An object's identity.

    Attributes:
        name: Its name.
        uid: Its unique id: an object of the same name that was made anew has another.
        resource_version: Changes with each write.
        generation: Counts the changes of its spec; 0 where the kind has none.
        created: When the API server accepted it.
    """

    name: str
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    created: datetime | None = None


def meta(wire: WireObject) -> Meta:
    """Reads an object's ``metadata``."""
    return Meta(
        name=text(wire, "metadata", "name"),
        uid=text(wire, "metadata", "uid"),
        resource_version=text(wire, "metadata", "resourceVersion"),
        generation=number(wire, "metadata", "generation"),
        created=time(wire, "metadata", "creationTimestamp"),
    )


def unversioned(wire: WireObject) -> Meta:
    """Reads an object's ``metadata`` without its version, where a new one alone is no change."""
    return replace(meta(wire), resource_version="")


def condition(wire: WireObject, name: str) -> WireObject:
    """Returns one of ``status.conditions`` by its type, empty where it is not there."""
    for one in items(wire, "status", "conditions"):
        if text(one, "type") == name:
            return one
    return NOTHING
