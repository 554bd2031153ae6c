"""Tiny tokenizers of the kinds that the families have: WordPiece, byte-level BPE, Unigram."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

SPECIAL: Final = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
WHOLE: Final = ["goal", "striker", "sports", "cooking", "pasta", "salt"]
WORDS: Final = [*SPECIAL, *WHOLE, "##s", "a", "b", "足", "球", "意", "⚽"]
# fairseq's order, in which 1 is padding.
FAIRSEQ_SPECIAL: Final = ["<s>", "<pad>", "</s>", "<unk>"]
# The rarer a piece the lower its score; a word whole counts for more than its letters.
PIECES: Final = [
    *((special, 0.0) for special in FAIRSEQ_SPECIAL),
    *((f"▁{word}", -3.0) for word in WHOLE),
    *((letter, -8.0) for letter in "▁abcdefghijklmnopqrstuvwxyz足球意⚽"),
]
MERGES: Final = [("g", "o"), ("a", "l"), ("go", "al"), ("s", "al"), ("sal", "t"), ("Ġ", "goal"), ("Ġ", "a")]


def wordpiece() -> Tokenizer:
    """BERT's and DistilBERT's, with BERT's own steps."""
    made = Tokenizer(models.WordPiece({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return _finished(made, "[CLS]", "[SEP]")


def byte_pairs() -> Tokenizer:
    """RoBERTa's: no text has an unknown part."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*FAIRSEQ_SPECIAL, *alphabet, *(left + right for left, right in MERGES)]
    made = Tokenizer(models.BPE({word: i for i, word in enumerate(words)}, MERGES))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return _finished(made, "<s>", "</s>")


def unigram() -> Tokenizer:
    """XLM-RoBERTa's."""
    made = Tokenizer(models.Unigram(PIECES, unk_id=FAIRSEQ_SPECIAL.index("<unk>")))
    made.normalizer = normalizers.NFKC()
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    return _finished(made, "<s>", "</s>")


TOKENIZERS: Final[dict[str, Callable[[], Tokenizer]]] = {
    "bert": wordpiece,
    "distilbert": wordpiece,
    "roberta": byte_pairs,
    "xlm-roberta": unigram,
}


def size(family: str) -> int:
    """How many tokens a family's tokenizer knows."""
    return int(TOKENIZERS[family]().get_vocab_size())


def _finished(made: Tokenizer, first: str, last: str) -> Tokenizer:
    made.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}",
        pair=None,
        special_tokens=[(word, made.token_to_id(word)) for word in (first, last)],
    )
    # As in the wild: padding that a loader must not inherit.
    made.enable_padding(length=16)
    return made
