"""The one error of the harness that a user is expected to see."""


class ClusterError(Exception):
    """The cluster cannot be built, started or used; the message says what to do."""
