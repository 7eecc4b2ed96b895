"""``python -m image``: builds the image, and prints what came of it."""

import argparse
import sys
from collections.abc import Sequence

from image import builder, starts, table
from image.failure import FailedError
from lab.apt import UnavailableError


def main(arguments: Sequence[str] | None = None) -> int:
    """Builds.

    Returns:
        The exit status: 0 when it is built, 1 when not.
    """
    parser = argparse.ArgumentParser(prog="make image", description="Builds the container image.")
    parser.add_argument("--name", default="", help="repository and tag, where it is to be pushed")
    parser.add_argument("--base", default="", help="image to build on (default: the Dockerfile's)")
    parser.add_argument("--runtime", default="", help="image to run on (default: the one to build on)")
    parser.add_argument("--architecture", default="", help="such as arm64 (default: this machine's)")
    options = parser.parse_args(arguments)
    try:
        made, file = builder.build(
            options.name, base=options.base, runtime=options.runtime, architecture=options.architecture
        )
        print("\n".join(table.lines(made)))
        print("\nwith a read-only root, as 65532, without capabilities:")
        print("\n".join(table.starts(starts.measure(made.name))))
        print(f"\nalso in {file}")
    except (FailedError, UnavailableError) as error:
        print(f"make image: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
