"""The probe: the one privileged process. It runs the checks for whoever asks on its socket.

It has no credentials, opens no port, and loads the checks once. It never opens a device itself: a forked
child does. Single-threaded, so that forking is safe.
"""

import logging
import os
import signal
import time
from contextlib import ExitStack
from types import FrameType

from agent import devices, probe_logs
from agent.probe_server import Server
from agent.probe_socket import CHANNEL, discard, inherited, listen
from agent.wire import RunRequest, Welcome
from preflight import config, discovery
from preflight.host import Host
from preflight.report import Report
from preflight.runner import Runner
from preflight.version import version

DEFAULT_SOCKET = "/run/vm-preflight/probe.sock"

GRACE = 1.7
"""Seconds from the signal to the end; the contract is 2 s, and a Python process needs some to leave."""

SIGNALS = (signal.SIGTERM, signal.SIGINT)
"""What asks for the end."""

log = logging.getLogger("probe")


class Stopped(BaseException):
    """SIGTERM or SIGINT came. Not an `Exception`: a run that is under way must not take it for its own."""


def run(
    *,
    socket: str = DEFAULT_SOCKET,
    host_root: str = "/",
    config_path: str | None = None,
    plugin_dir: str | None = None,
    log_format: str | None = None,
    log_level: str = "info",
) -> int:
    """Serves runs until SIGTERM, also in the middle of one, or until its parent is gone.

    Args:
        socket: Path of the socket to listen on, or ``fd:N`` for an inherited connected one.
        host_root: Directory where the root file system of the host is.
        config_path: Configuration file of the checks.
        plugin_dir: Directory of executable checks.
        log_format: See `agent.probe_logs.configure`.
        log_level: See `agent.probe_logs.configure`.

    Returns:
        The exit status.

    Raises:
        preflight.config.ConfigError: The configuration, or the plugins' directory, cannot be used; one line.
        agent.probe_socket.SocketError: The socket cannot be listened on; one line.
    """
    probe_logs.configure(log_format, log_level)
    try:
        try:
            for number in SIGNALS:
                signal.signal(number, _stop)
            _serve(socket, host_root, config_path, plugin_dir)
        finally:
            _hear_no_more()
    except Stopped:
        log.info("stopped")
        # The interpreter takes our handlers away before it has ended, and the signals' own effects are back.
        signal.pthread_sigmask(signal.SIG_BLOCK, (*SIGNALS, signal.SIGALRM))
    return 0


def _serve(socket: str, host_root: str, config_path: str | None, plugin_dir: str | None) -> None:
    checks = discovery.discover(plugin_dir=plugin_dir)
    settings = config.load(config_path, checks)
    own_version = version()
    runner = Runner(
        checks,
        Host(host_root),
        settings,
        node=os.uname().nodename,
        agent_version=own_version,
        ahead=True,
    )

    def examine(request: RunRequest) -> Report:
        report = runner.run(
            use_emulation=request.use_emulation,
            ignored=request.ignored,
            only=request.only,
            timeout=min(request.timeout, settings.timeout or request.timeout),
        )
        failed = [result.check_name for result in report.results if not result.passed]
        log.info("run finished", extra={"passed": report.passed, "failed": failed, "stuck": runner.stuck})
        return report

    def rest() -> None:
        runner.prepare()
        _reap()

    with ExitStack() as ending:
        ending.callback(runner.close)
        channel = listener = None
        if socket.startswith(CHANNEL):
            channel = inherited(socket)
        else:
            listener = listen(socket)
            ending.callback(discard, socket, os.lstat(socket))
        sources, errors = devices.sources(host_root)
        for error in errors:
            log.warning("device is not watched", extra={"source": error.filename, "error": error.strerror})
        log.info("serving", extra={"socket": socket, "checks": [check.name for check in checks]})
        Server(
            examine,
            welcome=lambda: Welcome(own_version, len(checks), runner.stuck),
            monotonic=time.monotonic,
            listener=listener,
            channel=channel,
            sources=sources,
            rest=rest,
        ).serve()


def _reap() -> None:
    """Collects what checks left behind: in a pod the probe is process 1, the parent of every orphan."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return


def _hear_no_more() -> None:
    """Lets nothing rise any more: this process ends already.

    Not by SIG_IGN: Python would complain of a signal that came together with the first (Ctrl-C in a terminal,
    and the agent's SIGTERM), and that it has noted but not handled.
    """
    for number in SIGNALS:
        signal.signal(number, lambda *_: None)


def _stop(_number: int, _frame: FrameType | None) -> None:
    _hear_no_more()
    # Killing the run's child can take a second, and Python drops an exception that rises in a finalizer.
    signal.signal(signal.SIGALRM, lambda *_: os._exit(0))
    signal.setitimer(signal.ITIMER_REAL, GRACE)
    raise Stopped
