"""Reads numbers as the kernel writes them."""


def natural(text: str, digits: int = 15) -> int | None:
    """Returns a number that is written in ASCII's digits alone, None where it is not, or is longer.

    Python's own int() takes signs, spaces, underscores and every script's digits, and fails on long ones.
    """
    return int(text) if text.isascii() and text.isdigit() and len(text) <= digits else None
