"""What the loader is told (model.json) and what it answers (the termination log)."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final, Self

from modelmeter.loader.errors import LoadSpecError

TASKS: Final = ("text-classification",)
PRECISIONS: Final = ("fp32", "fp16", "int8")
BACKENDS: Final = ("python", "onnxruntime")
ACCELERATORS: Final = ("", "tensorrt")
INSTANCE_KINDS: Final = ("KIND_CPU", "KIND_GPU")

# A DNS label: what Kubernetes allows as the name of a Service, and safe as the name of a folder.
NAME_LENGTH_LIMIT: Final = 63
NAME_ALPHABET: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-.")

LISTS: Final[Mapping[str, type]] = {"labels": str, "sequence_buckets": int}
"""Fields that are lists -> what of."""
NEWER: Final = ("sequence_buckets", "queue_timeout_milliseconds", "response_cache", "accelerator")
"""Fields that are only named where they are given: what was written without them is the same, and found again."""
SINGULARS: Final[Mapping[Any, str]] = {int: "a whole number", str: "a string", bool: "true or false"}
PLURALS: Final[Mapping[Any, str]] = {int: "whole numbers", str: "strings"}


@dataclass(frozen=True, slots=True)
class LoadSpec:
    """How one model is to be served. In JSON the keys are camelCase, as in the ModelDeployment.

    labels: what a text may be; order matters for a checkpoint with a classifier (they rename its classes).
    max_sequence_length: tokens; longer texts are cut.
    precision: of the stored weights; arithmetic is in fp32, and with int8 the layers' products in whole numbers.
    backend: Triton's, which runs the ONNX file. python runs it by our model.py with an onnxruntime that the loader
        brings along, on the CPU: every Triton image of the loader's Python has it. onnxruntime is Triton's own.
    max_queue_delay_microseconds: how long a request may wait for others to share its batch.
    queue_timeout_milliseconds: how long it may wait in all before the encoder; then it is refused. 0: any time.
    response_cache: whether the server, which must have a cache, keeps scores.
    accelerator: tensorrt: what the onnxruntime backend runs with on a GPU, in place of CUDA alone; empty: CUDA.
    sequence_buckets: lengths in tokens that are warmed up, and padded to where the backend pads; none: the usual.
    claim_directory: where the claim of a pvc:// source, or the image of an image:// source, is mounted.
    """

    name: str
    task: str = "text-classification"
    labels: tuple[str, ...] = ()
    max_sequence_length: int = 128
    precision: str = "fp32"
    backend: str = "python"
    max_batch_size: int = 32
    max_queue_delay_microseconds: int = 0
    instance_kind: str = "KIND_CPU"
    instance_count: int = 1
    claim_directory: str = "/source"
    sequence_buckets: tuple[int, ...] = ()
    queue_timeout_milliseconds: int = 0
    response_cache: bool = False
    accelerator: str = ""

    def __post_init__(self) -> None:
        valid_name = 0 < len(self.name) <= NAME_LENGTH_LIMIT and set(self.name) <= NAME_ALPHABET
        _require(valid_name and self.name[0].isalnum(), "name", self.name, "a DNS label such as search-intent")
        _require(self.task in TASKS, "task", self.task, f"one of {', '.join(TASKS)}")
        _require(self.precision in PRECISIONS, "precision", self.precision, f"one of {', '.join(PRECISIONS)}")
        _require(self.backend in BACKENDS, "backend", self.backend, f"one of {', '.join(BACKENDS)}")
        _require(
            self.instance_kind in INSTANCE_KINDS,
            "instanceKind",
            self.instance_kind,
            " or ".join(INSTANCE_KINDS),
        )
        _require(len(set(self.labels)) == len(self.labels), "labels", self.labels, "labels that do not repeat")
        _require(self.max_sequence_length >= 2, "maxSequenceLength", self.max_sequence_length, "2 tokens or more")
        _require(self.max_batch_size >= 1, "maxBatchSize", self.max_batch_size, "1 or more")
        _require(self.instance_count >= 1, "instanceCount", self.instance_count, "1 or more")
        delay = self.max_queue_delay_microseconds
        _require(delay >= 0, "maxQueueDelayMicroseconds", delay, "0 or more")
        buckets, timeout = self.sequence_buckets, self.queue_timeout_milliseconds
        _require(all(length >= 1 for length in buckets), "sequenceBuckets", buckets, "lengths of 1 token or more")
        _require(timeout >= 0, "queueTimeoutMilliseconds", timeout, "0 or more")
        on_gpu = self.instance_kind == "KIND_GPU" and self.backend == "onnxruntime"
        # onnxruntime's CUDA provider has not the operators: each layer would go to the CPU and back.
        fits = self.accelerator in ACCELERATORS and (on_gpu or not self.accelerator)
        _require(fits, "accelerator", self.accelerator, "tensorrt with the backend onnxruntime on a GPU, or empty")
        _require(self.precision != "int8" or not on_gpu, "precision", self.precision, "fp32 or fp16, as a GPU needs it")

    @classmethod
    def from_mapping(cls, raw: Mapping[str, Any]) -> Self:
        """Build a spec from parsed JSON, refusing unknown keys and wrong types by name."""
        known = {_camel_case(field.name): field for field in fields(cls)}
        values: dict[str, Any] = {}
        for key, value in raw.items():
            _require(key in known, key, value, f"one of the keys {', '.join(known)}")
            field = known[key]
            if field.name in LISTS:
                # bool is an int in Python, and true is not a batch size.
                items = isinstance(value, list) and all(type(item) is LISTS[field.name] for item in value)
                _require(items, key, value, f"a list of {PLURALS[LISTS[field.name]]}")
                values[field.name] = tuple(value)
                continue
            _require(type(value) is field.type, key, value, SINGULARS[field.type])
            values[field.name] = value
        _require("name" in values, "name", None, "the name of the ModelDeployment")
        return cls(**values)

    @classmethod
    def from_file(cls, path: Path) -> Self:
        """Read model.json."""
        try:
            raw = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise LoadSpecError(f"cannot read {path}: {error}", "mount a JSON object there") from error
        _require(isinstance(raw, dict), str(path), type(raw).__name__, "a JSON object")
        return cls.from_mapping(raw)

    def to_mapping(self) -> dict[str, Any]:
        """Return the JSON form; `from_mapping` reads it back."""
        said = {key: value for key, value in asdict(self).items() if value or key not in NEWER}
        return {_camel_case(key): list(value) if key in LISTS else value for key, value in said.items()}


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What was fetched.

    files, size_bytes: the checkpoint's files that the loader used.
    sha256: of the lines that `sha256sum` prints for those files in the order of their names, so that anyone
        can check it by hand: `sha256sum config.json model.safetensors tokenizer.json | sha256sum`.
    revision: what a branch or tag was resolved to; empty where the source has no revisions.
    reused: the repository was already there.
    """

    files: int
    size_bytes: int
    sha256: str
    revision: str = ""
    reused: bool = False

    def to_mapping(self) -> dict[str, Any]:
        """Return the JSON form for the termination log."""
        resolved = {"revision": self.revision} if self.revision else {}
        return {"files": self.files, "bytes": self.size_bytes, "sha256": self.sha256, **resolved, "reused": self.reused}


def _camel_case(name: str) -> str:
    """max_batch_size -> maxBatchSize."""
    head, *tail = name.split("_")
    return head + "".join(word.capitalize() for word in tail)


def _require(condition: bool, key: str, value: object, expected: str) -> None:
    if not condition:
        raise LoadSpecError(f"{key}: {value!r} is not {expected}", f"set {key} to {expected}")
