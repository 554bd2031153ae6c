"""Run an ONNX file of onnx_file.py over texts of any length: packed if it takes packed rows, else padded."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from .batching import Ints, pad, passes
from .packing import groups, pack
from .processors import per_instance

PADDED_INPUTS: Final = ("text_tokens", "label_tokens", "label_index")
PACKED_INPUTS: Final = (
    "text_tokens", "text_places", "text_owners",
    "label_tokens", "label_places", "label_owners",
    "label_index",
)  # fmt: skip
OUTPUTS: Final = ("score", "probability")
# What stands for the tokens of a known label, which nobody looks at.
NOT_LOOKED_AT: Final = np.zeros(1, np.int32)
# How long a thread that is done with its part of an operator looks out for the next before it sleeps: longer than
# most operators take. Without it a lone text of 16 tokens takes 2.4 ms instead of 2.0; much more would take the
# processor from Triton's other processes.
SPIN_MICROSECONDS: Final = 100
# On the CPU the fused operator takes twice as long as the two that it stands for: a tenth of a whole pass.
SLOW_FUSION: Final = "SkipLayerNormFusion"
Column = npt.NDArray[np.float32]


class Session:
    """The file's model; at its start the known labels are embedded."""

    def __init__(self, file: Path, instances: int) -> None:
        """Start on this instance's part of the container's processors."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = per_instance(instances)
        options.inter_op_num_threads = 1
        options.add_session_config_entry("session.intra_op.spin_duration_us", str(SPIN_MICROSECONDS))
        self.session: Any = onnxruntime.InferenceSession(
            str(file), options, providers=["CPUExecutionProvider"], disabled_optimizers=[SLOW_FUSION]
        )

        self.packed = {tensor.name for tensor in self.session.get_inputs()} >= set(PACKED_INPUTS)

    def score(self, texts: Sequence[Ints], labels: Sequence[Ints], index: Ints) -> list[Column]:
        """Return score and probability, [n, 1] each, of n rows; index [n, 1]: a label's place among the known or -1.

        Texts are laid side by side, whatever their lengths, or grouped by their lengths and padded.
        """
        labels = [NOT_LOOKED_AT if place >= 0 else label for label, place in zip(labels, index[:, 0], strict=True)]
        columns = [np.empty((len(texts), 1), np.float32) for _ in OUTPUTS]
        grouped, laid, names = (groups, pack, PACKED_INPUTS) if self.packed else (passes, _padded, PADDED_INPUTS)
        for rows in grouped([len(text) + len(label) for text, label in zip(texts, labels, strict=True)]):
            batch = (*laid([texts[row] for row in rows]), *laid([labels[row] for row in rows]), index[rows])
            answers = self.session.run(OUTPUTS, dict(zip(names, batch, strict=True)))
            for column, answer in zip(columns, answers, strict=True):
                column[rows] = answer
        return columns


def _padded(texts: Sequence[Ints]) -> tuple[Ints]:
    return (pad(texts),)


def use_vendored(folder: Path, python: str) -> None:
    """Let onnxruntime be imported from `folder` where the image has none; python: for which it is built, as 3.12.

    Raises ImportError with what to do where it does not run.
    """
    sys.path.append(str(folder))
    try:
        import onnxruntime  # noqa: F401
    except ImportError as error:
        here = f"{sys.version_info[0]}.{sys.version_info[1]}"
        raise ImportError(
            f"onnxruntime, built for Python {python}, does not run in this image's Python {here} ({error}): "
            f"take a Triton image with Python {python}, or one with onnxruntime installed"
        ) from error
