"""The command ``vm-preflight``: parses words, calls a room, prints for a person or a machine.

Each command imports its room only when it runs, so that ``run`` starts fast and the probe stays small.
May import: everything of ours.
"""
