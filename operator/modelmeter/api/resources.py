"""The resources as the operator holds them: the parts of the metadata that matter, and the parsed spec."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelmeter.api.base import parse
from modelmeter.api.model_deployment import ModelDeploymentSpec
from modelmeter.api.price_book import PriceBookSpec


@dataclass(frozen=True, slots=True)
class ModelDeployment:
    """A ModelDeployment at one generation."""

    namespace: str
    name: str
    uid: str
    generation: int
    spec: ModelDeploymentSpec


@dataclass(frozen=True, slots=True)
class PriceBook:
    """A PriceBook; `name` and a rate's index are the rate's identity."""

    name: str
    spec: PriceBookSpec


def model_deployment(body: Mapping[str, Any]) -> ModelDeployment:
    """Parse an object of the API server; SpecError where the spec cannot work."""
    metadata = body["metadata"]
    return ModelDeployment(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        generation=metadata["generation"],
        spec=parse(ModelDeploymentSpec, body.get("spec"), "spec"),
    )


def price_book(body: Mapping[str, Any]) -> PriceBook:
    """Parse an object of the API server; SpecError where a rate cannot work."""
    return PriceBook(body["metadata"]["name"], parse(PriceBookSpec, body.get("spec"), "spec"))
