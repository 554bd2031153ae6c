"""Models of a web server: https://HOST/model.tar.gz or https://HOST/folder/."""

from urllib.parse import SplitResult, parse_qs

from modelmeter.loader import archive, checkpoint
from modelmeter.loader.checkpoint import NOTHING_THERE
from modelmeter.loader.download import ABSENT_STATUSES, opening, shown
from modelmeter.loader.errors import RefusedError, SourceError
from modelmeter.loader.transfer import Carrier, Item


def fetch(url: SplitResult, carrier: Carrier) -> str:
    """Fetch the model's files; a web server has no revisions."""
    sha256 = wanted_sha256(url)
    if archive.is_archive(url.path):
        archive.bring(carrier, _item("archive", url, sha256))
        return ""
    found: list[str] = []
    absent: RefusedError | None = None
    for name in checkpoint.NAMES:
        if not checkpoint.worth_asking(name, found):
            continue
        member = url._replace(path=f"{url.path.rstrip('/')}/{name}")
        try:
            carrier.bring([_item(name, member, sha256 if name in checkpoint.WEIGHTS else None)])
            found.append(name)
        except RefusedError as error:
            if error.status not in ABSENT_STATUSES:
                raise
            absent = error
    if absent is not None and not found:
        raise RefusedError(
            f"{shown(url.geturl())} answered HTTP {absent.status} for every file of a model",
            NOTHING_THERE,
            absent.status,
        )
    return ""


def wanted_sha256(url: SplitResult) -> str | None:
    """Return the checksum at the end of an address, if there is one."""
    if not url.fragment:
        return None
    sha256 = parse_qs(url.fragment).get("sha256", [""])[0].lower()
    if len(sha256) != 64 or set(sha256) - set("0123456789abcdef"):
        raise SourceError(f"#{url.fragment} is no checksum", "append #sha256= and the 64 hexadecimal digits")
    return sha256


def _item(name: str, url: SplitResult, sha256: str | None) -> Item:
    address = url._replace(fragment="").geturl()
    return Item(name, shown(address), opening(address), sha256=sha256)
