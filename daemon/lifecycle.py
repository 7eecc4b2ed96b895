"""How a daemon ends: SIGTERM and SIGINT ask for the end, and within two seconds it is there, with status 0.

A signal's number reaches a thread through the wake-up descriptor (Python: `signal.set_wakeup_fd`). A Python
signal handler that sets an event can deadlock with the code it interrupted, which may hold the event's lock.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

GRACE = 1.7
"""Seconds from the signal to the end; the contract is 2 s, and a Python process needs some to leave."""

log = structlog.get_logger()


@contextmanager
def stopping(*, hangup: Callable[[], None] | None = None) -> Iterator[threading.Event]:
    """Yields an event that SIGTERM and SIGINT set; for the main thread.

    A body that has not ended within `GRACE` seconds of the signal is cut off: the process ends with status 0.
    A thread that fails ends the daemon as a signal does, but with status 1: half a daemon would look alive,
    and whoever started it can start it again.

    Args:
        hangup: Called at each SIGHUP, in another thread; without it SIGHUP keeps its meaning.

    Raises:
        SystemExit: With status 1, after the body, where a thread has failed.
    """
    stop = threading.Event()
    left = threading.Event()
    failed = threading.Event()
    numbers = [signal.SIGTERM, signal.SIGINT] + ([signal.SIGHUP] if hangup else [])
    readable, writable = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(writable, False)

    def listen() -> None:
        while (data := os.read(readable, 64)) != b"\0":
            if signal.SIGHUP in data and hangup is not None:
                hangup()
            if not stop.is_set() and (signal.SIGTERM in data or signal.SIGINT in data):
                log.info("stopping")
                end()

    def end() -> None:
        stop.set()
        threading.Thread(target=cut_off, name="cut-off", daemon=True).start()

    def cut_off() -> None:
        if not left.wait(GRACE):
            log.warning("did not stop in time, cut off", seconds=GRACE)
            os._exit(1 if failed.is_set() else 0)

    def fail(arguments: threading.ExceptHookArgs) -> None:
        name = arguments.thread.name if arguments.thread else ""
        log.error("a thread failed, stopping", thread=name, exc_info=arguments.exc_value)
        failed.set()
        end()

    thread = threading.Thread(target=listen, name="signals", daemon=True)
    thread.start()
    previous_descriptor = signal.set_wakeup_fd(writable, warn_on_full_buffer=False)
    previous = {number: signal.signal(number, lambda *_: None) for number in numbers}
    previous_hook, threading.excepthook = threading.excepthook, fail
    try:
        yield stop
    finally:
        left.set()
        threading.excepthook = previous_hook
        for number, handler in previous.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(previous_descriptor)
        os.write(writable, b"\0")
        thread.join()
        os.close(readable)
        os.close(writable)
    if failed.is_set():
        raise SystemExit(1)
