"""The forward pass that an ONNX file of the source holds, where graph.py's own would stand: of padded rows only."""

from collections.abc import Mapping
from typing import Final

import spox
import spox.opset.ai.onnx.v17 as op
from spox import Var

from modelmeter.loader.bert import Bert
from modelmeter.loader.graph import pooled, unit
from modelmeter.loader.layout import FEWEST, Layout
from modelmeter.loader.onnx_source import SENTENCE, Source

PREFIX: Final = "source."
"""Of its weights' names, that they be none of ours."""


class SourceEncoder:
    """Adds a source's graph to another; variables: its weights, by PREFIX and name."""

    def __init__(self, bert: Bert, source: Source, variables: Mapping[str, Var]) -> None:
        self.bert = bert
        self._source = source
        self._weights = {name: variables[PREFIX + name] for name in source.weights}

    def embed(self, texts: Layout) -> Var:
        """Return unit sentence embeddings [n, h]."""
        found = self._run(texts)
        return unit(found if self._source.output == SENTENCE else pooled(self.bert, texts, found))

    def classify(self, texts: Layout) -> Var:
        """Return the classifier's logits [n, classes]."""
        return self._run(texts)

    def _run(self, texts: Layout) -> Var:
        fewest = op.const(FEWEST)
        tokens = {
            "input_ids": op.max([texts.tokens, fewest]),  # padding stands on the right, where the mask hides any token
            "attention_mask": op.greater_or_equal(texts.tokens, fewest),
            "token_type_ids": op.mul(texts.tokens, fewest),
        }
        inputs = {name: op.cast(tokens[name], to=dtype) for name, dtype in self._source.inputs.items()}
        return spox.inline(self._source.model)(**inputs, **self._weights)[self._source.output]
