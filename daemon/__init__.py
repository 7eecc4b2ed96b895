"""What a long-running process of ours needs: the HTTP endpoints, structured logs, and an end on SIGTERM.

In come a metrics registry, readiness and a page; out go ``/metrics``, ``/healthz``, ``/readyz`` and ``/``.
Knows nothing of checks or Kubernetes.
May import: nothing of ours.
"""
