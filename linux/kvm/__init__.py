"""The kernel's KVM interface (kernel: Documentation/virt/kvm/api.rst), from the standard library alone.

`uapi` has numbers and structures, `machine` makes a VM and a vCPU, `guests` names the code that a vCPU runs,
one module an architecture; `latency` times its exits, `capabilities` and `host_model_x86` know what QEMU asks
for. In comes an open ``/dev/kvm``; out comes the proof that a guest ran, or the call that failed. No ctypes:
importing it costs more time than everything here takes.
"""
