"""What is asked of a host: one file a check, nothing else.

Each file holds one `preflight.check.Check`, found through the entry-point group ``vm_preflight.checks`` like
anybody's plugin; nothing imports a check.
May import: ``preflight`` and ``linux``.
"""
