"""Points in time as the wire has them."""

import time


def rfc3339(seconds: float) -> str:
    """Returns a point in time as RFC 3339 in UTC, to the microsecond (Kubernetes: metav1.MicroTime).

    Args:
        seconds: Seconds since the epoch, as ``time.time()`` tells.
    """
    whole, micro = divmod(round(seconds * 1_000_000), 1_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{micro:06}Z"
