"""The command line of both demos."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from tests.cluster import signals
from tests.cluster.errors import ClusterError
from tests.cluster.triton import TritonError
from tests.demo import show


def command(name: str, description: str | None, run: Callable[[int], None]) -> int:
    """Run a demo; the exit status is 0 only if every step was seen to work, up to the watch where that has no end."""
    parser = argparse.ArgumentParser(prog=f"python -m {name}", description=description)
    parser.add_argument("--seconds", type=int, default=0, help="how long to watch; 0: until Ctrl-C")
    options = parser.parse_args()
    signals.interrupt()
    try:
        run(options.seconds)
    except KeyboardInterrupt:
        print("\nended; nothing is left running", file=sys.stderr)
        return 130
    except show.WatchEndedError:
        show.say("Every step up to the watch was seen to work; nothing is left running.")
        return 0
    except (show.DemoError, ClusterError, TritonError, AssertionError) as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    show.say("Every step was seen to work.")
    return 0
