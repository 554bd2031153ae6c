"""The families of encoders that we can serve: what they call their settings, their tensors and their heads.

They share one forward pass. Rows differ in names, in the rule of the positions and in the classifier.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Step:
    """One dense layer of a classifier over the first token's state, and what follows it: tanh, relu or nothing."""

    tensor: str
    activation: str = ""


@dataclass(frozen=True, slots=True)
class Family:
    """A row of the table.

    stem: what the architectures' names begin with. encoders: their endings without a head of their own.
    prefix: of the encoder's tensors in checkpoints with a head.
    settings: our name of a setting -> its key in config.json.
    head: the classifier, over the state of the first token.
    layer: where a layer's tensors are. tensors: our name of a part -> its name there.
    has_token_types: whether a token type's embedding is added, which is 0 throughout for a text alone.
    pads_before_positions: positions begin after the padding token's number, not at 0.
    """

    stem: str
    encoders: tuple[str, ...]
    prefix: str
    head: tuple[Step, ...]
    settings: Mapping[str, str]
    layer: str
    tensors: Mapping[str, str]
    has_token_types: bool = True
    pads_before_positions: bool = False

    @property
    def architectures(self) -> tuple[str, ...]:
        """Return the architectures whose encoder is used and whose head, if any, is left out."""
        return tuple(self.stem + ending for ending in self.encoders)

    @property
    def classifier(self) -> str:
        """Return the architecture with a classifier."""
        return f"{self.stem}ForSequenceClassification"


BERT_SETTINGS: Final[Mapping[str, str]] = {
    "layers": "num_hidden_layers",
    "heads": "num_attention_heads",
    "hidden_size": "hidden_size",
    "activation": "hidden_act",
    "epsilon": "layer_norm_eps",
}
BERT_TENSORS: Final[Mapping[str, str]] = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "attention": "attention.output.dense",
    "attention.norm": "attention.output.LayerNorm",
    "up": "intermediate.dense",
    "down": "output.dense",
    "norm": "output.LayerNorm",
}
ROBERTA_HEAD: Final = (Step("classifier.dense", "tanh"), Step("classifier.out_proj"))

FAMILIES: Final[Mapping[str, Family]] = {
    "bert": Family(
        stem="Bert",
        encoders=("Model", "ForMaskedLM", "ForPreTraining"),
        prefix="bert.",
        head=(Step("pooler.dense", "tanh"), Step("classifier")),
        settings=BERT_SETTINGS,
        layer="encoder.layer",
        tensors=BERT_TENSORS,
    ),
    "distilbert": Family(
        stem="DistilBert",
        encoders=("Model", "ForMaskedLM"),
        prefix="distilbert.",
        head=(Step("pre_classifier", "relu"), Step("classifier")),
        settings={"layers": "n_layers", "heads": "n_heads", "hidden_size": "dim", "activation": "activation"},
        layer="transformer.layer",
        tensors={
            "query": "attention.q_lin",
            "key": "attention.k_lin",
            "value": "attention.v_lin",
            "attention": "attention.out_lin",
            "attention.norm": "sa_layer_norm",
            "up": "ffn.lin1",
            "down": "ffn.lin2",
            "norm": "output_layer_norm",
        },
        has_token_types=False,
    ),
    **{
        model_type: Family(
            stem=stem,
            encoders=("Model", "ForMaskedLM"),
            prefix="roberta.",
            head=ROBERTA_HEAD,
            settings=BERT_SETTINGS,
            layer="encoder.layer",
            tensors=BERT_TENSORS,
            pads_before_positions=True,
        )
        for model_type, stem in (("roberta", "Roberta"), ("xlm-roberta", "XLMRoberta"))
    },
}
