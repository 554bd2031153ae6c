"""`modelmeter estimate FILE`: what the documents of a YAML file would cost; offline."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import yaml

from modelmeter.api.base import parse
from modelmeter.api.estimate import EstimateSpec
from modelmeter.api.resources import ModelDeployment, model_deployment, price_book
from modelmeter.cluster.clock import Clock
from modelmeter.control.estimating import hourly_terms
from modelmeter.errors import ModelmeterError, SpecError
from modelmeter.meter.estimate import HOURS_PER_MONTH, Term, explicit, parts
from modelmeter.meter.prices import Tariff
from modelmeter.provision.device_claim import claimed
from modelmeter.report.estimate import Row, items_json, items_table, sums_json

Document = dict[str, Any]
KINDS: Final = ("Estimate", "ModelDeployment", "PriceBook")


def add_parser(subparsers: Any) -> None:
    """Add `estimate` to the command line."""
    parser = subparsers.add_parser("estimate", help="what a ModelDeployment would cost, offline")
    parser.add_argument("file", metavar="FILE", type=Path, help="YAML with a ModelDeployment, or an Estimate")
    parser.add_argument(
        "--prices", metavar="FILE", type=Path, help="YAML with the PriceBook, where FILE does not hold it"
    )
    parser.add_argument("-o", "--output", choices=("table", "json"), default="table")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the estimate; 0, or 1 with a message that names what is wrong."""
    try:
        documents = [entry for file in (arguments.file, arguments.prices) if file for entry in _read(file)]
        print(_estimate(documents, str(arguments.file), arguments.output, Clock()()))
    except ModelmeterError as error:
        print(f"modelmeter estimate: {error}", file=sys.stderr)
        return 1
    return 0


def _estimate(documents: list[Document], file: str, output: str, now: datetime) -> str:
    estimates = [parse(EstimateSpec, entry.get("spec"), "spec") for entry in documents if entry["kind"] == "Estimate"]
    models = [_as_created(entry) for entry in documents if entry["kind"] == "ModelDeployment"]
    if len(estimates) + len(models) != 1:
        raise SpecError(file, f"holds {len(estimates) + len(models)} of ModelDeployment and Estimate; give one a file")
    if estimates:
        return _explicit(estimates[0], output)
    tariffs = {
        book.name: Tariff(book) for book in (price_book(entry) for entry in documents if entry["kind"] == "PriceBook")
    }
    return _model(models[0], tariffs, output, now)


def _explicit(estimate: EstimateSpec, output: str) -> str:
    terms = [explicit(item) for item in estimate.items]
    if output == "json":
        return json.dumps(sums_json(parts(terms)))
    return items_table(_rows(terms), parts(terms), estimate.currency)


def _model(model: ModelDeployment, tariffs: dict[str, Tariff], output: str, now: datetime) -> str:
    name = model.spec.pricing.price_book
    if name not in tariffs:
        raise SpecError("spec.pricing.priceBook", f"no PriceBook {name!r} in the file: add it, or give --prices FILE")
    tariff = tariffs[name]
    terms = hourly_terms(model, tariff, now)
    hour, month = parts(terms), parts(terms, HOURS_PER_MONTH)
    unpriced = [term.name for term in terms if term.amount is None]
    between = _autoscaled(model, tariff, now)
    if output == "json":
        answer = {"currency": tariff.currency, "perHour": sums_json(hour), "perMonth": sums_json(month)}
        if between:
            answer["perHourAutoscaled"] = sums_json(between)
        return json.dumps({**answer, "items": items_json(_rows(terms)), "unpriced": unpriced})
    without = f" without {', '.join(unpriced)}" if unpriced else ""
    lines = [
        f"{model.name}: {model.spec.serving.replicas} replicas for one hour",
        items_table(_rows(terms), hour, tariff.currency),
        f"per month of {HOURS_PER_MONTH} hours: {sums_json(month)['total']} {tariff.currency}{without}",
    ]
    if claimed(model):
        gpu = model.spec.serving.gpu
        lines.append(
            f"each device of DeviceClass {gpu.device_class_name} is counted as a whole GPU; a MIG device costs less"
        )
    if between:
        low, high = sums_json(between).values()
        lines.append(f"spec.serving.autoscaling lets an hour cost between {low} and {high} {tariff.currency}{without}")
    if unpriced:
        lines.append(
            f"without {', '.join(unpriced)}: no rate of PriceBook {name} covers it."
            " Rates may match what serving.gpu.product, serving.nodeSelector and storage.storageClassName say"
        )
    return "\n".join(lines)


def _autoscaled(model: ModelDeployment, tariff: Tariff, now: datetime) -> dict[str, Fraction]:
    """The total of an hour with `min` and with `max` replicas; empty where nobody scales the model."""
    serving = model.spec.serving
    if serving.autoscaling is None:
        return {}
    totals = {}
    for name, replicas in (("min", serving.autoscaling.min), ("max", serving.autoscaling.max)):
        spec = model.spec.model_copy(update={"serving": serving.model_copy(update={"replicas": replicas})})
        totals[name] = parts(hourly_terms(replace(model, spec=spec), tariff, now))["total"]
    return totals


def _rows(terms: Iterable[Term]) -> list[Row]:
    return [(term.category, term.name, term.quantity, term.unit, term.unit_price, term.amount) for term in terms]


def _as_created(document: Document) -> ModelDeployment:
    """The resource as the API server would hold it right after `kubectl apply`."""
    made = {"uid": "", "generation": 1}
    metadata = {"namespace": "default", **document["metadata"], **made}
    return model_deployment({"spec": document.get("spec"), "metadata": metadata})


def _read(file: Path) -> list[Document]:
    try:
        documents = [entry for entry in yaml.safe_load_all(file.read_text(encoding="utf-8")) if entry is not None]
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SpecError(str(file), f"cannot be read: {error}") from None
    for entry in documents:
        kind = entry.get("kind") if isinstance(entry, dict) else None
        if kind not in KINDS:
            raise SpecError(f"{file}: kind", f"{kind!r} is not one of {', '.join(KINDS)}")
        metadata = entry.setdefault("metadata", {})
        if not isinstance(metadata, dict) or not isinstance(metadata.setdefault("name", ""), str):
            raise SpecError(f"{file}: metadata", f"of the {kind} is not an object with a name")
    return documents
