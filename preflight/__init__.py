"""What a preflight run is: the check contract, results, the report and its verdict, the host, and the runner.

In come check functions (found through the entry-point group ``vm_preflight.checks``, or made of executables
of a directory), a configuration and a host. Out goes a `Report`. Nothing here knows what is asked of a host,
of Kubernetes, or of a command line.
May import: nothing of ours.
"""
