"""Renews the locked requirements from pyproject.toml, with pip-tools in an environment of its own."""

import subprocess
import sys
import tempfile
import venv
from pathlib import Path

HERE = Path(__file__).parent
OPTIONS = [
    "--quiet",
    "--generate-hashes",
    "--no-emit-index-url",
    "--no-emit-find-links",
    "--strip-extras",
    "--allow-unsafe",
    "--no-header",
    "--annotation-style=line",
]


def main() -> None:
    """Writes runtime.txt (what the image installs), dev.txt (that and the tests' tools) and build.txt.

    And fuzz.txt, apart from them: atheris installs on some platforms only, and ``make fuzz`` does without it.
    """
    with tempfile.TemporaryDirectory() as directory:
        venv.create(directory, with_pip=True)
        pip_compile = Path(directory, "bin", "pip-compile")
        subprocess.run([pip_compile.with_name("pip"), "install", "--quiet", "pip-tools"], check=True)
        for name, source, extra in (
            ("runtime", "pyproject.toml", []),
            ("dev", "pyproject.toml", ["--extra=dev"]),
            ("build", "pyproject.toml", ["--build-deps-for=wheel", "--only-build-deps"]),
            ("fuzz", "requirements/fuzz.in", []),
        ):
            output = HERE / f"{name}.txt"
            command: list[str | Path] = [
                pip_compile,
                *OPTIONS,
                *sys.argv[1:],
                *extra,
                f"--output-file={output}",
                source,
            ]
            subprocess.run(command, check=True, cwd=HERE.parent)


if __name__ == "__main__":
    main()
