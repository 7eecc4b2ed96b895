"""What the code of every guest has to do: add a number to another some times, and hand the sum out.

The sum stands nowhere in the code: it is known only by executing the loop.
"""

from linux.kvm.exits import GuestError

START, STEP, TIMES = 0x1234, 0x0567, 3
SUM = START + STEP * TIMES


def expect_sum(value: int, where: str) -> None:
    """Compares what a guest handed out.

    Args:
        value: What came out.
        where: How, for a person: ``wrote … to port 0xf4`` takes the number in the place of the dots.

    Raises:
        GuestError: It is another number.
    """
    if value != SUM:
        raise GuestError(f"the guest {where.replace('…', f'{value:#06x}')}, {SUM:#06x} is right")
