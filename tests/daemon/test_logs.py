"""Log lines of a real process: JSON, console, and what libraries log."""

import json
import os
import pty
import subprocess
import sys

SCRIPT = """
import logging, sys, structlog
from daemon import logs
logs.configure(*[word or None for word in sys.argv[1:2]], *sys.argv[2:3])
log = structlog.get_logger()
log.debug("unseen")
log.info("checked", node="a\\x1b[31m\\nb", results=2)
logging.getLogger("urllib3").warning("retry %s", "/x")
try:
    1 / 0
except ZeroDivisionError:
    log.exception("broke")
"""


def lines(*words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *words], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == ""
    return done.stderr


def test_json_where_there_is_no_terminal() -> None:
    checked, retry, broke = (json.loads(line) for line in lines("", "info").splitlines())
    assert checked["timestamp"].endswith("Z")
    assert {key: checked[key] for key in ("level", "event", "node", "results")} == {
        "level": "info",
        "event": "checked",
        "node": "a\x1b[31m\nb",
        "results": 2,
    }
    assert (retry["logger"], retry["level"], retry["event"]) == ("urllib3", "warning", "retry /x")
    assert "ZeroDivisionError" in broke["exception"]


def test_level_is_the_least_that_is_written() -> None:
    assert [json.loads(line)["event"] for line in lines("json", "error").splitlines()] == ["broke"]


def test_console_lines_carry_no_control_characters_of_others() -> None:
    text = lines("console", "debug")
    assert "unseen" in text
    assert r"node=a\x1b[31m\nb" in text
    assert "\x1b" not in text
    assert "ZeroDivisionError: division by zero" in text


def test_console_where_there_is_a_terminal() -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "NO_COLOR": "1"}
    child = subprocess.run(
        [sys.executable, "-c", SCRIPT], stderr=theirs, env=environment, check=True, timeout=60
    )
    os.close(theirs)
    text = b""
    try:
        while chunk := os.read(ours, 1 << 16):
            text += chunk
    except OSError:
        pass  # EIO: the other side of the terminal is closed
    os.close(ours)
    assert child.returncode == 0
    assert b"checked" in text
    assert b"\x1b" not in text


def test_closed_standard_error_is_no_reason_to_die() -> None:
    script = "import os; os.close(2)\n" + SCRIPT + "\nprint('lived')"
    done = subprocess.run([sys.executable, "-c", script, "json"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "lived\n")
