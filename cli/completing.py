"""How the last word of a command line can go on: what shells ask, through the script of `cli.completion`.

The answer is that of cobra, which kubectl takes from ``kubectl_complete-PLUGIN`` too: a line a candidate, a
tab and what it means behind it; then ``:`` and a number that says whether files count (kubernetes:
staging/src/k8s.io/kubectl/pkg/cmd/plugin/plugin_completion.go; cobra: ShellCompDirective).
"""

import contextlib
from argparse import Namespace
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from cli.main import Program, command, find
from cli.options import Described, NotDoneError, Offer, Parser, UsageError
from preflight.result import one_line

FILES = 0
NO_FILES = 4
DIRECTORIES = 16

WORDS = {
    "checks": ("list", "explain"),
    "enable": ("vmruntime",),
    "disable": ("vmruntime",),
    "check": ("vmruntimepfc",),
    "completion": ("bash", "zsh", "fish"),
}
"""What stands behind a command of ``vm-preflight``."""

SECONDS = 3.0
"""How long the API server is waited for: somebody waits at a key."""
MAX_NODES = "500"
"""Nodes that are asked for: more would be neither read nor quick."""


class Candidate(NamedTuple):
    """A word that can stand here, and what it means."""

    word: str
    help: str = ""


def answer(program: Program, words: Sequence[str]) -> int:
    """Prints how the last of ``words`` can go on."""
    *before, last = joined(words) or [""]
    found, directive = complete(program, before, last)
    start = last.partition("=")[2] if last.startswith("-") and "=" in last else last
    for one in found:
        if one.word.startswith(start):
            print(f"{one_line(one.word)}\t{one_line(one.help)}".rstrip("\t"))
    print(f":{directive}")
    return 0


def joined(words: Sequence[str]) -> list[str]:
    """Returns words as they were typed: bash takes ``--output=json`` for three of them."""
    whole: list[str] = []
    for at, word in enumerate(words):
        if whole and whole[-1].startswith("--") and (word == "=" or (at and words[at - 1] == "=")):
            whole[-1] += word
        else:
            whole.append(word)
    return whole


def complete(program: Program, before: Sequence[str], last: str) -> tuple[list[Candidate], int]:
    """Returns what can stand in place of the last word, and a directive.

    Args:
        program: Whose words they are.
        before: The words before the last one.
        last: The last word, as far as it was typed.
    """
    name, rest = find(before, program)
    known = name in program.commands
    offers = offered(program, name, rest) if known else []
    valued = {word: one for one in offers if one.value for word in (one.name, one.short) if word}
    option = last.partition("=")[0] if last.startswith("-") and "=" in last else (before[-1:] or [""])[0]
    if option in valued:
        return values(valued[option], before, last)
    if last.startswith("-"):
        return [
            *(Candidate(one.name, one.help) for one in offers),
            Candidate("--help", "explain it"),
        ], NO_FILES
    if name not in before:  # no command is named yet
        return [Candidate(one, told) for one, (_, told) in program.commands.items()], NO_FILES
    if not known:
        return [], NO_FILES
    return positional(program, name, positionals(rest, valued), before), NO_FILES


def positionals(words: Sequence[str], valued: dict[str, Offer]) -> list[str]:
    """Returns the words that are neither options nor their values."""
    return [
        word
        for at, word in enumerate(words)
        if not word.startswith("-") and (at == 0 or words[at - 1] not in valued)
    ]


def offered(program: Program, name: str, words: Sequence[str]) -> Sequence[Offer]:
    """Returns the options that a command takes; none where its words do not tell yet what it is to do."""
    Parser.describing = True
    try:
        command(program, name)(f"{program.name} {name}", [word for word in words if word[:1] != "-"])
    except Described as told:
        return told.offers
    except (UsageError, NotDoneError):
        return []
    finally:
        Parser.describing = False
    return []


def values(offer: Offer, before: Sequence[str], last: str) -> tuple[list[Candidate], int]:
    """Returns what an option's value can be."""
    if "|" in offer.value:
        return [Candidate(word) for word in offer.value.split("|")], NO_FILES
    if offer.value == "NAME,…":
        done = last.rpartition("=")[2].rpartition(",")
        return [Candidate(f"{done[0]}{done[1]}{one.word}", one.help) for one in check_names()], NO_FILES
    if offer.name == "--context":
        return list(contexts(before)), NO_FILES
    return [], {"FILE": FILES, "PATH": FILES, "DIR": DIRECTORIES}.get(offer.value, NO_FILES)


def positional(program: Program, name: str, words: Sequence[str], before: Sequence[str]) -> list[Candidate]:
    """Returns what can stand behind a command and the words after it."""
    if program.default:
        return list(node_names(before)) if name == "explain" and not words else []
    if name == "checks" and words == ["explain"]:
        return list(check_names())
    return [Candidate(word) for word in WORDS.get(name, ())] if not words else []


def check_names() -> Iterator[Candidate]:
    """Yields the checks that there are; none where a plugin of them cannot be loaded."""
    from preflight.config import ConfigError
    from preflight.discovery import discover

    with contextlib.suppress(ConfigError):  # whoever runs the command is told
        for check in discover():
            yield Candidate(check.name, check.question)


def contexts(before: Sequence[str]) -> Iterator[Candidate]:
    """Yields the contexts of the kubeconfig that the words name."""
    from cluster.errors import CredentialsError
    from cluster.kubeconfig import contexts

    with contextlib.suppress(CredentialsError):  # whoever runs the command is told
        for name in contexts(_given("--kubeconfig", before) or None):
            yield Candidate(name)


def node_names(before: Sequence[str]) -> Iterator[Candidate]:
    """Yields the nodes of the cluster that the words name; none where it does not tell them in time."""
    from cli.cluster_access import connection
    from cli.cluster_view import name_of
    from cluster.resources import NODE_PREFLIGHTS, NODES
    from cluster.shapes import items
    from cluster.transport import ApiError

    where = Namespace(kubeconfig=_given("--kubeconfig", before), context=_given("--context", before))
    # whoever runs the command is told
    with contextlib.suppress(NotDoneError, UsageError), connection(where) as client:
        quick = client.limited(timeout=SECONDS)
        first = {"limit": MAX_NODES, "resourceVersion": "0"}
        try:
            found = quick.get(NODES.path(), params=first)
        except ApiError as error:
            if not error.forbidden:
                raise
            found = quick.get(NODE_PREFLIGHTS.path(), params=first)
        for one in items(found, "items"):
            yield Candidate(name_of(one))


def _given(option: str, words: Sequence[str]) -> str:
    """Returns the value of an option, wherever it stands; empty where it does not."""
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word == option:
            return following
        if word.startswith(f"{option}="):
            return word.partition("=")[2]
    return ""
