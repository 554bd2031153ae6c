"""`python -m tests.serving.ask URL` asks all cases of its standard input at the same moment, from where it runs."""

from __future__ import annotations

import json
import sys

from tests.serving.client import Asked, together


def main() -> None:
    """Read a JSON list of cases, print that of their answers."""
    cases = [Asked(*case) for case in json.load(sys.stdin)]
    print(json.dumps(together(sys.argv[1], cases)))


if __name__ == "__main__":
    main()
