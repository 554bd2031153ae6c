"""All images that a real node holds, under the names by which the chart and the models ask for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml

from modelmeter.api.serving import Serving
from tests.cluster.images.archive import Image
from tests.cluster.images.build import CHECKOUT, operator_image
from tests.cluster.images.standins import pause_image, triton_image

NEXT_TAG: Final = "next"
"""The operator's image once more, as another version would be named."""
TRITON: Final = Serving().image


def catalogue(tools: Path) -> list[Image]:
    """The images; what the cache lacks of them is made first (about 2 minutes, once)."""
    chart = CHECKOUT / "charts" / "modelmeter"
    repository = _yaml(chart / "values.yaml")["image"]["repository"]
    version = _yaml(chart / "Chart.yaml")["appVersion"]
    return [
        pause_image(tools / "pause"),
        operator_image(f"{repository}:{version}", f"{repository}:{NEXT_TAG}"),
        triton_image(TRITON),
    ]


def _yaml(path: Path) -> dict[str, Any]:
    return dict(yaml.safe_load(path.read_text(encoding="utf-8")))
