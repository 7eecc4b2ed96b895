"""An image as a person looks at it."""

from collections.abc import Iterable, Iterator

from image.archive import Image
from image.source import PREFIX
from image.starts import Start


def lines(image: Image) -> Iterator[str]:
    """Shows name, digest, layers and labels."""
    yield f"{image.name}  {image.platform}"
    yield from (image.digest, "")
    of = [*(image.base for _ in image.layers[1:]), "/opt/vm-preflight"]
    size = sum(layer.size for layer in image.layers)
    unpacked = sum(layer.unpacked for layer in image.layers)
    rows = [("LAYER", "SIZE", "UNPACKED", "OF")]
    for layer, what in zip(image.layers, of, strict=True):
        digest = layer.digest.removeprefix("sha256:")[:12]
        rows.append((digest, _megabytes(layer.size), _megabytes(layer.unpacked), what))
    rows.append((f"{len(image.layers)} in all", _megabytes(size), _megabytes(unpacked), ""))
    yield from (f"{row[0]:<12}  {row[1]:>8}  {row[2]:>8}  {row[3]}".rstrip() for row in rows)
    yield ""
    for name, value in sorted(image.labels.items()):
        if name.startswith(PREFIX):
            yield f"{name.removeprefix(PREFIX):<12}  {value}"


def starts(taken: Iterable[Start]) -> Iterator[str]:
    """Shows what each process takes to start."""
    yield f"{'STARTS':<12}  {'IN':>6}  {'CPU':>6}"
    yield from (f"{start.what:<12}  {start.seconds:>4.2f} s  {start.cpu:>4.2f} s" for start in taken)


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"
