"""Load a model: fetch, convert, publish."""

import hashlib
import json
import sys
import tempfile
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Final

from modelmeter.loader import checkpoint, publish, repository
from modelmeter.loader.backend import FOLDER as BACKEND
from modelmeter.loader.backend.processors import per_instance
from modelmeter.loader.download import shown
from modelmeter.loader.errors import DestinationError
from modelmeter.loader.fetch import fetch, fingerprint
from modelmeter.loader.progress import CHECKING, CONVERTING, PUBLISHING, Progress
from modelmeter.loader.spec import LoadResult, LoadSpec

# Raise it when the loader writes other weights or configurations, so that a kept volume is written again.
LAYOUT: Final = 5


def load(source: str, destination: Path, spec: LoadSpec, progress: Progress | None = None) -> LoadResult:
    """Make `destination` a model repository of `source`, unless it is one already for source and spec."""
    progress = progress or Progress()
    try:
        # This container's limits are those of Triton's.
        threads = per_instance(spec.instance_count)
        key = _key(source, spec, threads)
        if record := publish.published(destination, key):
            return LoadResult(
                record["files"], record["bytes"], record["sha256"], record.get("revision", ""), reused=True
            )
        record = {"source": shown(source)}
        with publish.publishing(destination, key, record) as staging:
            with tempfile.TemporaryDirectory(prefix=".fetch-", dir=staging) as workspace:
                fetched = fetch(source, Path(workspace), Path(spec.claim_directory), progress)
                progress.begin(CHECKING)
                result = replace(checkpoint.digest(fetched.folder), revision=fetched.revision)
                progress.begin(CONVERTING)
                repository.write(fetched.folder, staging, spec, threads)
            record |= result.to_mapping()
            progress.begin(PUBLISHING)
    except OSError as error:
        # Of the source's volume or the destination's: the system's own words name the file.
        raise DestinationError(f"cannot fill {destination}: {error}", "check the volumes' size and rights") from error
    return result


def _key(source: str, spec: LoadSpec, threads: int) -> str:
    """Name what is written; only Triton's own onnxruntime is told its threads there."""
    claim_directory = Path(spec.claim_directory)
    shipped = [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(BACKEND.glob("*.py"))]
    versions = [LAYOUT, version("tokenizers"), version("onnxruntime"), sys.version_info[:2], *shipped]
    told = threads if spec.backend == "onnxruntime" else None
    parts = [versions, told, source, spec.to_mapping(), fingerprint(source, claim_directory)]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
