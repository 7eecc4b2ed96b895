import pytest

from cli.options import Parser, choice, duration, names, truth, variable_of


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("1.5", 1.5), ("90s", 90), ("5m", 300), ("1h2m3.5s", 3723.5), ("2h", 7200)],
)
def test_duration(text, seconds):
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "-1", "5 m", "m", "1d", "nan", "1e3", "9" * 20])
def test_no_duration(text):
    with pytest.raises(ValueError, match=r"duration|more than zero"):
        duration(text)


def test_words():
    assert names(" KVM, ,CPU,") == ("KVM", "CPU")
    assert choice("a", "b")("b") == "b"
    with pytest.raises(ValueError, match="'c' is not one of a, b"):
        choice("a", "b")("c")
    with pytest.raises(ValueError, match="'maybe' is neither true nor false"):
        truth("maybe")


def parser():
    made = Parser("prog", "Does.")
    made.option("--host-root", str, default="/", metavar="DIR", help="root")
    made.option("--timeout", duration, default=None, metavar="S", help="time")
    made.flag("--wait", help="wait")
    made.flag("--force", help="force", typed=True)
    return made


def test_an_option_counts_before_its_variable_and_that_before_the_default(monkeypatch):
    assert variable_of("--host-root") == "VM_PREFLIGHT_HOST_ROOT"
    assert parser().parse_args([]).host_root == "/"
    monkeypatch.setenv("VM_PREFLIGHT_HOST_ROOT", "/host")
    monkeypatch.setenv("VM_PREFLIGHT_TIMEOUT", "2m")
    assert parser().parse_args([]).host_root == "/host"
    assert parser().parse_args([]).timeout == 120
    assert parser().parse_args(["--host-root", "/other"]).host_root == "/other"


def test_the_help_tells_the_default_and_the_variable():
    told = " ".join(parser().format_help().split())
    assert "root (default /) [$VM_PREFLIGHT_HOST_ROOT]" in told
    assert "time [$VM_PREFLIGHT_TIMEOUT]" in told


@pytest.mark.parametrize(
    ("words", "forced"),
    [([], False), (["--force"], True), (["--force=true"], True), (["--force=false"], False)],
)
def test_a_switch(words, forced):
    assert parser().parse_args(words).force is forced


@pytest.mark.parametrize("words", [["--force=perhaps"], ["--timeout", "x"], ["--host"], ["extra"]])
def test_wrong_usage_is_one_line_and_status_2(words, capsys):
    with pytest.raises(SystemExit) as ended:
        parser().parse_args(words)
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("prog: ")
    assert error.count("\n") == 1


def test_a_wrong_variable_is_named(monkeypatch, capsys):
    monkeypatch.setenv("VM_PREFLIGHT_WAIT", "perhaps")
    with pytest.raises(SystemExit) as ended:
        parser()
    assert ended.value.code == 2
    assert "VM_PREFLIGHT_WAIT: 'perhaps' is neither true nor false" in capsys.readouterr().err


def test_an_empty_variable_counts_as_unset(monkeypatch):
    for name in ("HOST_ROOT", "TIMEOUT", "WAIT"):
        monkeypatch.setenv(f"VM_PREFLIGHT_{name}", "")
    options = parser().parse_args([])
    assert (options.host_root, options.timeout, options.wait) == ("/", None, False)


def test_what_destroys_must_be_typed(monkeypatch):
    monkeypatch.setenv("VM_PREFLIGHT_WAIT", "true")
    monkeypatch.setenv("VM_PREFLIGHT_FORCE", "true")
    assert parser().parse_args([]).wait is True
    assert parser().parse_args([]).force is False
