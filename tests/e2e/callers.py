"""Clients that ask a pod without pause and count what they got, apart from whatever Triton or the operator counts."""

from __future__ import annotations

import threading
import time

from tests.cluster.errors import ClusterError
from tests.cluster.models import generate

CLIENTS = 4
TEXTS = ("a novel by a famous author", "a phone with a good camera", "running shoes")


class Callers:
    """Asks one model at one address at a time; as a context manager, ends its threads."""

    def __init__(self, model: str) -> None:
        self.answered = 0
        self.unanswered = 0
        """Without an answer: Triton may have answered them and been killed before anybody heard."""
        self._model = model
        self._address: str | None = None
        self._over = False
        self._under_way = 0
        self._changed = threading.Condition()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(CLIENTS)]

    def __enter__(self) -> Callers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._over, self._address = True, None
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def ask(self, address: str) -> None:
        """Ask there from now on."""
        with self._changed:
            self._address = address
            self._changed.notify_all()

    def answers(self, more: int, within: float = 60.0) -> None:
        """Wait for so many more answers."""
        deadline, wanted = time.monotonic() + within, self.answered + more
        while self.answered < wanted:
            assert time.monotonic() < deadline, f"{self.answered} answers instead of {wanted}"
            time.sleep(0.01)

    def pause(self) -> int:
        """Ask no more, and wait for what is under way; all that were answered ever."""
        with self._changed:
            self._address = None
            self._changed.wait_for(lambda: not self._under_way)
            return self.answered

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._address is not None or self._over)
                if self._over:
                    return
                assert self._address is not None
                address = self._address
                self._under_way += 1
                text = TEXTS[(self.answered + self.unanswered) % len(TEXTS)]
            got = True
            try:
                generate(address, self._model, text, "books")
            except ClusterError:
                got = False
            with self._changed:
                self.answered += got
                self.unanswered += not got
                self._under_way -= 1
                self._changed.notify_all()
            if not got:
                time.sleep(0.05)
