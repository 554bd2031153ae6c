"""How a demo ends, and what its exit status says."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

RUN = """
import sys, time
from tests.demo.command import command
from tests.demo.show import WatchEndedError

def run(seconds):
    try:
        print("running", flush=True)
        time.sleep(60)
    finally:
        print("cleaned up", flush=True)
    {after}

sys.exit(command("tests.demo", None, run))
"""


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_demo_that_is_ended_before_its_watch_cleans_up_and_has_shown_nothing(number: signal.Signals) -> None:
    command = [sys.executable, "-c", RUN.format(after="pass")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "running\n"
        process.send_signal(number)
        assert process.stdout.read() == "cleaned up\n"
    assert process.returncode == 130


def test_a_watch_without_an_end_is_the_last_step() -> None:
    code = RUN.replace("time.sleep(60)", "pass").format(after="raise WatchEndedError")
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert finished.returncode == 0
    assert "Every step up to the watch was seen to work" in finished.stdout
