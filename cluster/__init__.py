"""The API server as we use it: transport, credentials, list-and-watch, Lease, names and shapes of objects.

In come credentials and a resource's name; out come plain dicts and a cache that is kept current. It decides
nothing.
May import: nothing of ours.
"""
