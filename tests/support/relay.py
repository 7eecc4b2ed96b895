"""Lets this machine reach a port in the network of a machine inside (machine.py), and nothing else.

Run with a port of 127.0.0.1, a pid of that network, and the address and port there. A socket stays in the
namespace that it was made in (network_namespaces(7)): it listens here first, and connects from there.
"""

import asyncio
import contextlib
import ctypes
import os
import socket
import sys

CLONE_NEWNET = 0x40000000
LOOPBACK = "127.0.0.1"


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):  # either side may go away at any time, and so does the other then
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def serve(listening: socket.socket, address: str, port: int) -> None:
    """Connects each client to the address and port."""

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(address, port)
        except OSError:  # nobody listens there (yet): the client sees its connection close
            writer.close()
            return
        await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))

    async with await asyncio.start_server(client, sock=listening) as server:
        await server.serve_forever()


def main() -> None:
    """Listens, enters the network, and serves until it is ended."""
    port, pid, address, far_port = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
    listening = socket.create_server((LOOPBACK, port))
    network = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(network, CLONE_NEWNET) != 0:
        sys.exit(f"setns: {os.strerror(ctypes.get_errno())}")
    asyncio.run(serve(listening, address, far_port))


if __name__ == "__main__":
    main()
