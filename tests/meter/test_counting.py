"""Counters that begin again: every request that was read is counted once, whatever restarts, crashes or comes twice."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hypothesis import example, given, settings
from hypothesis import strategies as st

from modelmeter.meter.counting import (
    FORGOTTEN,
    Base,
    Counters,
    Reading,
    Tally,
    base_of,
    close,
    forsaken,
    from_spec,
    latest,
    news,
    post,
    to_spec,
)
from tests.meter.builders import at

BUSY = 1_000_000


def reading(
    second: int, answered: int, uid: str = "a", run: int = 0, ended: int | None = None, **more: bool
) -> Reading:
    """What a pod that was created at 1 says; `ended` is when the run before it did."""
    counters = Counters(
        answered, 0, answered, 2 * answered * BUSY, answered * BUSY, answered, answered, answered * BUSY
    )
    before = None if ended is None else at(ended)
    return Reading(uid, at(1), run, before, at(second), more.get("draining", False), counters)


def tally(*readings: Reading) -> Tally:
    """All of them posted."""
    return post(Tally(at(0)), readings)


def test_a_later_reading_posts_the_difference() -> None:
    posted = tally(reading(10, 5), reading(20, 12))
    assert (posted.counters.answered, posted.counters.busy_nanoseconds, posted.unread) == (12, 12 * BUSY, 0)
    assert posted.read_at == at(20)


def test_the_same_or_an_older_reading_changes_nothing() -> None:
    posted = tally(reading(10, 5), reading(20, 12))
    assert post(posted, [reading(20, 12), reading(10, 5), reading(19, 11)]) == posted


def test_pods_count_apart() -> None:
    assert tally(reading(10, 5, "a"), reading(10, 7, "b"), reading(20, 6, "a")).counters.answered == 13


def test_a_restart_counts_from_zero_though_it_has_overtaken() -> None:
    posted = tally(reading(10, 5), reading(30, 9, run=1, ended=20))
    assert (posted.counters.answered, posted.unread) == (14, 1)


def test_a_restart_that_the_watch_shows_late_is_not_counted_twice() -> None:
    """The new run had answered 9 when it was still taken for the old one."""
    posted = tally(reading(10, 50), reading(30, 9, run=0), reading(40, 11, run=1, ended=20))
    assert (posted.counters.answered, posted.unread) == (61, 1)


def test_an_operator_whose_watch_is_late_counts_no_run_twice() -> None:
    """Another has posted the run that this one takes for the run before."""
    posted = tally(
        reading(10, 50), reading(30, 9, run=1, ended=20), reading(40, 11, run=0), reading(50, 12, run=1, ended=20)
    )
    assert (posted.counters.answered, posted.unread) == (62, 1)


def test_a_reload_counts_from_zero() -> None:
    posted = tally(reading(10, 5), reading(20, 3))
    assert (posted.counters.answered, posted.unread) == (8, 1)


def test_a_reload_of_the_bert_step_alone_touches_no_request() -> None:
    later = reading(20, 7)
    again = later._replace(counters=later.counters._replace(executions=1, executed=1, busy_nanoseconds=BUSY))
    posted = tally(reading(10, 5), again)
    assert (posted.counters.answered, posted.counters.executions, posted.unread) == (7, 6, 1)


def test_what_a_pod_did_before_counting_began_is_not_counted() -> None:
    older = reading(20, 100)._replace(created=at(-5))
    later = reading(30, 103)._replace(created=at(-5))
    assert tally(older).counters.answered == 0
    assert tally(older, later).counters.answered == 3


def test_a_run_that_nobody_read_is_said() -> None:
    assert tally(reading(10, 5, run=1)).unread == 1


def test_what_was_read_after_it_was_told_to_end_is_whole() -> None:
    told = tally(reading(10, 5), reading(20, 7, draining=True))
    assert close(told, ["a"], {"a"}).unread == 0
    assert close(tally(reading(10, 5)), ["a"], {"a"}).unread == 1


def test_an_end_that_nobody_read_is_said_where_there_was_a_server() -> None:
    assert close(Tally(at(0)), ["never-began"], set()).unread == 0
    assert close(Tally(at(0)), ["began"], {"began"}).unread == 1


def test_ended_pods_leave_no_trace_but_their_counts() -> None:
    closed = close(tally(reading(10, 5, draining=True)), ["a"], {"a"})
    assert not closed.bases
    assert closed.counters.answered == 5


def test_a_settled_pods_reading_comes_too_late() -> None:
    closed = close(tally(reading(10, 5, draining=True)), ["a"], {"a"})
    assert post(closed, [reading(20, 6)], settled={"a"}) == closed


def test_what_vanished_is_let_go_of_after_a_while() -> None:
    posted = tally(reading(10, 5))
    soon, late = at(10) + FORGOTTEN, at(11) + FORGOTTEN
    assert forsaken(posted, set(), soon) == []
    assert forsaken(posted, set(), late) == ["a"]
    assert forsaken(posted, {"a"}, late) == []


def test_news_is_what_would_be_counted() -> None:
    posted = tally(reading(10, 5))
    assert not news(posted, [reading(20, 5)])
    assert news(posted, [reading(20, 6)])
    assert news(posted, [reading(20, 5, run=1, ended=15)])


def test_of_a_run_the_last_reading_is_kept_and_the_first_where_it_tells_of_a_reload() -> None:
    base = Base(0, 0, 0, reading(5, 4).counters)
    story = [
        reading(10, 5),
        reading(20, 6),
        reading(30, 2),
        reading(40, 3),
        reading(50, 9),
        reading(60, 1, run=1, ended=55),
    ]
    kept: tuple[Reading, ...] = ()
    for one in story:
        kept = latest(kept, one, base)
    assert kept == (story[1], story[2], story[4], story[5])
    assert tally(*kept).counters == tally(*story).counters
    # The page knows more than this process has read: 2 after 4 is a reload, too, though 9 follows.
    assert latest(latest((), reading(30, 2), base), reading(50, 9), base) == (reading(30, 2), reading(50, 9))


def test_a_base_is_what_it_was_written_as() -> None:
    base = Base(3, 1764000000, 1, Counters(*range(8)))
    assert base_of(base.text()) == base


# Histories: a server answers, is read, restarts, is loaded again; operators crash and come back, two at once.


@dataclass
class Server:
    """The truth, and what an honest reader can know of it."""

    run: int = 0
    ended: int | None = None
    count: int = 0
    total: int = 0

    def answer(self, amount: int) -> None:
        """Answer so many requests."""
        self.count += amount
        self.total += amount

    def begin_again(self, now: int, restart: bool) -> None:
        """Count from zero."""
        self.run += restart
        self.ended = now if restart else self.ended
        self.count = 0

    def read(self, now: int) -> Reading:
        """What it says."""
        return reading(now, self.count, run=self.run, ended=self.ended)


KINDS = ("answer", "answer", "read", "read", "write", "restart", "reload", "crash")
steps = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 1), st.integers(1, 9)), max_size=40)


@settings(max_examples=1000)
@given(steps)
@example([("answer", 0, 9), ("read", 0, 1), ("write", 0, 1), ("reload", 0, 1), ("answer", 0, 1), ("read", 0, 1),
          ("answer", 0, 9), ("read", 0, 1)])  # fmt: skip
def test_one_operator_loses_what_it_did_not_read_and_nothing_else(story: list[tuple[str, int, int]]) -> None:
    """It lives; what it has read waits in memory. A reload that no counter tells of is the one that cannot be seen."""
    server, page, memory, now = Server(), Tally(at(0)), (), 10
    read, lost = 0, 0
    hidden = False
    for what, _, amount in story:
        now += 1
        if what == "answer":
            server.answer(amount)
        elif what == "read":
            if hidden and server.count >= read:
                lost += read
            read, hidden = server.count, False
            memory = latest(memory, server.read(now), _base(page))
        elif what == "write":
            page, memory = _stored(post(_stored(post(page, memory)), memory)), ()
        elif what in ("restart", "reload"):
            lost += server.count if hidden else server.count - read
            hidden = hidden or what == "reload"
            if what == "restart":
                hidden, read = False, 0
            server.begin_again(now, what == "restart")
    now += 1
    if hidden and server.count >= read:
        lost += read
    memory = latest(memory, server.read(now), _base(page))
    assert post(page, memory).counters.answered == server.total - lost


@settings(max_examples=1000)
@given(steps)
@example([("answer", 0, 5), ("read", 0, 1), ("crash", 0, 1), ("read", 0, 1), ("write", 0, 1)])
@example([("answer", 0, 5), ("read", 0, 1), ("read", 1, 1), ("write", 1, 1), ("write", 0, 1)])
def test_two_operators_count_nothing_twice_and_lose_nothing_of_a_server_that_runs(
    story: list[tuple[str, int, int]],
) -> None:
    """Each has read what it has read, and the page is written with its version: who conflicts, reads it again."""
    server, page, now = Server(), Tally(at(0)), 10
    memory: list[tuple[Reading, ...]] = [(), ()]
    durable, ended = 0, 0
    for what, who, amount in story:
        now += 1
        if what == "answer":
            server.answer(amount)
        elif what == "read":
            memory[who] = latest(memory[who], server.read(now), _base(page))
        elif what == "write":
            page, memory[who] = _stored(post(page, memory[who])), ()
        elif what == "crash":
            memory[who] = ()
        elif what == "restart":
            # At least what is on the page by now stays there.
            durable, ended = page.counters.answered, server.total
            server.begin_again(now, restart=True)
        assert durable <= page.counters.answered <= server.total
    now += 1
    page = post(page, [server.read(now)])
    assert durable + server.total - ended <= page.counters.answered <= server.total


def _base(page: Tally) -> Base | None:
    text = page.bases.get("a")
    return base_of(text) if text else None


def _stored(page: Tally) -> Tally:
    again = from_spec(to_spec(page))
    assert again == replace(page, bases=dict(page.bases))
    return again


def test_a_clock_that_goes_back_loses_nothing_for_long() -> None:
    posted = tally(reading(100, 5), reading(40, 8))
    assert posted.counters.answered == 5
    assert post(posted, [reading(101, 9)]).counters.answered == 9
