"""One file over HTTP: whole, resumed, checked, or refused with a reason."""

import hashlib
from pathlib import Path

import pytest

from modelmeter.loader import space
from modelmeter.loader.download import Asking, opening, shown
from modelmeter.loader.errors import ChecksumError, DestinationError, RefusedError, SourceError
from modelmeter.loader.progress import Progress
from modelmeter.loader.transfer import BACK_OFF_SECONDS, RETRY_AFTER_LIMIT_SECONDS, Carrier, Item
from tests.loader.web import Reply, Web, ranged

BODY = bytes(range(256)) * 20


def bring(address: str, target: Path, sha256: str | None = None) -> tuple[list[float], list[str]]:
    """Download an address; return the waits between the attempts, and the log."""
    waits: list[float] = []
    lines: list[str] = []
    item = Item(target.name, shown(address), opening(address), sha256=sha256)
    Carrier(target.parent, Progress(lines.append), waits.append).bring([item])
    return waits, lines


def fetched(web: Web, target: Path, sha256: str | None = None) -> list[float]:
    """Download `file`; return the waits between the attempts."""
    return bring(f"{web.url}/file", target, sha256)[0]


def test_a_broken_transfer_goes_on_where_it_stopped(web: Web, tmp_path: Path) -> None:
    cuts = {1: 1000, 2: 700}
    web.script = lambda path, number, range_: ranged(BODY, range_, '"one"', cuts.get(number))
    assert fetched(web, tmp_path / "file", hashlib.sha256(BODY).hexdigest()) == [1.0, 1.0]
    assert (tmp_path / "file").read_bytes() == BODY
    assert [range_ for _, range_ in web.requests] == [None, "bytes=1000-", "bytes=1700-"]


