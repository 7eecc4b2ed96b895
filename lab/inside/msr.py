"""Sets one bit of a model-specific register: ``msr CPU REGISTER BIT`` (msr(4))."""

import os
import struct
import sys


def main() -> None:
    """Sets it."""
    cpu, register, bit = (int(word, 0) for word in sys.argv[1:])
    descriptor = os.open(f"/dev/cpu/{cpu}/msr", os.O_RDWR)
    (value,) = struct.unpack("=Q", os.pread(descriptor, 8, register))
    os.pwrite(descriptor, struct.pack("=Q", value | 1 << bit), register)
