"""What runs inside Triton's Python backend.

The loader copies these files into the model repository, so they import numpy, tokenizers, onnxruntime, Triton's
own utilities and each other (relatively), and nothing else of modelmeter. Triton imports `1/model.py` as the
module `1.model`, so that relative imports mean the same there as here.
"""

from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent
