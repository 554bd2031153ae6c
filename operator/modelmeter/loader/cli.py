"""`modelmeter load`: the init container's command."""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any, Final

from modelmeter.errors import LoadError

# What Kubernetes keeps of a termination message: the rest is cut off, and a cut JSON object cannot be read.
TERMINATION_BYTES: Final = 4096
UNNAMED: Final = "model"


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
    parser.add_argument("--spec", metavar="FILE", type=Path, help="model.json; without it a model named model")
    parser.add_argument("--termination-log", metavar="FILE", type=Path, help="where the result is written as JSON")
    parser.add_argument(
        "--progress-port", metavar="PORT", type=_port, help="answer GET /progress at this port of all addresses"
    )
    parser.set_defaults(run=run)


def _port(text: str) -> int:
    if not (text.isdecimal() and 0 < int(text) < 65536):
        raise argparse.ArgumentTypeError("must be a port, 1 to 65535")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    """Load the model; return 0, or 1 with error and remedy in the termination log."""
    # The operator shares this command line and must not pay for numpy.
    from modelmeter.loader.answering import answering
    from modelmeter.loader.load import load
    from modelmeter.loader.progress import Progress
    from modelmeter.loader.spec import LoadSpec

    began, progress = time.monotonic(), Progress()
    try:
        with answering(progress, arguments.progress_port):
            spec = LoadSpec.from_file(arguments.spec) if arguments.spec else LoadSpec(UNNAMED)
            result = load(arguments.source, arguments.destination, spec, progress)
    except LoadError as error:
        _report(arguments.termination_log, {"error": error.message, "remedy": error.remedy})
        print(f"modelmeter load: {error.message}\n  {error.remedy}", file=sys.stderr)
        return 1
    answer = {**result.to_mapping(), "seconds": round(time.monotonic() - began)}
    _report(arguments.termination_log, answer)
    print(json.dumps(answer))
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
