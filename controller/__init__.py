"""Decides for the cluster: which checks run, who takes part, what the verdict is, whether the agent is there.

Triggers, verdict, summary and switch are pure functions of what was observed; `controller.decide` puts them
together, one reconciler has the effects. In come the cluster's objects; out go NodePreflight specs, statuses,
and the agent's DaemonSet. `controller.main.run` is the process.
May import: ``cluster``, ``daemon``.
"""
