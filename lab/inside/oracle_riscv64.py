"""The oracle's guest for riscv64: code that multiplies by shifts; stores the product where no memory is."""

from lab.inside import oracle_stores

# kernel: arch/riscv/include/uapi/asm/kvm.h
PC = 0x8030000002000000

CODE = bytes.fromhex(
    "13057000"  #  li a0, 7
    "93153500"  #  slli a1, a0, 3
    "13151500"  #  slli a0, a0, 1
    "b385a540"  #  sub a1, a1, a0
    "37060003"  #  lui a2, 0x3000
    "2300b600"  #  sb a1, 0(a2)
    "93851500"  #  addi a1, a1, 1
    "a300b600"  #  sb a1, 1(a2)
    "6f000000"  #  j .
)


def run(device: int, vm: int, vcpu: int) -> str:
    """Runs it.

    Raises:
        FailedError: A call failed, or the guest did something else.
    """
    return oracle_stores.run(device, vm, vcpu, CODE, PC, lambda: None)
