"""Machines with a real kernel each, to judge ``vm-preflight run`` by; the truth is verified inside each.

In: Debian's packages and this project. Out: a table, scenario by scenario. A *scenario* is data
(`lab.scenario`), an *image* is what a machine boots (`lab.image`), `lab.machine` boots one under QEMU's
software emulation, `lab.inside` runs in it, and `lab.judge` compares. Not part of the distribution; imports
none of the other rooms, so that what judges them shares nothing with them: bar `lab.inside.capture`, which
writes down what they read, for ``tests/hosts``.
"""
