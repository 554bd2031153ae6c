"""`modelmeter load`: the init container's command."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any, Final

from modelmeter.errors import LoadError

# What Kubernetes keeps of a termination message: the rest is cut off, and a cut JSON object cannot be read.
TERMINATION_BYTES: Final = 4096


def add_parser(subparsers: Any) -> None:
    """Add `load` to the command line; its `run` takes the parsed arguments and returns the exit status."""
    parser = subparsers.add_parser("load", help="fetch a model and write its Triton model repository")
    parser.add_argument(
        "source",
        metavar="SOURCE",
        help="pvc://, hf://, s3://, gs://, az://, oci://, https:// or file://; see docs/sources.md",
    )
    parser.add_argument(
        "destination", metavar="DIR", type=Path, help="the model repository; a new folder or an own one"
    )
    parser.add_argument("--spec", metavar="FILE", type=Path, required=True, help="model.json")
    parser.add_argument("--termination-log", metavar="FILE", type=Path, help="where the result is written as JSON")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Load the model; return 0, or 1 with error and remedy in the termination log."""
    # The operator shares this command line and must not pay for numpy.
    from modelmeter.loader.load import load
    from modelmeter.loader.spec import LoadSpec

    try:
        result = load(arguments.source, arguments.destination, LoadSpec.from_file(arguments.spec))
    except LoadError as error:
        _report(arguments.termination_log, {"error": error.message, "remedy": error.remedy})
        print(f"modelmeter load: {error.message}\n  {error.remedy}", file=sys.stderr)
        return 1
    _report(arguments.termination_log, result.to_mapping())
    print(json.dumps(result.to_mapping()))
    return 0


def _report(path: Path | None, answer: dict[str, Any]) -> None:
    if path is not None:
        path.write_bytes(_fitted(answer))


def _fitted(answer: dict[str, Any]) -> bytes:
    """Return the answer as JSON; its longest string is cut as often as it takes to fit a termination message."""
    while len(encoded := json.dumps(answer, ensure_ascii=False).encode(errors="replace")) > TERMINATION_BYTES:
        longest = max((key for key in answer if isinstance(answer[key], str)), key=lambda key: len(answer[key]))
        answer = {**answer, longest: answer[longest][: len(answer[longest]) * 3 // 4] + "…"}
    return encoded
