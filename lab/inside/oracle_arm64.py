"""The oracle's guest for aarch64: code that multiplies, and stores the product where no memory is."""

from lab.inside import oracle_stores
from lab.inside.oracle import call

# kernel: arch/arm64/include/uapi/asm/kvm.h
KVM_ARM_VCPU_INIT, KVM_ARM_PREFERRED_TARGET = 0x4020AEAE, 0x8020AEAF
PC = 0x6030000000100040

CODE = bytes.fromhex(
    "e00080d2"  #  mov x0, #7
    "c10080d2"  #  mov x1, #6
    "017c019b"  #  mul x1, x0, x1
    "0360a0d2"  #  mov x3, #0x3000000
    "61000039"  #  strb w1, [x3]
    "21040011"  #  add w1, w1, #1
    "61040039"  #  strb w1, [x3, #1]
    "00000014"  #  b .
)


def run(device: int, vm: int, vcpu: int) -> str:
    """Runs it.

    Raises:
        FailedError: A call failed, or the guest did something else.
    """

    def prepare() -> None:
        target = bytearray(32)
        call("KVM_ARM_PREFERRED_TARGET", vm, KVM_ARM_PREFERRED_TARGET, target)
        call("KVM_ARM_VCPU_INIT", vcpu, KVM_ARM_VCPU_INIT, target)

    return oracle_stores.run(device, vm, vcpu, CODE, PC, prepare)
