"""The address that a daemon listens on, as its users write it."""

from dataclasses import dataclass

FORMS = ":9955, 127.0.0.1:9955 or [::1]:9955"


@dataclass(frozen=True, slots=True)
class Address:
    """A TCP address.

    Attributes:
        host: Host name or literal address without brackets; empty for every address of the machine.
        port: Port; 0 lets the kernel choose a free one.
    """

    host: str
    port: int

    def __str__(self) -> str:
        """Returns the form that `parse` takes."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """A URL at which this machine reaches the address."""
        return f"http://{Address(self.host or 'localhost', self.port)}/"


def parse(text: str) -> Address:
    """Parses ``:PORT``, ``HOST:PORT`` or ``[IPV6]:PORT``.

    Raises:
        ValueError: One line that names ``text``.
    """
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if bracketed:
        host = host[1:-1]
    plain = host.isprintable() and not any(character in host for character in " []/")
    if not colon or not plain or bracketed != (":" in host):
        raise ValueError(f"{text!r} is no address such as {FORMS}")
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535):
        raise ValueError(f"{text!r}: the port is no number from 0 to 65535")
    return Address(host, int(port))
