"""Real Triton serves what our loader wrote, and its scores are those of the papers' equations."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from modelmeter.loader.load import load
from modelmeter.loader.spec import LoadSpec
from tests.cluster.triton import Triton
from tests.loader.checkpoints import CLASSIFIERS
from tests.serving.client import Answer, Asked, executions, generate, infer, together
from tests.serving.models import AS_IT_IS, ENCODER, LABELS, ON_A_GPU, Model

pytestmark = pytest.mark.e2e

TOLERANCE = 1e-4
CHARACTERS = 10_000
TEXTS = [
    "The striker scored twice in the final.",
    "Boil the pasta in salted water.",
    "",
    "足球 ⚽ naïve café 意大利",
    "👩‍👩‍👧‍👦🇮🇹",
    "goal " * (CHARACTERS // 5),
    "a" * CHARACTERS,
    "足球" * (CHARACTERS // 2),
]
NAMES = [ENCODER, ON_A_GPU, AS_IT_IS, *CLASSIFIERS]
CONCURRENT = 64


def check(model: Model, asked: Asked, answer: Answer) -> None:
    """The answer is right."""
    assert answer.status == 200, answer
    expected = model.expected(asked.text, asked.label)
    assert answer.body["score"] == pytest.approx(expected.score, abs=TOLERANCE), asked
    assert answer.body["probability"] == pytest.approx(expected.probability, abs=TOLERANCE), asked


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text[:8])
def test_any_text_is_answered_as_by_the_reference(
    server: Triton, models: dict[str, Model], name: str, text: str
) -> None:
    asked = Asked(name, text, "cooking")
    check(models[name], asked, generate(server, asked))


@pytest.mark.parametrize("name", [ENCODER, ON_A_GPU, AS_IT_IS])
def test_a_label_that_is_not_known_is_scored_too(server: Triton, models: dict[str, Model], name: str) -> None:
    cases = [Asked(name, text, label) for text in TEXTS[:3] for label in ("food ⚽", "sports")]
    for asked, answer in zip(cases, together(server, cases), strict=True):
        check(models[name], asked, answer)


def mixed(name: str, number: int) -> list[Asked]:
    """Texts of 2 to 128 tokens and more, of few kinds that a plain reference need not compute too often."""
    random = np.random.default_rng(5)
    words = ["goal", "striker", "sports", "cooking", "pasta", "salt", "意", "⚽"]
    texts = [" ".join(random.choice(words, size)) for size in (0, 1, 2, 5, 11, 30, 60, 200)]
    return [Asked(name, texts[at % len(texts)], LABELS[at // len(texts) % 2]) for at in range(number)]


@pytest.mark.parametrize("name", NAMES)
def test_64_at_once_of_mixed_lengths_share_batches_and_are_right(
    server: Triton, models: dict[str, Model], name: str
) -> None:
    before = executions(server, name)
    cases = mixed(name, CONCURRENT)
    answers = together(server, cases)
    assert executions(server, name) - before < len(cases)  # else nothing was batched, and nothing tested
    expected = {asked: models[name].expected(asked.text, asked.label) for asked in set(cases)}
    for asked, answer in zip(cases, answers, strict=True):
        assert answer.status == 200, answer
        assert answer.body["score"] == pytest.approx(expected[asked].score, abs=TOLERANCE), asked
        assert answer.body["probability"] == pytest.approx(expected[asked].probability, abs=TOLERANCE), asked


def test_64_at_once_over_all_models_are_right(server: Triton, models: dict[str, Model]) -> None:
    cases = [mixed(NAMES[at % len(NAMES)], CONCURRENT)[at] for at in range(CONCURRENT)]
    for asked, answer in zip(cases, together(server, cases), strict=True):
        check(models[asked.model], asked, answer)


@pytest.mark.parametrize("name", NAMES)
def test_a_batch_over_grpc_is_answered_as_by_the_reference(server: Triton, models: dict[str, Model], name: str) -> None:
    texts = TEXTS[:5]
    scores, probabilities = infer(server, name, texts, ["cooking"] * len(texts))
    assert scores.shape == probabilities.shape == (len(texts), 1)
    expected = [models[name].expected(text, "cooking") for text in texts]
    assert scores[:, 0] == pytest.approx([row.score for row in expected], abs=TOLERANCE)
    assert probabilities[:, 0] == pytest.approx([row.probability for row in expected], abs=TOLERANCE)


def test_megabytes_cost_no_more_than_what_is_kept_of_them(server: Triton, models: dict[str, Model]) -> None:
    text = "The striker scored twice in the final. " * 200_000
    # By gRPC: at such a body the HTTP front end of Triton 2.51 crashes.
    score, _ = infer(server, ENCODER, [text], ["sports"])
    assert score[:, 0] == pytest.approx([models[ENCODER].expected(text[:CHARACTERS], "sports").score], abs=TOLERANCE)


def test_a_new_spec_is_served_in_place(server: Triton, models: dict[str, Model], tmp_path: Path) -> None:
    source = f"file://{models['bert'].checkpoint}"
    for labels in (("a", "b", "c"), ("c", "b", "d")):
        load(source, tmp_path / "repository", LoadSpec("renamed", labels=labels, max_sequence_length=20))
        server.serve(tmp_path / "repository")
        assert generate(server, Asked("renamed", "goal", labels[2])).status == 200
    assert generate(server, Asked("renamed", "goal", "a")).status == 400
