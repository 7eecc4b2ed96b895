"""Changes a module's file: ``modfile MODULE unsign`` or ``modfile MODULE replace HEX HEX``.

A signature follows the module's contents, then a ``struct module_signature``, then a magic line (kernel:
include/linux/module_signature.h).
"""

import lzma
import os
import struct
import subprocess
import sys

MAGIC = b"~Module signature appended~\n"
_SIGNATURE = struct.Struct(">8xI")
"""Its length is the last member, big-endian."""


def main() -> None:
    """Changes the file, and has it uncompressed."""
    name, action, *arguments = sys.argv[1:]
    path = subprocess.run(
        ("modinfo", "-F", "filename", name), capture_output=True, text=True, check=True
    ).stdout.strip()
    with open(path, "rb") as file:
        contents = file.read()
    if path.endswith(".xz"):
        contents = lzma.decompress(contents)
    if action == "unsign":
        contents = _without_signature(contents)
    else:
        old, new = map(bytes.fromhex, arguments)
        if old not in contents:
            raise SystemExit(f"{path} does not hold {old.hex()}")
        contents = contents.replace(old, new)
    os.unlink(path)
    with open(path.removesuffix(".xz"), "wb") as file:
        file.write(contents)
    subprocess.run(("depmod",), check=True)


def _without_signature(contents: bytes) -> bytes:
    if not contents.endswith(MAGIC):
        raise SystemExit("the module has no signature")
    end = len(contents) - len(MAGIC) - _SIGNATURE.size
    (length,) = _SIGNATURE.unpack_from(contents, end)
    return contents[: end - length]
