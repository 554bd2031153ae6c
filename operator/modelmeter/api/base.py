"""What the three resources' models share: camelCase names, no unknown fields, values that do not change."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.alias_generators import to_camel

from modelmeter.errors import SpecError


class Struct(BaseModel):
    """A part of a resource. Fields are snake_case here and camelCase in the API."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
    )


T = TypeVar("T", bound=Struct)


def parse(kind: type[T], value: Any, path: str) -> T:
    """Parse `value` as `kind`; SpecError names the first field that is wrong, below `path`."""
    if value is None:
        raise SpecError(path, "is missing")
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
        raise SpecError(path + where, first["msg"].removeprefix("Value error, ")) from None


def rule(expression: str, message: str) -> dict[str, str]:
    """A CEL validation rule of a CRD (x-kubernetes-validations)."""
    return {"rule": expression, "message": message}


def rules(*validations: dict[str, str], **extra: Any) -> dict[str, Any]:
    """`json_schema_extra` of a field or model with CEL rules and other schema keywords."""
    return {"x-kubernetes-validations": list(validations), **extra}
