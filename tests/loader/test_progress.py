"""How far a load is: what the log says, and what is answered to whoever asks."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from modelmeter.loader import answering as answering_module
from modelmeter.loader.answering import answering
from modelmeter.loader.load import load
from modelmeter.loader.progress import CONVERTING, Progress
from modelmeter.loader.spec import LoadSpec
from modelmeter.readable import duration, size
from tests.cluster.ports import free_ports
from tests.loader.test_sources import contents
from tests.loader.web import Reply, Web

MIB = 1 << 20


def asked(port: int, path: str = "/progress", host: str = "127.0.0.1") -> dict[str, Any]:
    """What is answered."""
    with urlopen(f"http://{host}:{port}{path}", timeout=20) as answer:
        return dict(json.loads(answer.read()))


@pytest.fixture
def port() -> int:
    """A free one."""
    return next(free_ports())


def test_files_count_together_and_one_that_begins_again_goes_back() -> None:
    lines: list[str] = []
    progress = Progress(lines.append)
    progress.fetch("", 100)
    progress.at(10)
    progress.finish(10)
    progress.at(50)
    assert progress.state.to_mapping() == {"phase": "fetching", "bytes": 60, "totalBytes": 100, "percent": 60}
    progress.fail("HTTP 503")
    assert progress.state.to_mapping()["trouble"] == "HTTP 503"
    progress.at(5)
    assert progress.state.to_mapping() == {"phase": "fetching", "bytes": 15, "totalBytes": 100, "percent": 15}
    progress.begin(CONVERTING)
    assert progress.state.to_mapping() == {"phase": "converting"}
    assert lines == ["10 B of 100 B (10 %)", "60 B of 100 B (60 %)", "converting"]


def test_a_total_that_nobody_says_is_not_made_up() -> None:
    lines: list[str] = []
    progress = Progress(lines.append)
    progress.fetch("model.safetensors")
    for position in range(MIB // 2, 9 * MIB, MIB // 2):
        progress.at(position)
    state = progress.state.to_mapping()
    assert (state["bytes"], state["totalBytes"], state["percent"]) == (17 * MIB // 2, None, None)
    assert lines == [f"model.safetensors: {n}.0 MiB, of how much the source does not say" for n in (1, 2, 4, 8)]


def test_whoever_asks_sees_each_file_of_a_web_server(checkpoint: Path, web: Web, port: int, tmp_path: Path) -> None:
    """Also under way: the second half of the weights is held back."""
    web.files = {f"bert/{name}": data for name, data in contents(checkpoint).items()}
    held = threading.Event()
    web.script = lambda path, number, range_: (
        Reply(200, web.files[path], hold=held) if path.endswith("model.safetensors") else None
    )
    progress = Progress(lambda line: None)
    total = len(web.files["bert/model.safetensors"])

    def ask(arrived: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        while not arrived(answer := asked(port)):
            pass
        return answer

    with answering(progress, port):
        loading = threading.Thread(
            target=load,
            args=(f"{web.url}/bert/", tmp_path / "repository", LoadSpec("m", max_sequence_length=20), progress),
        )
        loading.start()
        answer = ask(lambda answer: answer.get("file") == "model.safetensors" and answer["totalBytes"] is not None)
        held.set()
        loading.join()
        assert answer["phase"] == "fetching"
        assert answer["totalBytes"] == total
        assert asked(port) == {"phase": "publishing"}
    with pytest.raises(OSError):
        asked(port)


def test_the_port_answers_at_addresses_of_both_families_and_nothing_else(port: int) -> None:
    with answering(Progress(), port):
        hosts = ["127.0.0.1", *(["[::1]"] if socket.has_dualstack_ipv6() else [])]
        assert [asked(port, host=host) for host in hosts] == [{"phase": ""}] * len(hosts)
        with pytest.raises(HTTPError, match="404"):
            asked(port, "/model.json")


def test_a_silent_asker_keeps_nobody_waiting_for_long(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering_module, "ASKER_SECONDS", 0.05)
    with answering(Progress(), port), socket.create_connection(("127.0.0.1", port)) as silent:
        silent.sendall(b"GET /pro")
        assert asked(port) == {"phase": ""}
        # It was hung up on.
        assert silent.recv(1) in (b"", b"H")


def test_a_taken_port_is_said_and_the_model_loaded(port: int) -> None:
    lines: list[str] = []
    with socket.create_server(("", port)), answering(Progress(lines.append), port):
        assert lines == [f"nobody can ask for the progress: port {port}: Address already in use"]


def test_numbers_as_people_read_them() -> None:
    assert [size(n) for n in (0, 1023, 1024, 3 * MIB // 2, 5 << 30)] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "1.5 MiB",
        "5.0 GiB",
    ]
    assert [duration(n) for n in (0, 59, 60, 3599, 3600, 90_061)] == [
        "0 s",
        "59 s",
        "1 min 0 s",
        "59 min 59 s",
        "1 h 0 min",
        "25 h 1 min",
    ]
