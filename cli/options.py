"""Command-line parsing as every command here does it: one-line errors, an environment variable an option."""

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import ClassVar, NamedTuple, NoReturn

from preflight.result import one_line

USAGE = 2
"""Exit status for wrong usage or configuration ; one line on standard error says what."""


class UsageError(Exception):
    """Wrong usage or configuration; its text is the one line that a person sees."""


class NotDoneError(Exception):
    """What was asked was not done; its text is the one line that a person sees, and the exit status is 1."""


class RefusedError(NotDoneError):
    """The API server did not do it; the text is what kubectl prints then."""


class Offer(NamedTuple):
    """An option that a command takes.

    Attributes:
        name: The option.
        help: What it does.
        short: Its short form, empty for none.
        value: What its value is, as the help names it; empty for a switch.
    """

    name: str
    help: str
    short: str = ""
    value: str = ""


class Described(Exception):  # noqa: N818 -- nothing went wrong
    """Raised in place of parsing: the options that a command takes."""

    def __init__(self, offers: Sequence[Offer]) -> None:
        super().__init__()
        self.offers = offers


class Help(argparse.HelpFormatter):
    """Help as wide as the terminal; argparse would load ``shutil`` to ask for that, with each option."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=columns() - 2)


def columns() -> int:
    """Returns the terminal's width; ``$COLUMNS`` counts first, and 80 where there is no terminal."""
    try:
        return int(os.environ["COLUMNS"])
    except (KeyError, ValueError):
        try:
            return os.get_terminal_size(1).columns or 80
        except OSError:
            return 80


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line, and whose options are also environment variables."""

    describing: ClassVar[bool] = False
    """Whether `parse_args` only tells what it would take: what completion asks every command for."""

    def __init__(self, prog: str, description: str) -> None:
        """Makes a parser without abbreviations: a new option never changes what an old script means."""
        self.offers: list[Offer] = []
        super().__init__(prog=prog, description=description, allow_abbrev=False, formatter_class=Help)

    def parse_args(self, args: Sequence[str] | None = None, namespace: None = None) -> argparse.Namespace:  # type: ignore[override]  # none of ours takes a namespace
        """Parses a command's words.

        Raises:
            Described: Nothing is to be parsed, only told.
        """
        if self.describing:
            raise Described(self.offers)
        return super().parse_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Prints one line and exits with status 2."""
        self.exit(complain(self.prog, f"{message} (see '{self.prog} --help')"))

    def option(
        self,
        name: str,
        convert: Callable[[str], object],
        *,
        default: object,
        metavar: str,
        help: str,  # noqa: A002 -- argparse's own name for it
        short: str = "",
    ) -> None:
        """Adds ``--name VALUE``, by default the value of ``VM_PREFLIGHT_NAME``, else ``default``."""
        variable = variable_of(name)
        value = self._from_environment(variable, convert, default)
        self.offers.append(Offer(name, help, short, metavar))
        self.add_argument(
            *((short, name) if short else (name,)),
            type=telling(convert),
            default=value,
            metavar=metavar,
            help=f"{help}{default_told(default)} [${variable}]",
        )

    def flag(
        self,
        name: str,
        *,
        help: str,  # noqa: A002 -- argparse's own name for it
        short: str = "",
        typed: bool = False,
    ) -> None:
        """Adds a switch ``--name`` or ``--name=true|false``, by default ``VM_PREFLIGHT_NAME``, else false.

        Args:
            name: The option.
            help: What it does.
            short: Its short form.
            typed: It counts only where somebody typed it: what destroys is not left to the environment.
        """
        variable = variable_of(name)
        value = not typed and self._from_environment(variable, truth, default=False)
        self.offers.append(Offer(name, help, short))
        self.add_argument(
            *((short, name) if short else (name,)),
            type=telling(truth),
            nargs="?",
            const=True,
            default=value,
            metavar="true|false",
            help=help if typed else f"{help} [${variable}]",
        )

    def _from_environment(self, variable: str, convert: Callable[[str], object], default: object) -> object:
        text = os.environ.get(variable)
        if not text:  # empty counts as unset, as POSIX has it of LANG and its like
            return default
        try:
            return convert(text)
        except ValueError as error:
            self.error(f"environment variable {variable}: {error}")


def telling(convert: Callable[[str], object]) -> Callable[[str], object]:
    """Returns a conversion whose error argparse shows as it is, not as *invalid value*."""

    def converted(text: str) -> object:
        try:
            return convert(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return converted


def default_told(default: object) -> str:
    """Returns what the help says of a default: nothing of one that is empty or has no short form."""
    if isinstance(default, float):
        return f" (default {default:g})"
    return f" (default {default})" if default and isinstance(default, str) else ""


def variable_of(option: str) -> str:
    """Returns the environment variable of an option: ``--host-root`` is ``VM_PREFLIGHT_HOST_ROOT``."""
    return "VM_PREFLIGHT_" + option.removeprefix("--").replace("-", "_").upper()


def truth(text: str) -> bool:
    """Converts ``true`` or ``false``.

    Raises:
        ValueError: Another word.
    """
    if text.lower() in ("true", "1"):
        return True
    if text.lower() in ("false", "0"):
        return False
    raise ValueError(f"{text!r} is neither true nor false")


def names(text: str) -> tuple[str, ...]:
    """Converts ``NAME,NAME``; empty parts are dropped."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def choice(*choices: str) -> Callable[[str], str]:
    """Returns a conversion that takes one of some words; its error lists them."""

    def convert(text: str) -> str:
        if text not in choices:
            raise ValueError(f"{text!r} is not one of {', '.join(choices)}")
        return text

    return convert


def host_root(text: str) -> str:
    """Takes the directory where a machine's root file system is.

    Raises:
        UsageError: There is none.
    """
    if not os.path.isdir(text):
        raise UsageError(f"--host-root {text}: no such directory")
    return text


def duration(text: str) -> float:
    """Converts seconds (``90``) or a Go duration (``1h2m3.5s``, ``5m``) to seconds.

    Raises:
        ValueError: Neither, or not more than zero.
    """
    match = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+(?:\.\d+)?)s?)?", text)
    if match is None or not text:
        raise ValueError(f"{text!r} is no duration such as 90, 90s or 5m")
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    total = hours * 3600 + minutes * 60 + seconds
    if not 0 < total <= 366 * 24 * 3600:
        raise ValueError(f"{text!r} must be more than zero and at most a year")
    return total


def describe(error: OSError) -> str:
    """Returns what the kernel answered, and of which file."""
    text = error.strerror or str(error)
    return f"{error.filename}: {text}" if error.filename else text


def complain(program: str, message: object) -> int:
    """Prints one line on standard error and returns the exit status 2.

    A plugin of kubectl says it as kubectl does: *error: …*, and what an API server says by itself.
    """
    start = f"{program}: "
    if program.startswith("kubectl "):
        start = "" if isinstance(message, RefusedError) else "error: "
    print(start + one_line(str(message)), file=sys.stderr)
    return USAGE