def test_a_transfer_may_break_as_often_as_it_gets_further(web: Web, tmp_path: Path) -> None:
    web.script = lambda path, number, range_: ranged(BODY, range_, '"one"', 100)
    assert fetched(web, tmp_path / "file") == [1.0] * (len(BODY) // 100)
    assert (tmp_path / "file").read_bytes() == BODY
    # But not if it stops at the same place again and again.
    web.script = lambda path, number, range_: Reply(200, BODY, cut=100)
    with pytest.raises(SourceError, match="ended after 100 of 5120 bytes, after 6 attempts"):
        fetched(web, tmp_path / "other")


def test_a_file_that_changed_meanwhile_is_not_patched_together(web: Web, tmp_path: Path) -> None:
    new = BODY[::-1]
    # If-Range does not hold any more: the server sends the whole new file.
    web.script = lambda path, number, range_: (
        ranged(BODY, None, '"one"', 1000) if number == 1 else ranged(new, None, '"two"')
    )
    fetched(web, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == new


def test_a_server_without_versions_begins_again(web: Web, tmp_path: Path) -> None:
    web.script = lambda path, number, range_: Reply(200, BODY, cut=1000 if number == 1 else None)
    fetched(web, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == BODY
    assert [range_ for _, range_ in web.requests] == [None, None]


@pytest.mark.parametrize(
    "odd",
    [
        Reply(416),
        Reply(206, BODY[5:], {"ETag": '"one"', "Content-Range": f"bytes 5-{len(BODY) - 1}/{len(BODY)}"}),
    ],
)
def test_a_server_that_resumes_wrongly_is_asked_for_all(web: Web, tmp_path: Path, odd: Reply) -> None:
    web.script = lambda path, number, range_: {1: ranged(BODY, None, '"one"', 1000), 2: odd}.get(
        number, ranged(BODY, range_, '"one"')
    )
    fetched(web, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == BODY
    assert web.requests[2] == ("file", None)


def test_a_server_that_stays_broken_is_given_up(web: Web, tmp_path: Path) -> None:
    web.script = lambda path, number, range_: Reply(503)
    with pytest.raises(SourceError, match=r"HTTP 503, after 6 attempts.*check that the pods reach"):
        fetched(web, tmp_path / "file")
    assert len(web.requests) == len(BACK_OFF_SECONDS) + 1


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_refusal_is_final_and_hides_secrets(web: Web, tmp_path: Path, status: int) -> None:
    web.script = lambda path, number, range_: Reply(status)
    with pytest.raises(RefusedError, match=f"HTTP {status}") as caught:
        bring(f"{web.url}/file?signature=secret", tmp_path / "file")
    assert (len(web.requests), caught.value.status) == (1, status)
    assert "secret" not in str(caught.value)


def test_a_wrong_checksum_is_refused(web: Web, tmp_path: Path) -> None:
    web.files["file"] = BODY
    with pytest.raises(ChecksumError, match=f"{hashlib.sha256(BODY).hexdigest()}, not {'0' * 64}"):
        fetched(web, tmp_path / "file", "0" * 64)


def test_a_full_volume_is_no_fault_of_the_source(web: Web) -> None:
    web.files["file"] = b"short enough for a buffer"
    with pytest.raises(DestinationError, match="No space left"):
        fetched(web, Path("/dev/full"))


def test_a_password_in_the_address_is_refused_and_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"https://host/m\.zip is no address") as caught:
        bring("https://user:secret@host/m.zip", tmp_path / "file")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(("asked", "waited"), [("7", 7.0), ("99999", RETRY_AFTER_LIMIT_SECONDS), ("soon", 1.0)])
def test_a_server_that_names_a_time_is_not_asked_before(web: Web, tmp_path: Path, asked: str, waited: float) -> None:
    busy = Reply(429, headers={"Retry-After": asked})
    web.script = lambda path, number, range_: busy if number == 1 else Reply(200, BODY)
    waits, lines = bring(f"{web.url}/file", tmp_path / "file")
    assert waits == [waited]
    assert lines[0] == f"{web.url}/file: HTTP 429; trying again in {waited:g} s"


def test_what_has_no_room_is_refused_before_it_comes(web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = space.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(space.shutil, "disk_usage", lambda folder: usage._replace(free=len(BODY) - 1))
    web.files["file"] = BODY
    with pytest.raises(DestinationError, match=r"need 5120 bytes .*has 5119 bytes .*free; raise spec\.storage\.size"):
        fetched(web, tmp_path / "file")
    assert not (tmp_path / "file").exists()


def test_progress_is_said_in_few_lines(web: Web, tmp_path: Path) -> None:
    web.files["file"] = bytes(64 << 20)
    _, lines = bring(f"{web.url}/file", tmp_path / "file")
    assert lines[0] == "file: 1.0 MiB of 64.0 MiB (1 %)"
    assert lines[-1] == "file: 64.0 MiB of 64.0 MiB (100 %)"
    assert len(lines) == 11


def test_why_an_attempt_failed_is_kept_until_bytes_arrive(web: Web, tmp_path: Path) -> None:
    web.script = lambda path, number, range_: Reply(503) if number == 1 else Reply(200, BODY)
    progress, troubles = Progress(lambda line: None), []
    item = Item("file", "file", opening(f"{web.url}/file"))
    Carrier(tmp_path, progress, lambda seconds: troubles.append(progress.state.trouble)).bring([item])
    assert (troubles, progress.state.trouble) == (["HTTP 503"], "")
    assert progress.state.to_mapping() == {
        "phase": "fetching",
        "file": "file",
        "bytes": 5120,
        "totalBytes": 5120,
        "percent": 100,
    }


def test_https_is_not_left_by_a_redirect() -> None:
    from urllib.request import Request

    from modelmeter.loader.download import _CarefulRedirects

    with pytest.raises(SourceError, match="not https"):
        _CarefulRedirects().redirect_request(Request("https://host/a"), None, 302, "Found", {}, "http://host/a")


def test_another_server_does_not_see_the_token(web: Web, tmp_path: Path) -> None:
    with Web({"blob": BODY}) as other:
        away = {"start": f"{web.url}/moved", "moved": f"{other.url}/blob"}
        web.script = lambda path, number, range_: Reply(302, headers={"Location": away[path]})
        item = Item("file", "file", opening(f"{web.url}/start", Asking("Bearer secret")))
        Carrier(tmp_path, Progress(print)).bring([item])
        assert (tmp_path / "file").read_bytes() == BODY
        assert web.headers[0]["Authorization"] == web.headers[1]["Authorization"] == "Bearer secret"
        assert other.headers[0]["Authorization"] is None


def test_what_others_may_read_of_an_address() -> None:
    assert shown("https://user:word@host:81/a/b?signature=x#sha256=y") == "https://host:81/a/b"
