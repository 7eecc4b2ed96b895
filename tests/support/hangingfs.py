"""A file system whose server does not answer, so that who looks into it hangs in the kernel (fuse(4)).

Structures: ``include/uapi/linux/fuse.h``. A request that the server has taken cannot be given up, not even by
a process that is killed (fs/fuse/dev.c, request_wait_answer); one that it has not taken yet can.
"""

import ctypes
import os
import signal
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def _serve(descriptor: int, *, takes: bool) -> None:
    """Answers FUSE_INIT, and nothing else."""
    request = os.read(descriptor, 1 << 17)
    _, _, unique = struct.unpack_from("=IIQ", request)
    os.write(
        descriptor,
        struct.pack("=IiQ" + "IIIIHHIIHHI28x", 80, 0, unique, 7, 31, 0, 0, 12, 9, 4096, 1, 0, 0, 0),
    )
    while takes:
        os.read(descriptor, 1 << 17)
    time.sleep(600)


@contextmanager
def mounted(directory: Path, *, takes: bool) -> Iterator[None]:
    """Mounts it on a directory.

    Args:
        directory: Where.
        takes: The server takes requests, so that who waits for an answer cannot be killed.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        descriptor = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        pytest.skip(f"/dev/fuse: {error.strerror}")
    options = f"fd={descriptor},rootmode=40000,user_id=0,group_id=0".encode()
    target = os.fsencode(directory)
    if libc.mount(b"hangs", target, b"fuse", 6, options):  # MS_NOSUID | MS_NODEV
        pytest.skip(f"no FUSE can be mounted: {os.strerror(ctypes.get_errno())}")
    server = os.fork()
    if server == 0:
        try:
            _serve(descriptor, takes=takes)
        finally:
            os._exit(0)
    os.close(descriptor)
    try:
        yield
    finally:
        os.kill(server, signal.SIGKILL)  # who waits gets ENOTCONN
        os.waitpid(server, 0)
        libc.umount2(target, 2)  # MNT_DETACH
