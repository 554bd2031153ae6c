"""The harness builds the operator's image by reading the Dockerfile: it must know all that stands there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cluster.errors import ClusterError
from tests.cluster.images import build, dockerfile, layers
from tests.cluster.images.dockerfile import Copy
from tests.cluster.images.layers import Folder

DOCKERFILE = build.CHECKOUT / "Dockerfile"


def test_our_dockerfile_is_read_in_full() -> None:
    stages = dockerfile.read(DOCKERFILE)
    assert [stage.alias for stage in stages] == ["dependencies", "build", ""]
    assert {stage.base for stage in stages} == {"python:3.12-slim"}
    words = sum(len(step.text.split()) + 1 for stage in stages for step in stage.steps)
    text = [line for line in DOCKERFILE.read_text().splitlines() if not line.startswith(("#", "FROM"))]
    assert words == len([word for line in text for word in line.split() if word != "\\"])


def test_every_step_of_our_dockerfile_becomes_a_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Making a layer takes minutes and root: here only which are made, of what."""
    made: list[str] = []

    def note(name: str) -> object:
        def make(below: Folder, *rest: object) -> Folder:
            made.append(f"{name} {rest[0].key if isinstance(rest[0], Folder) else rest[0]}")
            return Folder(made[-1], (*below.parts, Path(made[-1])))

        return make

    for name in ("run", "copied", "added"):
        monkeypatch.setattr(layers, name, note(name))
    monkeypatch.setattr(build, "base", lambda: Folder("base", (Path("base"),)))
    monkeypatch.setattr(layers, "tar", lambda source, name: source)
    image = build.operator_image("modelmeter:1")
    steps = [step for stage in dockerfile.read(DOCKERFILE) for step in stage.steps]
    assert len(made) == sum(step.name in dockerfile.STEPS for step in steps)
    assert [step.text for step in steps if step.name == "RUN"] == [
        entry.removeprefix("run ") for entry in made if entry.startswith("run ")
    ]
    settings = {step.name: step.text for step in steps}
    assert image.config["User"] == settings["USER"] == "65532:65532"
    assert image.config["Entrypoint"] == dockerfile.entrypoint(settings["ENTRYPOINT"])
    assert f"PATH=/opt/modelmeter/bin:{build.PATH}" in image.config["Env"]
    assert len(image.layers) == 3


def test_what_docker_would_not_copy_is_not_copied() -> None:
    allowed = {line[1:] for line in (build.CHECKOUT / ".dockerignore").read_text().splitlines() if line[:1] == "!"}
    copies = [Copy.parse(s.text) for stage in dockerfile.read(DOCKERFILE) for s in stage.steps if s.name == "COPY"]
    assert {source for copy in copies if not copy.stage for source in copy.sources} == allowed


@pytest.mark.parametrize("line", ["VOLUME /data", "HEALTHCHECK NONE", "RUN true"])
def test_an_instruction_that_the_harness_does_not_know_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "Dockerfile").write_text(f"{line}\n")  # RUN before any FROM
    with pytest.raises(ClusterError, match="does not know the instruction"):
        dockerfile.read(tmp_path / "Dockerfile")


def test_a_variable_is_what_it_was_before() -> None:
    assert dockerfile.environment("PATH=/opt/bin:$PATH A='b c'", {"PATH": "/bin"}) == {
        "PATH": "/opt/bin:/bin",
        "A": "b c",
    }
