"""Whatever ends a command of ours ends it as Ctrl-C does: what it started is ended, too."""

from __future__ import annotations

import signal


def interrupt() -> None:
    """Let SIGTERM and SIGHUP (a terminal that closes; not under nohup) raise KeyboardInterrupt."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.default_int_handler)
