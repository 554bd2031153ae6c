"""Models in registries of container images: oci://HOST/REPOSITORY:TAG or ...@sha256:DIGEST, as `oras push` makes them.

Each file is a layer with its name as title, or one layer is an archive of the folder. A tag is resolved to the
manifest's digest once. The manifest names every layer by its sha256, so all that arrives is checked.
"""

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final, NamedTuple, Self, TypeVar

from modelmeter.loader import archive, checkpoint
from modelmeter.loader.download import LOOPBACK, Asking, get_document, opening
from modelmeter.loader.errors import ChecksumError, RefusedError, SourceError
from modelmeter.loader.login import Login
from modelmeter.loader.transfer import CHECKSUM_REMEDY, Carrier, Item, Stream

FORM: Final = re.compile(
    r"oci://(?P<host>[^/@?#\s]+)/(?P<repository>[a-z0-9][a-z0-9._/-]*)"
    r"(?=[:@])(:(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?(@(?P<digest>sha256:[0-9a-f]{64}))?"
)
DIGEST: Final = re.compile("sha256:([0-9a-f]{64})")
MANIFESTS: Final = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
INDEXES: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
TITLE: Final = "org.opencontainers.image.title"
UNPACK: Final = "io.deis.oras.content.unpack"
"""How the command `oras` marks a folder that it packed as tar.gz."""
FOLDER: Final = "application/vnd.oci.image.layer.v1.tar+gzip"
"""How its Python library does."""

CREDENTIALS: Final = (
    "let spec.model.credentialsSecret name a Secret that may pull it,"
    " of the type kubernetes.io/dockerconfigjson or with OCI_USERNAME and OCI_PASSWORD"
)
REMEDIES: Final = {
    401: CREDENTIALS,
    403: CREDENTIALS,
    404: "check host, repository and tag; some registries say so, too, to those who may not pull",
}
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Address:
    """What an oci:// source names: the reference is a tag or a digest."""

    host: str
    repository: str
    reference: str

    @classmethod
    def parse(cls, source: str) -> Self:
        """Read an oci:// source; where it has both, the digest counts.

        >>> Address.parse("oci://ghcr.io/acme/bert:v1")
        Address(host='ghcr.io', repository='acme/bert', reference='v1')
        """
        match = FORM.fullmatch(source)
        if match is None:
            raise SourceError(f"{source} names no artefact", "give oci://HOST/REPOSITORY:TAG or ...@sha256:DIGEST")
        return cls(match["host"], match["repository"], match["digest"] or match["tag"])


class _Layer(NamedTuple):
    sha256: str
    size_bytes: int
    title: str
    packed: bool


def fetch(source: str, carrier: Carrier) -> str:
    """Fetch the model's files; return the digest of the manifest that names them."""
    address = Address.parse(source)
    registry = _Registry(address)
    digest, layers = carrier.persist(source, lambda: registry.manifest(address.reference))
    carrier.progress.say(f"{source} is the manifest {digest}")
    packed = [layer for layer in layers if layer.packed]
    titled = {layer.title: layer for layer in layers if layer.title and not layer.packed}
    wanted = archive.members({title: layer.size_bytes for title, layer in titled.items()})
    if not wanted and len(packed) == 1:
        archive.bring(carrier, registry.item("archive", source, packed[0]))
        return digest
    found = {name: registry.item(name, source, titled[title]) for title, name in wanted.items()}
    carrier.bring([found[name] for name in checkpoint.used(found)])
    return digest


class _Registry:
    """One repository, and who asks."""

    def __init__(self, address: Address) -> None:
        plain = address.host.partition(":")[0] in LOOPBACK or os.environ.get("OCI_ALLOW_HTTP") == "true"
        # Docker's own name for its registry is not the registry's.
        host = "registry-1.docker.io" if address.host == "docker.io" else address.host
        self._base = f"{'http' if plain else 'https'}://{host}/v2/{address.repository}"
        self._asking = Asking(None, REMEDIES)
        self._login = Login(address.host, address.repository, self._asking, plain)

    def manifest(self, reference: str) -> tuple[str, list[_Layer]]:
        """Return a manifest's digest and layers; an index must lead to one manifest."""
        location = f"{self._base}/manifests/{reference}"
        accepted = {"Accept": ", ".join((*MANIFESTS, *INDEXES))}
        document = self._admitted(lambda asking: get_document(location, asking, accepted))
        digest = f"sha256:{sha256(document).hexdigest()}"
        if DIGEST.fullmatch(reference) and digest != reference:
            raise ChecksumError(f"{location} has the digest {digest}, not {reference}", CHECKSUM_REMEDY)
        try:
            read = json.loads(document)
            if read.get("mediaType") not in INDEXES and "manifests" not in read:
                return digest, [_layer(entry) for entry in read["layers"]]
            (only,) = (entry["digest"] for entry in read["manifests"] if DIGEST.fullmatch(entry["digest"]))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise SourceError(
                f"{location} is no manifest of one artefact: {error!r}", "push the model's files with `oras push`"
            ) from error
        return self.manifest(only)

    def item(self, name: str, source: str, layer: _Layer) -> Item:
        """A layer as a file to be fetched."""
        location = f"{self._base}/blobs/sha256:{layer.sha256}"

        def open_at(offset: int, version: str | None) -> Stream:
            # A token may have ended since the last attempt.
            return self._admitted(lambda asking: opening(location, asking, same=True)(offset, version))

        return Item(name, f"{source}: {layer.title or name}", open_at, layer.size_bytes, layer.sha256)

    def _admitted(self, ask: Callable[[Asking], T]) -> T:
        """Ask, and if the registry wants to know who asks, say it and ask again."""
        try:
            return ask(self._asking)
        except RefusedError as error:
            if error.status != 401:
                raise
            authorization = self._login.answer(error)
        self._asking = Asking(authorization, REMEDIES)
        return ask(self._asking)


def _layer(entry: Any) -> _Layer:
    annotations = entry.get("annotations") or {}
    title = str(annotations.get(TITLE, ""))
    match = DIGEST.fullmatch(entry["digest"])
    if match is None:
        raise ValueError(f"the digest {entry['digest']} is no sha256")
    packed = annotations.get(UNPACK) == "true" or entry.get("mediaType") == FOLDER or archive.is_archive(title)
    return _Layer(match[1], int(entry["size"]), title, packed)
