"""Builds the CustomResourceDefinitions from the pydantic models: one rule, one place."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from modelmeter.api.base import Struct, rule
from modelmeter.api.cost_statement import CostStatementSpec
from modelmeter.api.model_deployment import ModelDeploymentSpec
from modelmeter.api.model_deployment_status import ModelDeploymentStatus
from modelmeter.api.names import GROUP, LONGEST_NAME, VERSION
from modelmeter.api.price_book import PriceBookSpec
from modelmeter.api.serving_options import INT8_RULE, TENSORRT_RULE

Schema = dict[str, Any]


class Column(NamedTuple):
    """A printer column of kubectl; priority 1 shows with -o wide only."""

    name: str
    json_path: str
    type: str = "string"
    priority: int = 0
    description: str = ""


class Kind(NamedTuple):
    """What a CRD is made of."""

    kind: str
    plural: str
    short_names: tuple[str, ...]
    scope: str
    description: str
    spec: type[Struct]
    columns: tuple[Column, ...]
    status: type[Struct] | None = None
    subresources: Schema | None = None
    root_rules: tuple[dict[str, str], ...] = ()


AGE = Column("AGE", ".metadata.creationTimestamp", "date")
NAME_RULE = rule(
    f"self.metadata.name.matches('^[a-z]([-a-z0-9]{{0,{LONGEST_NAME - 2}}}[a-z0-9])?$')",
    f"metadata.name names a Service and a Triton model: at most {LONGEST_NAME} of a-z, 0-9 and '-', a letter first",
)

KINDS: Final = (
    Kind(
        kind="ModelDeployment",
        plural="modeldeployments",
        short_names=("mdep",),
        scope="Namespaced",
        description="A BERT text classifier served by Triton, with its cost.",
        spec=ModelDeploymentSpec,
        status=ModelDeploymentStatus,
        subresources={
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.serving.replicas",
                "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.selector",
            },
        },
        root_rules=(NAME_RULE, INT8_RULE, TENSORRT_RULE),
        columns=(
            Column("READY", ".status.ready", description="ready/desired replicas"),
            Column("GPU-HOURS", ".status.usage.gpuHours", description="over the whole life"),
            Column("COST/HOUR", ".status.cost.perHour", description="what an hour costs now"),
            Column("MONTH", ".status.cost.month.total", description="cost of this month so far"),
            Column("TOTAL", ".status.cost.total", description="cost over the whole life"),
            Column(
                "PRICED",
                '.status.conditions[?(@.type=="Priced")].status',
                description="whether all that is used has a price; else the amounts are of what has one",
            ),
            Column("STORAGE", ".status.cost.storage", priority=1, description="cost of the claims"),
            Column("MODEL", ".spec.model.source", priority=1),
            Column("REASON", ".status.reason", priority=1, description="of the lowest failing layer"),
            AGE,
        ),
    ),
    Kind(
        kind="PriceBook",
        plural="pricebooks",
        short_names=("pbook",),
        scope="Cluster",
        description="Dated unit prices, append-only.",
        spec=PriceBookSpec,
        columns=(Column("CURRENCY", ".spec.currency"), AGE),
    ),
    Kind(
        kind="CostStatement",
        plural="coststatements",
        short_names=("cstmt",),
        scope="Namespaced",
        description="The ledger page of one ModelDeployment for one month. Written by the operator only.",
        spec=CostStatementSpec,
        root_rules=(rule("!oldSelf.spec.closed || self.spec == oldSelf.spec", "a closed page never changes"),),
        columns=(
            Column("MODEL", ".spec.model.name"),
            Column("NAMESPACE", ".spec.model.namespace"),
            Column("MONTH", ".spec.month"),
            Column("TOTAL", ".spec.totals.total", description="posted cost of the month"),
            Column("CURRENCY", ".spec.currency"),
            Column("POSTED-THROUGH", ".spec.postedThrough", priority=1),
            Column("CLOSED", ".spec.closed", "boolean"),
        ),
    ),
)


def structural(model: type[Struct]) -> Schema:
    """The model's JSON Schema as Kubernetes wants it: references inlined, no null, no titles."""
    schema = model.model_json_schema(by_alias=True, mode="validation")
    return _structural(schema, schema.get("$defs", {}))


def _structural(node: Schema, definitions: dict[str, Schema]) -> Schema:
    if "$ref" in node:
        target = definitions[node["$ref"].rpartition("/")[2]]
        node = {**target, **{key: value for key, value in node.items() if key != "$ref"}}
        return _structural(node, definitions)
    if "anyOf" in node:
        chosen = next(option for option in node["anyOf"] if option.get("type") != "null")
        rest = {key: value for key, value in node.items() if key not in ("anyOf", "default")}
        return _structural({**chosen, **rest}, definitions)
    if "const" in node:
        node = {**{key: value for key, value in node.items() if key != "const"}, "enum": [node["const"]]}
    out: Schema = {}
    for key, value in node.items():
        match key, value:
            case ("$defs" | "title" | "discriminator", _):
                continue
            case ("additionalProperties", bool()):
                continue
            case ("additionalProperties" | "items", dict()):
                out[key] = _structural(value, definitions)
            case ("properties", dict()):
                out[key] = {name: _structural(child, definitions) for name, child in value.items()}
            case ("default", _):
                out[key] = _without_null(value)
            case ("description", str()):
                out[key] = " ".join(value.split())
            case _:
                out[key] = value
    return out


def _without_null(value: Any) -> Any:
    match value:
        case dict():
            return {key: _without_null(child) for key, child in value.items() if child is not None}
        case list():
            return [_without_null(child) for child in value]
        case _:
            return value


def definition(kind: Kind) -> Schema:
    """The CustomResourceDefinition of one kind."""
    properties: Schema = {
        "apiVersion": {"type": "string"},
        "kind": {"type": "string"},
        "metadata": {"type": "object"},
        "spec": structural(kind.spec),
    }
    if kind.status is not None:
        properties["status"] = structural(kind.status)
    root: Schema = {
        "type": "object",
        "description": kind.description,
        "required": ["spec"],
        "properties": properties,
    }
    if kind.root_rules:
        root["x-kubernetes-validations"] = list(kind.root_rules)
    version: Schema = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": root},
        "additionalPrinterColumns": [
            {
                "name": column.name,
                "type": column.type,
                "jsonPath": column.json_path,
                **({"priority": column.priority} if column.priority else {}),
                **({"description": column.description} if column.description else {}),
            }
            for column in kind.columns
        ],
    }
    if kind.subresources is not None:
        version["subresources"] = kind.subresources
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": kind.kind,
                "listKind": f"{kind.kind}List",
                "plural": kind.plural,
                "singular": kind.kind.lower(),
                "shortNames": list(kind.short_names),
                "categories": ["modelmeter"],
            },
            "scope": kind.scope,
            "versions": [version],
        },
    }
