"""Why KVM cannot be used: evidence is read through a `linux.reader.Reader`, and told apart.

`node` looks at what stands at ``/dev/kvm`` (`own_dev`: and whose ``/dev`` that is), `refusal` at who may not
open it (`permission`: by owner, mode and ACL; `confinement`: what confines our process), `calls` at what its
ioctls answered (`narrow`: a 32-bit process). `virtualization` and `module_cause` explain why KVM is not
registered, purely from the `facts` that `survey` and `module_survey` gather. Each returns a
`cause.Explanation`: a cause, one line for a person, what to do, and what was read.
"""
