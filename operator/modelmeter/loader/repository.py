"""Write Triton's model repository of one model.

    NAME-tokenizer/1/  model.py, tokenizer.json, settings.json, vendor/tokenizers
    NAME-bert/1/       model.onnx, model.onnx.data (its weights)
                       and, for the Python backend: model.py, settings.json, vendor/onnxruntime
    NAME/1/            (empty: the ensemble)
Each with its config.pbtxt.
"""

import importlib.util
import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from tokenizers import Tokenizer

from modelmeter.loader import bert, onnx_file, triton_config
from modelmeter.loader.backend import FOLDER as BACKEND
from modelmeter.loader.bert import Bert
from modelmeter.loader.checkpoint import SAFETENSORS, weights_file
from modelmeter.loader.errors import LoadSpecError, UnsupportedModelError
from modelmeter.loader.spec import LoadSpec

# What serving does not import; libonnxruntime stands once more in onnxruntime's Python module, which it runs by.
NOT_VENDORED: Final = (
    "__pycache__", "*.pyi", "tools", "backend", "datasets", "quantization", "transformers", "libonnxruntime.so*",
)  # fmt: skip

TOKENIZER_FILES: Final = {"tokenizer_model.py": "model.py", "batching.py": "batching.py"}
BERT_FILES: Final = {
    "bert_model.py": "model.py",
    "batching.py": "batching.py",
    "packing.py": "packing.py",
    "processors.py": "processors.py",
    "session.py": "session.py",
}


def write(checkpoint: Path, repository: Path, spec: LoadSpec, threads: int) -> None:
    """Write the three models of a complete checkpoint folder into an empty folder.

    threads: of an instance that Triton's own onnxruntime runs on the CPU; our model.py sees to its own.
    """
    model = bert.parse(checkpoint)
    if spec.max_sequence_length > model.max_positions:
        raise LoadSpecError(
            f"maxSequenceLength {spec.max_sequence_length} is more than the model's {model.max_positions}",
            f"set maxSequenceLength to {model.max_positions} or less",
        )
    weights = weights_file(checkpoint)
    if weights.name != SAFETENSORS and spec.precision != "fp32":
        raise LoadSpecError(
            f"precision {spec.precision} cannot be had of {weights.name}, which is served as it is",
            f"set precision to fp32, or add {SAFETENSORS} to the source",
        )
    labels = _labels(spec, model)
    tokenizer = _tokenizer(checkpoint / "tokenizer.json", spec, model)
    label_tokens = [encoding.ids for encoding in tokenizer.encode_batch(list(labels))]

    version = _model_folder(repository, triton_config.tokenizer(spec))
    _copy_backend(version, TOKENIZER_FILES)
    shutil.copyfile(checkpoint / "tokenizer.json", version / "tokenizer.json")
    _write_json(
        version / "settings.json",
        {
            "labels": labels,
            "max_sequence_length": spec.max_sequence_length,
            "scorer": model.scorer,
            "lengths": triton_config.lengths(spec) if spec.backend == "onnxruntime" else [],
        },
    )
    _vendor("tokenizers", version / "vendor")

    version = _model_folder(repository, triton_config.bert(spec, threads))
    ours = weights.name == SAFETENSORS
    plan = onnx_file.convert(weights, model, spec.precision) if ours else onnx_file.take(weights, model)
    onnx_file.write(plan, label_tokens, version, packed=ours and spec.backend == "python")
    if spec.backend == "python":
        _copy_backend(version, BERT_FILES)
        python = f"{sys.version_info[0]}.{sys.version_info[1]}"
        _write_json(version / "settings.json", {"instances": spec.instance_count, "python": python})
        _vendor("onnxruntime", version / "vendor")

    _model_folder(repository, triton_config.ensemble(spec, labels))


def _labels(spec: LoadSpec, model: Bert) -> tuple[str, ...]:
    """Return the known labels; those of the spec rename a classifier's classes."""
    if not model.classes or not spec.labels:
        return spec.labels or model.classes
    if set(spec.labels) == set(model.classes):
        return model.classes  # the same names in another order rename nothing
    if len(spec.labels) != len(model.classes):
        raise LoadSpecError(
            f"{len(spec.labels)} labels were given, the model's classifier has {len(model.classes)}",
            f"give as many labels, in the order of {', '.join(model.classes)}, or none",
        )
    return spec.labels


def _tokenizer(path: Path, spec: LoadSpec, model: Bert) -> Tokenizer:
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises plain Exception
        raise UnsupportedModelError(f"tokenizer.json: {error}", "fetch or save the file again") from error
    if tokenizer.get_vocab_size() > model.vocabulary_size:
        raise UnsupportedModelError(
            f"tokenizer.json has {tokenizer.get_vocab_size()} tokens, the model {model.vocabulary_size}",
            "take both files from the same model",
        )
    if not tokenizer.encode("").ids:
        raise UnsupportedModelError(
            "tokenizer.json adds no [CLS] and [SEP], so that an empty text would have no tokens",
            "write it with AutoTokenizer.from_pretrained(...).save_pretrained(...)",
        )
    tokenizer.no_padding()
    tokenizer.enable_truncation(spec.max_sequence_length)
    return tokenizer


def _model_folder(repository: Path, config: Any) -> Path:
    """Make NAME/ with its config.pbtxt and return the folder of version 1."""
    version: Path = repository / config.name / "1"
    version.mkdir(parents=True)
    (version.parent / "config.pbtxt").write_text(triton_config.to_text(config), encoding="utf-8")
    return version


def _copy_backend(version: Path, files: Mapping[str, str]) -> None:
    for source, target in files.items():
        shutil.copyfile(BACKEND / source, version / target)


def _vendor(package: str, target: Path) -> None:
    """Copy an installed package, so that the stock Triton image serves without pip.

    tokenizers is built against the stable ABI: the loader's copy runs in any newer CPython of the platform.
    onnxruntime runs in the loader's own version of CPython only.
    """
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise UnsupportedModelError(f"{package} is not installed in the loader", "use the loader's own image")
    shutil.copytree(
        Path(found.origin).parent,
        target / package,
        ignore=shutil.ignore_patterns(*NOT_VENDORED),
    )


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
