"""The operator's image, from the steps of the Dockerfile itself; only its base is another (see base.py)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tests.cluster.errors import ClusterError
from tests.cluster.images import dockerfile, layers
from tests.cluster.images.archive import Image
from tests.cluster.images.base import base
from tests.cluster.images.dockerfile import Copy, Stage
from tests.cluster.images.layers import Folder

CHECKOUT: Final = Path(__file__).parents[3]
PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
IGNORED: Final = "__pycache__"


class Builder:
    """Runs one stage after another; `config` is that of the stage under way."""

    def __init__(self, context: Path) -> None:
        self.context = context
        self.config: dict[str, object] = {}
        self._environment: dict[str, str] = {}
        self._workdir = "/"
        self._made: dict[str, Folder] = {}

    def stage(self, stage: Stage) -> Folder:
        """Run the steps of one stage."""
        self.config, self._environment, self._workdir = {}, {"PATH": PATH}, "/"
        state = base()
        for step in stage.steps:
            match step.name:
                case "RUN":
                    state = layers.run(state, step.text, self._workdir, self._environment)
                case "COPY":
                    state = self._copy(state, Copy.parse(step.text))
                case "WORKDIR":
                    self._workdir = step.text
                case "ENV":
                    self._environment |= dockerfile.environment(step.text, self._environment)
                case "USER":
                    self.config["User"] = step.text
                case "ENTRYPOINT":
                    self.config["Entrypoint"] = dockerfile.entrypoint(step.text)
        self.config["Env"] = [f"{name}={value}" for name, value in self._environment.items()]
        self.config["WorkingDir"] = self._workdir
        self._made[stage.alias] = state
        return state

    def _copy(self, state: Folder, copy: Copy) -> Folder:
        if copy.stage:
            if len(copy.sources) != 1:
                raise ClusterError(f"COPY --from={copy.stage}: this harness copies one folder at a time")
            return layers.copied(state, self._made[copy.stage], *copy.sources, copy.target)
        places: dict[Path, str] = {}
        for source in copy.sources:
            places |= self._places(source, copy.target)
        return layers.added(state, self.context, sorted(places), places.__getitem__)

    def _places(self, source: str, target: str) -> Mapping[Path, str]:
        """Where the files of a source go: a folder's content into the target, a file into a folder or as it."""
        where = target if target.startswith("/") else f"{self._workdir.rstrip('/')}/{target.removeprefix('./')}"
        path = self.context / source
        if path.is_dir():
            found = (file for file in path.rglob("*") if file.is_file() and IGNORED not in file.parts)
            return {f.relative_to(self.context): f"{where}/{f.relative_to(path)}" for f in found}
        into = target.endswith("/") or target in (".", "./")
        return {Path(source): f"{where.rstrip('/.')}/{path.name}" if into else where}


def operator_image(*names: str) -> Image:
    """The image that the Dockerfile describes."""
    builder = Builder(CHECKOUT)
    *_, last = (builder.stage(stage) for stage in dockerfile.read(CHECKOUT / "Dockerfile"))
    keys = [layers.key(str(part)) for part in last.parts]
    tars = [layers.tar(part, name) for part, name in zip(last.parts, keys, strict=True)]
    return Image(names, tuple(tars), builder.config)
