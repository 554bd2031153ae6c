"""A model served by each kind of source that needs nothing else: each answers the source's name."""

from __future__ import annotations

import pytest

from tests.loader.test_bucket import Store
from tests.loader.test_registry import Registry
from tests.loader.web import Web


def of_a_website(request: pytest.FixtureRequest, files: dict[str, bytes]) -> str:
    web: Web = request.getfixturevalue("web")
    web.files = {f"bert/{name}": data for name, data in files.items()}
    return f"{web.url}/bert/"


def of_a_bucket(request: pytest.FixtureRequest, files: dict[str, bytes]) -> str:
    made: Store = request.getfixturevalue("store")
    made.objects = {f"models/bert/{name}": data for name, data in files.items()}
    return "s3://models/bert"


def of_a_registry(request: pytest.FixtureRequest, files: dict[str, bytes]) -> str:
    made: Registry = request.getfixturevalue("registry")
    made.push(files)
    return f"oci://{made.host}/acme/bert:v1"
