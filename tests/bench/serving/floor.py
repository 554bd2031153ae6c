"""The floor: `python -m tests.bench.serving.floor REPOSITORY SECONDS NUMBER SEED` prints a Floor as JSON."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from tests.bench.serving import model
from tests.bench.serving.texts import texts

BATCHES: Final = (1, 2, 4, 8, 16, 32)


@dataclass(frozen=True, slots=True)
class Floor:
    """Texts a second and processor time of a text, by rows of a batch; each text's score for its `label_of`."""

    per_second: dict[int, float]
    cpu_ms: dict[int, float]
    scores: list[float]

    @property
    def best(self) -> int:
        """The rows of the fastest batch."""
        return max(self.per_second, key=self.per_second.__getitem__)


def label_of(at: int) -> str:
    """The label of the text at a place."""
    return model.LABELS[at % len(model.LABELS)]


def measure(repository: Path, seconds: float, given: list[str]) -> Floor:
    """Run all texts again and again, with batches of each size for its share of the time."""
    session = model.session(repository)
    encodings = model.tokenizer(repository).encode_batch(given)
    order = sorted(range(len(given)), key=lambda at: len(encodings[at].ids))
    scores = [0.0] * len(given)
    rates, cpu_ms = {}, {}
    for rows in BATCHES:
        batches = [order[at : at + rows] for at in range(0, len(order), rows)]
        model.run(session, [encodings[order[-1]].ids] * rows, [label_of(0)] * rows)
        rounds, began, cpu_began = 0, time.perf_counter(), time.process_time()
        while not rounds or time.perf_counter() - began < seconds / len(BATCHES):
            for batch in batches:
                found, _ = model.run(session, [encodings[at].ids for at in batch], [label_of(at) for at in batch])
                for at, score in zip(batch, found, strict=True):
                    scores[at] = float(score)
            rounds += 1
        rates[rows] = rounds * len(given) / (time.perf_counter() - began)
        cpu_ms[rows] = (time.process_time() - cpu_began) * 1000 / (rounds * len(given))
    return Floor(rates, cpu_ms, scores)


if __name__ == "__main__":
    _, folder, time_limit, number, seed = sys.argv
    print(json.dumps(asdict(measure(Path(folder), float(time_limit), texts(int(number), int(seed))))))
