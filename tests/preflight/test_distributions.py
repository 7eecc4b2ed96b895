import importlib.metadata
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preflight import distributions
from preflight.distributions import EntryPoint
from preflight.version import version

GROUP = "vm_preflight.checks"


def install(folder, directory: str, text: str | None = None, *, name: str = "", release: str = "1") -> None:
    """Makes a distribution's metadata, as an installer does."""
    metadata = folder / directory
    metadata.mkdir(parents=True)
    name = name or directory.partition("-")[0]
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {release}\n")
    if text is not None:
        (metadata / "entry_points.txt").write_text(text)


def as_the_library_says(path: list[str]) -> list[tuple[str, str, str]]:
    seen: set[str] = set()
    found = []
    for distribution in importlib.metadata.distributions(path=path):
        name = distribution.metadata["Name"].lower().replace("_", "-").replace(".", "-")
        if name not in seen:
            seen.add(name)
            points = distribution.entry_points.select(group=GROUP)
            found += [(point.name, point.value, name) for point in points]
    return sorted(found)


@pytest.fixture
def path(tmp_path) -> list[str]:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    install(
        first,
        "acme_checks-1.2.dist-info",
        f"[console_scripts]\nacme = acme:main\n\n[{GROUP}]\nDisk = acme.disk:disk\nFan=acme.fan : fan [x]\n",
    )
    install(second, "acme_checks-1.1.dist-info", f"[{GROUP}]\nOld = acme.old:old\n")
    install(
        first, "Zope.Thing-3.dist-info", f"# comment\n  [{GROUP}]\n\n# another\n  Zope = zope.thing:check  \n"
    )
    install(second, "legacy.egg-info", f"[{GROUP}]\nLegacy = legacy:check\n", name="legacy")
    install(second, "plain-1.dist-info")
    install(second, "other-1.dist-info", "[other]\nOther = other:check\n")
    (second / "flat-1.egg-info").write_text("Metadata-Version: 2.1\nName: flat\nVersion: 1\n")
    (second / "module.py").touch()
    return [str(first), str(tmp_path / "absent"), str(second), str(second / "module.py")]


def test_entry_points_of_several_distributions(path: list[str]) -> None:
    assert distributions.entry_points(GROUP, path) == [
        EntryPoint("Disk", "acme.disk:disk", "acme-checks"),
        EntryPoint("Fan", "acme.fan : fan [x]", "acme-checks"),
        EntryPoint("Legacy", "legacy:check", "legacy"),
        EntryPoint("Zope", "zope.thing:check", "zope-thing"),
    ]


def test_the_library_says_the_same(path: list[str]) -> None:
    assert distributions.entry_points(GROUP, path) == as_the_library_says(path)


def test_the_library_says_the_same_of_this_installation() -> None:
    ours = {(one.name, one.version) for one in distributions.installed() if one.version}
    theirs = {
        (one.metadata["Name"].lower().replace("_", "-").replace(".", "-"), one.version)
        for one in importlib.metadata.distributions()
    }
    assert {name for name, _ in ours} == {name for name, _ in theirs}
    points = {
        (point.name, point.value)
        for group in ("console_scripts", "pytest11", GROUP)
        for point in distributions.entry_points(group)
    }
    assert points == {
        (point.name, point.value)
        for group in ("console_scripts", "pytest11", GROUP)
        for point in importlib.metadata.entry_points(group=group)
    }


words = st.text(string.ascii_letters + "_.-", min_size=1, max_size=6)
lines = st.one_of(
    st.just(f"[{GROUP}]"),
    st.just("[other]"),
    st.just(""),
    words.map("# {}".format),
    st.builds(
        "{}{}={} {}:{}".format,
        st.sampled_from(["", " ", "\t"]),
        words,
        st.sampled_from(["", " "]),
        words,
        words,
    ),
)


@given(st.lists(lines, max_size=8).map("\n".join))
def test_the_library_reads_the_same_in_a_file(text: str) -> None:
    points = importlib.metadata.EntryPoints._from_text_for(text, None)
    assert list(distributions.parse(text, GROUP)) == [
        (point.name, point.value) for point in points if point.group == GROUP
    ]


def test_a_line_without_a_value_is_kept(tmp_path) -> None:
    assert list(distributions.parse(f"[{GROUP}]\nBroken\n", GROUP)) == [("Broken", "")]


def test_junk_costs_its_own_distribution_only(tmp_path) -> None:
    install(tmp_path, "good-1.dist-info", f"[{GROUP}]\nGood = good:check\n")
    install(tmp_path, "junk-1.dist-info", "")
    (tmp_path / "junk-1.dist-info/entry_points.txt").write_bytes(bytes(range(256)))
    (tmp_path / "folder-1.dist-info/entry_points.txt").mkdir(parents=True)
    assert distributions.entry_points(GROUP, [str(tmp_path)]) == [EntryPoint("Good", "good:check", "good")]


def test_the_version_is_that_of_the_installed_distribution(monkeypatch, tmp_path) -> None:
    install(tmp_path, "vm_preflight-7.8.9.dist-info", name="vm-preflight", release="7.8.9")
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    assert version() == "7.8.9"
    assert version() == importlib.metadata.version("vm-preflight")


def test_without_an_installation_the_version_is_not_known(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    assert version() == "unknown"
