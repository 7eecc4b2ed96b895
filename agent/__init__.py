"""The node's daemon: the probe that runs the checks, and the agent that publishes what they found.

The probe is privileged, has no credentials and opens no port; the agent has credentials and no privileges.
They talk over a unix socket. In comes a request for a run (the NodePreflight's spec, a device that comes or
goes, the interval); out go the NodePreflight's status and metrics.
May import: ``preflight``, ``cluster``, ``daemon``; the probe only ``preflight``.
"""
