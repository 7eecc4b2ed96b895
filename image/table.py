"""An image as a person looks at it."""

from image.archive import Image

PREFIX = "org.opencontainers.image."
"""What the names of the OCI image-spec's labels begin with."""


def lines(image: Image) -> list[str]:
    """Shows name, size, layers and labels."""
    size = sum(layer.size for layer in image.layers)
    unpacked = sum(layer.unpacked for layer in image.layers)
    rows = [("LAYER", "SIZE", "UNPACKED", "MADE BY")]
    rows += [
        (
            layer.digest.removeprefix("sha256:")[:12],
            _size(layer.size),
            _size(layer.unpacked),
            _short(layer.made_by),
        )
        for layer in image.layers
    ]
    rows += [(f"{len(image.layers)} in all", _size(size), _size(unpacked), "")]
    shown = [f"{a:<12}  {b:>8}  {c:>8}  {d}".rstrip() for a, b, c, d in rows]
    labels = [
        f"{name.removeprefix(PREFIX):<12}  {value}"
        for name, value in sorted(image.labels.items())
        if name.startswith(PREFIX)
    ]
    return [f"{image.name}  {image.platform}", image.digest, "", *shown, "", *labels]


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


def _short(made_by: str) -> str:
    text = " ".join(made_by.removeprefix("/bin/sh -c ").removeprefix("#(nop) ").split())
    return text if len(text) <= 60 else f"{text[:59]}…"
