"""The files of a checkpoint, as every source must deliver them."""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Final

from modelmeter.loader.errors import IncompleteModelError, SourceError
from modelmeter.loader.spec import LoadResult

SAFETENSORS: Final = "model.safetensors"
REQUIRED: Final = ("config.json", SAFETENSORS, "tokenizer.json")
# What a sentence encoder consists of and how it pools its tokens, in sentence-transformers' layout.
OPTIONAL: Final = ("1_Pooling/config.json", "modules.json")
# What may hold the weights, and what may lie beside it. The first that is there counts: safetensors are packed and
# rounded as the spec says, while an ONNX file is served as it is.
WEIGHTS: Final[Mapping[str, tuple[str, ...]]] = {
    SAFETENSORS: (),
    **{name: (f"{name}.data", f"{name}_data") for name in ("model.onnx", "onnx/model.onnx")},
}
NAMES: Final = (*REQUIRED, *OPTIONAL, *(name for form, beside in WEIGHTS.items() if beside for name in (form, *beside)))

NOTHING_THERE: Final = "point spec.model.source at the folder that holds config.json, or at an archive of it"


def present(folder: Path) -> list[Path]:
    """Return the checkpoint's files in a folder, in the order of their names; refuse an incomplete folder."""
    return sorted(folder / name for name in used([name for name in NAMES if (folder / name).is_file()]))


def weights_file(folder: Path) -> Path:
    """Return which file of a complete folder holds the weights or refers to them."""
    return next(folder / name for name in WEIGHTS if (folder / name).is_file())


def worth_asking(name: str, found: Collection[str]) -> bool:
    """Tell whether the file would count beside those found; for sources without a list, asked in NAMES' order."""
    chosen = next((form for form in WEIGHTS if form in found), None)
    if chosen is None:
        return not any(name in beside for beside in WEIGHTS.values())
    return name in (*REQUIRED, *OPTIONAL, *WEIGHTS[chosen]) or name == chosen


def used(names: Iterable[str]) -> list[str]:
    """Return which of a source's files the loader uses; refuse a source that lacks some."""
    names = set(names)
    chosen = next((form for form in WEIGHTS if form in names), SAFETENSORS)
    required = [chosen if name == SAFETENSORS else name for name in REQUIRED]
    missing = [name for name in required if name not in names]
    if len(missing) == len(REQUIRED):
        raise IncompleteModelError(
            f"the source holds no file of a model (none of {', '.join(REQUIRED)})",
            NOTHING_THERE,
        )
    if missing:
        raise IncompleteModelError(
            f"the source lacks {', '.join(missing)}",
            f"add {', '.join(missing)} beside the other files; {_hint(missing)}",
        )
    return sorted(names.intersection((*required, *OPTIONAL, *WEIGHTS[chosen])))


def digest(folder: Path) -> LoadResult:
    """Count and hash a complete folder; see LoadResult for how to check the hash by hand."""
    files = present(folder)
    lines = [f"{_sha256(path)}  {path.relative_to(folder).as_posix()}\n" for path in files]
    size_bytes = sum(path.stat().st_size for path in files)
    return LoadResult(len(files), size_bytes, hashlib.sha256("".join(lines).encode()).hexdigest())


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SourceError(f"{path.name} cannot be read: {error.strerror}", "let the loader's user read it") from error


def _hint(missing: list[str]) -> str:
    if "model.safetensors" in missing:
        return "convert pytorch_model.bin with save_pretrained(..., safe_serialization=True), or add model.onnx"
    if "tokenizer.json" in missing:
        return "write it with AutoTokenizer.from_pretrained(...).save_pretrained(...)"
    return "config.json names the architecture"
