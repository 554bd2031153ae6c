"""Real Triton serves what our loader wrote, and its scores are those of the papers' equations."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelmeter.loader.load import load
from modelmeter.loader.spec import LoadSpec
from tests.cluster.triton import Triton
from tests.loader.checkpoints import CLASSIFIERS
from tests.serving.cases import CHARACTERS, CONCURRENT, TEXTS, TOLERANCE, check, mixed
from tests.serving.client import Asked, executions, generate, infer, together
from tests.serving.models import AS_IT_IS, ENCODER, ON_A_GPU, Model

pytestmark = pytest.mark.e2e

NAMES = [ENCODER, ON_A_GPU, AS_IT_IS, *CLASSIFIERS]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text[:8])
def test_any_text_is_answered_as_by_the_reference(
    server: Triton, models: dict[str, Model], name: str, text: str
) -> None:
    asked = Asked(name, text, "cooking")
    check(models[name], asked, generate(server.url, asked))


@pytest.mark.parametrize("name", [ENCODER, ON_A_GPU, AS_IT_IS])
def test_a_label_that_is_not_known_is_scored_too(server: Triton, models: dict[str, Model], name: str) -> None:
    cases = [Asked(name, text, label) for text in TEXTS[:3] for label in ("food ⚽", "sports")]
    for asked, answer in zip(cases, together(server.url, cases), strict=True):
        check(models[name], asked, answer)


@pytest.mark.parametrize("name", NAMES)
def test_64_at_once_of_mixed_lengths_share_batches_and_are_right(
    server: Triton, models: dict[str, Model], name: str
) -> None:
    before = executions(server.url, name)
    cases = mixed(name)
    answers = together(server.url, cases)
    assert executions(server.url, name) - before < len(cases)  # else nothing was batched, and nothing tested
    for asked, answer in zip(cases, answers, strict=True):
        check(models[name], asked, answer)


def test_64_at_once_over_all_models_are_right(server: Triton, models: dict[str, Model]) -> None:
    cases = [mixed(NAMES[at % len(NAMES)])[at] for at in range(CONCURRENT)]
    for asked, answer in zip(cases, together(server.url, cases), strict=True):
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
        assert generate(server.url, Asked("renamed", "goal", labels[2])).status == 200
    assert generate(server.url, Asked("renamed", "goal", "a")).status == 400
