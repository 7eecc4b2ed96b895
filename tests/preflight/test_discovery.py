import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from fakechecks import GOOD

from preflight.check import BLOCKING, Check, Run
from preflight.discovery import discover
from preflight.host import Host
from preflight.outcomes import BAD_CONFIGURATION
from preflight.result import Outcome, Status

ROOT = Path(__file__).parents[2]


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder on the path, into which distributions with checks can be installed."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(distribution: str, points: dict[str, str], **modules: str) -> None:
        metadata = tmp_path / f"{distribution.replace('-', '_')}-1.0.dist-info"
        metadata.mkdir()
        lines = "".join(f"{name} = {value}\n" for name, value in points.items())
        (metadata / "entry_points.txt").write_text(f"[vm_preflight.checks]\n{lines}")
        for name, text in modules.items():
            (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))

    def found() -> tuple[Check, ...]:
        return discover([str(tmp_path)])

    yield install, found
    for name, module in list(sys.modules.items()):
        if (getattr(module, "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


def answers(checks: tuple[Check, ...]) -> dict[str, tuple[Outcome, str]]:
    findings = {check.name: check(Host(), Run()) for check in checks}
    return {name: (finding.outcome, finding.message) for name, finding in findings.items()}


GOOD_MODULE = """
    from fakechecks import fake
    {name} = fake("{name}")
"""


def test_checks_of_several_distributions_in_the_order_of_a_report(site) -> None:
    install, found = site
    install(
        "vm-preflight",
        {"KVM": "h1_ours:kvm"},
        h1_ours="""
        from fakechecks import fake
        from preflight.check import UNLESS_EMULATED
        class inner:
            tun = fake("Tun", needs=("KVM",))
        kvm = fake("KVM", weight=UNLESS_EMULATED)
    """,
    )
    install(
        "acme-checks",
        {"Tun": "h1_ours:inner.tun", "Disk": "h1_acme:Disk"},
        h1_acme=GOOD_MODULE.format(name="Disk"),
    )
    assert [check.name for check in found()] == ["KVM", "Disk", "Tun"]
    assert all(check.function is not None for check in found())
    assert {outcome for outcome, _ in answers(found()).values()} == {GOOD}


@pytest.mark.parametrize(
    ("value", "module", "problem"),
    [
        ("h1_absent:check", "", "ModuleNotFoundError: No module named 'h1_absent'"),
        ("h1_bad:absent", "", "AttributeError: module 'h1_bad' has no attribute 'absent'"),
        ("h1_bad:Bad", "1 / 0", "ZeroDivisionError: division by zero"),
        ("h1_bad:Bad", "import sys\nsys.exit('no')", "SystemExit: no"),
        ("h1_bad:Bad", "def broken(:", "SyntaxError: invalid syntax"),
        ("h1_bad:Bad", "def Bad(): pass", "function is no check"),
        ("h1_bad", "", "ValueError: not of the form module:attribute"),
        ("", "", "ValueError: not of the form module:attribute"),
        ("os; import evil", "", "ValueError: not of the form module:attribute"),
        (
            "h1_bad:Bad",
            "from fakechecks import fake\nBad = fake('Other')",
            "the check there calls itself Other",
        ),
        (
            "h1_bad:Bad",
            "from fakechecks import fake\nBad = fake('Bad', timeout=0)",
            "its time-out is 0, not ",
        ),
    ],
)
def test_one_that_cannot_be_used_says_why_and_costs_no_other(site, value, module, problem) -> None:
    install, found = site
    install("acme-checks", {"Bad": value}, h1_bad=module)
    install("good-checks", {"Fine": "h1_good:Fine"}, h1_good=GOOD_MODULE.format(name="Fine"))
    checks = {check.name: check for check in found()}
    assert list(checks) == ["Bad", "Fine"]
    assert checks["Bad"].weight is BLOCKING
    outcome, message = answers(found())["Bad"]
    assert outcome is BAD_CONFIGURATION
    assert outcome.status is Status.UNKNOWN
    assert message.startswith(f"acme-checks declares Bad = {value}: {problem}")
    assert answers(found())["Fine"][0] is GOOD


def test_a_dependency_that_is_not_there_names_the_distribution(site) -> None:
    install, found = site
    install(
        "acme-checks",
        {"Lost": "h1_lost:Lost"},
        h1_lost="from fakechecks import fake\nLost = fake('Lost', needs=('Nowhere',))",
    )
    assert answers(found())["Lost"] == (
        BAD_CONFIGURATION,
        "acme-checks declares Lost = h1_lost:Lost: it needs Nowhere, and there is no such check",
    )


def test_a_plugin_does_not_replace_one_of_ours(site) -> None:
    install, found = site
    install("aaa-checks", {"KVM": "h1_theirs:KVM"}, h1_theirs=GOOD_MODULE.format(name="KVM"))
    install("vm-preflight", {"KVM": "h1_own:KVM"}, h1_own=GOOD_MODULE.format(name="KVM"))
    said = answers(found())
    assert said == {
        "KVM": (GOOD, "KVM is good"),
        "KVMAaaChecks": (
            BAD_CONFIGURATION,
            "aaa-checks declares KVM = h1_theirs:KVM, and vm-preflight has a check of that name",
        ),
    }


def test_the_same_check_declared_twice_is_one(site) -> None:
    install, found = site
    install("acme-checks", {"Fine": "h1_fine:Fine"}, h1_fine=GOOD_MODULE.format(name="Fine"))
    install("acme-checks-fork", {"Fine": "h1_fine:Fine"})
    assert answers(found()) == {"Fine": (GOOD, "Fine is good")}


@pytest.mark.parametrize(
    ("name", "shown"),
    [("my check!", "MyCheck"), ("kvm-extra", "KvmExtra"), ("9lives", "Plugin9lives"), ("☃", "Plugin")],
)
def test_a_name_that_is_not_camel_case_is_shown_as_one(site, name: str, shown: str) -> None:
    install, found = site
    install("acme-checks", {name: "h1_named:Fine"}, h1_named=GOOD_MODULE.format(name="Fine"))
    assert answers(found()) == {
        shown: (
            BAD_CONFIGURATION,
            f"acme-checks declares {name} = h1_named:Fine: the check there calls itself Fine",
        )
    }


def test_what_a_plugin_prints_goes_to_standard_error(site, capsys) -> None:
    install, found = site
    install(
        "acme-checks",
        {"Loud": "h1_loud:Loud"},
        h1_loud="print('hello')\n" + textwrap.dedent(GOOD_MODULE.format(name="Loud")),
    )
    assert answers(found())["Loud"][0] is GOOD
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "hello\n")


def test_what_a_plugin_writes_past_sys_stdout_goes_to_standard_error(site, capfd) -> None:
    install, found = site
    install(
        "acme-checks",
        {"Loud": "h1_louder:Loud"},
        h1_louder="import os\nos.write(1, b'hello\\n')\n" + textwrap.dedent(GOOD_MODULE.format(name="Loud")),
    )
    assert answers(found())["Loud"][0] is GOOD
    os.write(1, b"the report\n")
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("the report\n", "hello\n")


def test_an_editable_installation_is_found(tmp_path) -> None:
    """A ``.pth`` file puts the sources on the path; the metadata lies in the site directory."""
    site, sources = tmp_path / "site", tmp_path / "sources"
    (site / "acme_checks-1.0.dist-info").mkdir(parents=True)
    sources.mkdir()
    (site / "acme_checks-1.0.dist-info/entry_points.txt").write_text(
        "[vm_preflight.checks]\nFine = h1_editable:Fine\n"
    )
    (site / "acme_checks.pth").write_text(f"{sources}\n")
    (sources / "h1_editable.py").write_text(textwrap.dedent(GOOD_MODULE.format(name="Fine")))
    program = (
        f"import site, sys; sys.path += [{str(ROOT)!r}, {str(ROOT / 'tests/support')!r}]\n"
        f"site.addsitedir({str(site)!r})\n"
        f"from preflight.discovery import discover\n"
        f"print([check.name for check in discover() if check.name == 'Fine'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert done.stdout == "['Fine']\n"
