"""Which model is served, and where it is fetched from."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from modelmeter.api import image_source
from modelmeter.api.base import Struct, rule, rules
from modelmeter.api.scalars import ObjectName

SOURCE_FORMS = {
    "pvc://CLAIM/path": r"^pvc://[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?(/.*)?$",
    "hf://OWNER/NAME[@REVISION][/FOLDER]": r"^hf://[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+(@[^/@#? ]+)?(/[^@#? ]*)?$",
    "s3://BUCKET/path": r"^s3://[a-z0-9][a-z0-9._-]{0,221}(/[^?]*)?$",
    "gs://BUCKET/path": r"^gs://[a-z0-9][a-z0-9._-]{0,221}(/[^?]*)?$",
    "az://CONTAINER/path": r"^az://[a-z0-9][a-z0-9-]{0,62}(/[^?]*)?$",
    "oci://HOST/REPOSITORY:TAG or @sha256:DIGEST": f"^oci://{image_source.REFERENCE}$",
    "image://HOST/REPOSITORY:TAG/path or @sha256:DIGEST/path": image_source.PATTERN,
    "https://HOST/path (an archive or a folder)": r"^https://[^/?# ]+([/?].*)?$",
}
"""What a source may be, and as which pattern; neither Python nor CEL may read a backslash or a quote in one."""
SOURCE_MESSAGE = f"source must be one of {', '.join(SOURCE_FORMS)}"


def _source(text: str) -> str:
    if not any(re.match(pattern, text) for pattern in SOURCE_FORMS.values()):
        raise ValueError(SOURCE_MESSAGE)
    return text


Source = Annotated[
    str,
    Field(
        min_length=1,
        max_length=2048,
        json_schema_extra=rules(
            rule(" || ".join(f"self.matches('{pattern}')" for pattern in SOURCE_FORMS.values()), SOURCE_MESSAGE)
        ),
    ),
    AfterValidator(_source),
]


class Model(Struct):
    """Which model is served."""

    source: Source
    """Where the model is fetched from: pvc://, hf://, s3://, gs://, az://, oci://, image:// or https://;
    see docs/sources.md."""
    credentials_secret: ObjectName = ""
    """Secret of the namespace whose keys the loader gets as environment variables, such as HF_TOKEN; empty: none."""
    task: Literal["text-classification"] = "text-classification"
    """What the model does."""
    labels: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=256)]],
        Field(max_length=256, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ] = []
    """Texts of the classes, each once; `probability` is taken over them."""
    max_sequence_length: Annotated[int, Field(ge=8, le=512)] = 128
    """Longest input, in tokens; longer texts are truncated."""
    sequence_buckets: Annotated[
        list[Annotated[int, Field(ge=1, le=512)]],
        Field(max_length=16, json_schema_extra={"x-kubernetes-list-type": "set"}),
    ] = []
    """Lengths in tokens at which a server is warmed up, and to which the onnxruntime backend pads.

    maxSequenceLength is always among them; not given: 16, 32, 64, 128 and 256."""
    precision: Literal["fp32", "fp16", "int8"] = "fp32"
    """Number format of the weights; int8: on the CPU alone, two to three times as fast and less exact."""
