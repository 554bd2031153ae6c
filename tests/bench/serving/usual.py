"""The usual way: FastAPI, and the ONNX session once for each request; uvicorn runs `app`."""

from __future__ import annotations

import os
from pathlib import Path

from fastapi import FastAPI
from pydantic import BaseModel

from tests.bench.serving import model

REPOSITORY = "BENCH_REPOSITORY"


class Question(BaseModel):
    """As for Triton's /generate."""

    text: str
    label: str


class Answer(BaseModel):
    """The same."""

    score: float
    probability: float


def app() -> FastAPI:
    """The application over the repository that the environment names."""
    repository = Path(os.environ[REPOSITORY])
    tokenizer, session = model.tokenizer(repository), model.session(repository)
    made = FastAPI()

    @made.post("/predict")
    def predict(question: Question) -> Answer:
        score, probability = model.run(session, [tokenizer.encode(question.text).ids], [question.label])
        return Answer(score=float(score[0]), probability=float(probability[0]))

    return made
