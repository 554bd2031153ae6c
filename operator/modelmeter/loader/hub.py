"""Models of the Hugging Face Hub, or of a mirror that HF_ENDPOINT names.

hf://OWNER/NAME[@REVISION][/FOLDER]. A branch or tag is resolved to its commit once, and all files are of that commit.
HF_TOKEN is shown to the endpoint only. The two requests that this takes are made here: the Hub's own client would hold
more memory than all else, and asks huggingface.co for more than the model.
"""

import os
import re
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Self
from urllib.parse import quote, unquote

from modelmeter.loader import checkpoint
from modelmeter.loader.download import Asking, get_json, opening
from modelmeter.loader.errors import SourceError
from modelmeter.loader.transfer import Carrier, Item

FORM: Final = re.compile(r"hf://(?P<repository>[\w.-]+/[\w.-]+)(@(?P<revision>[^/@]+))?(/(?P<folder>[^@]*))?")
ENDPOINT: Final = "https://huggingface.co"
TOKEN: Final = "put a token that may read it as HF_TOKEN into the Secret that spec.model.credentialsSecret names"


@dataclass(frozen=True, slots=True)
class Address:
    """What an hf:// source names; folder: empty, or with a slash at its end."""

    repository: str
    revision: str
    folder: str

    @classmethod
    def parse(cls, source: str) -> Self:
        """Read an hf:// source.

        >>> Address.parse("hf://google-bert/bert-base-uncased@refs%2Fpr%2F7/onnx")
        Address(repository='google-bert/bert-base-uncased', revision='refs/pr/7', folder='onnx/')
        """
        match = FORM.fullmatch(source)
        if match is None:
            raise SourceError(f"{source} names no model of the Hub", "give hf://OWNER/NAME[@REVISION][/FOLDER]")
        folder = unquote(match["folder"] or "").strip("/")
        return cls(match["repository"], unquote(match["revision"] or "main"), f"{folder}/" if folder else "")


def fetch(source: str, carrier: Carrier) -> str:
    """Fetch the model's files; return the commit that they are of."""
    address = Address.parse(source)
    endpoint = (os.environ.get("HF_ENDPOINT") or ENDPOINT).rstrip("/")
    token = os.environ.get("HF_TOKEN")
    asking = Asking(f"Bearer {token}" if token else None, _remedies(f"{endpoint}/{address.repository}"))
    listing = f"{endpoint}/api/models/{address.repository}/revision/{quote(address.revision, safe='')}?blobs=true"
    model = carrier.persist(source, lambda: _model(get_json(listing, asking), endpoint))
    carrier.progress.say(f"{address.repository}@{address.revision} is the commit {model.commit}")
    found = {
        path.removeprefix(address.folder): file for path, file in model.files.items() if path.startswith(address.folder)
    }
    items = []
    for name in checkpoint.used(found):
        path = quote(address.folder + name)
        url = f"{endpoint}/{address.repository}/resolve/{model.commit}/{path}"
        items.append(Item(name, url, opening(url, asking, same=True), *found[name]))
    carrier.bring(items)
    return model.commit


class _File(NamedTuple):
    size_bytes: int
    sha256: str | None
    """Of what is stored as a large file; the Hub has no sha256 of others."""


@dataclass(frozen=True, slots=True)
class _Model:
    commit: str
    files: dict[str, _File]


def _model(answer: Any, endpoint: str) -> _Model:
    """Read what the Hub says of a model at a revision."""
    try:
        files = {
            entry["rfilename"]: _File(int(entry["size"]), (entry.get("lfs") or {}).get("sha256"))
            for entry in answer["siblings"]
        }
        return _Model(str(answer["sha"]), files)
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise SourceError(f"{endpoint} does not answer as the Hub does: {error!r}", "check HF_ENDPOINT") from error


def _remedies(page: str) -> dict[int, str]:
    return {
        # The Hub does not tell strangers whether a model exists.
        401: f"check that {page} exists; if it is private or gated, {TOKEN}",
        403: f"accept the model's terms at {page} with the account that HF_TOKEN belongs to, or {TOKEN}",
        404: f"check the name, the revision and the folder at {page}; a private model also needs a token: {TOKEN}",
    }
