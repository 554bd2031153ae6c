"""Stands in for Triton's own onnxruntime backend, which no wheel has: the same configuration and file, on the CPU.

A Python-based backend of Triton, which takes this file as the backend `onnxruntime`. Like Triton's own it joins
requests of one shape only, finds tensors by the names of the file, and knows nothing but file and configuration.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """Loaded by Triton for each instance of a model whose configuration names the backend onnxruntime."""

    def initialize(self, args: dict[str, str]) -> None:
        """Start a session with what the configuration says."""
        sys.path.append(os.environ["STAND_IN_PACKAGES"])
        import onnxruntime

        config = json.loads(args["model_config"])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = int(config["parameters"]["intra_op_thread_count"]["string_value"])
        options.inter_op_num_threads = int(config["parameters"]["inter_op_thread_count"]["string_value"])
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        file = Path(args["model_repository"], args["model_version"], config["default_model_filename"])
        self.session: Any = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        self.inputs = [tensor["name"] for tensor in config["input"]]
        self.outputs = [tensor["name"] for tensor in config["output"]]

    def execute(self, requests: list[Any]) -> list[Any]:
        """Run a dynamic batch at once."""
        columns = [
            [pb_utils.get_input_tensor_by_name(request, name).as_numpy() for request in requests]
            for name in self.inputs
        ]
        joined = [np.concatenate(column) for column in columns]
        answers = self.session.run(self.outputs, dict(zip(self.inputs, joined, strict=True)))
        ends = np.cumsum([len(rows) for rows in columns[0]])[:-1]
        parts = zip(*(np.split(answer, ends) for answer in answers), strict=True)
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor(*pair) for pair in zip(self.outputs, part, strict=True)])
            for part in parts
        ]
