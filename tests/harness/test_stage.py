"""What `make demo` shows is checked: a story with a wrong word in it ends it."""

import pytest
from stage import Stage


def test_what_a_command_prints_is_shown(capsys):
    stage = Stage()
    stage.title("First")
    stage.run("echo one two", says="two")
    stage.show("cat", "a\nb\nb2\nb3\n", only="b", lines=2)
    assert capsys.readouterr().out.splitlines() == [
        "",
        "1. First",
        "  $ echo one two",
        "  one two",
        "  $ cat | grep -E 'b'",
        "  b",
        "  b2",
        "  … 1 more lines",
    ]


@pytest.mark.parametrize(
    ("command", "wanted", "told"),
    [
        ("false", {}, "false: ended with status 1, not 0"),
        ("true", {"status": 1}, "true: ended with status 0, not 1"),
        ("echo refused", {"says": "created"}, "echo refused: does not say 'created'"),
    ],
)
def test_a_wrong_word_ends_the_story(command, wanted, told):
    with pytest.raises(AssertionError, match=told):
        Stage().run(command, **wanted)
