"""The Linux kernel as we read and use it: parsers of its files, and the KVM interface with a guest to run.

In comes text that somebody read, a reader of a host's files, or an open device; out come plain values and
causes. Parsers are pure, and each names the file and its kernel documentation. The kernel ends lines with a
line feed alone, so they are split there, and not at Unicode's other ends of lines, which a name may hold.
Knows nothing of checks and never opens a path itself.
May import: nothing of ours.
"""
