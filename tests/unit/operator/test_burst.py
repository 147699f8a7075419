"""The live line of a burst: what it says, and that a file or a dumb terminal can hold it."""

import sys

import pytest

from rollcall_local.demo.burst import BAR_CELLS, LiveLine, Moment


def a_moment(*, lag: int | None, failed: int = 0) -> Moment:
    return Moment(at_s=2.5, answered=1200, pending=900, failed=failed, lag=lag)


def test_a_line_says_answered_pending_and_lag() -> None:
    line = a_moment(lag=850).line(full=850)

    assert "2.5 s" in line
    assert "answered  1,200" in line
    assert "pending    900" in line
    assert line.endswith("lag    850 " + "#" * BAR_CELLS)


def test_the_bar_shrinks_with_the_lag_and_is_gone_at_none() -> None:
    half = a_moment(lag=400).line(full=800)
    one = a_moment(lag=1).line(full=800)
    none = a_moment(lag=0).line(full=800)

    assert (half.count("#"), one.count("#"), none.count("#")) == (BAR_CELLS // 2, 1, 0)


def test_a_failure_is_reported_and_an_unknown_lag_is_no_zero() -> None:
    assert "failed 3" in a_moment(lag=5, failed=3).line(full=5)
    assert "failed" not in a_moment(lag=5).line(full=5)
    assert a_moment(lag=None).line(full=5).endswith("lag      ?")


@pytest.mark.parametrize(("is_terminal", "term"), [(False, "xterm"), (True, "dumb")])
def test_without_a_cursor_each_moment_is_a_line_of_its_own(
    is_terminal: bool,
    term: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TERM", term)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: is_terminal, raising=False)
    line = LiveLine(10)

    line.tell(a_moment(lag=2))
    line.tell(a_moment(lag=0), is_last=True)

    shown = capsys.readouterr().out
    assert shown.count("\n") == 2
    assert not {"\r", "\x1b"} & set(shown)


def test_a_terminal_is_moved_in_place_and_the_last_line_stays(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    line = LiveLine(10)

    line.tell(a_moment(lag=2))
    line.tell(a_moment(lag=0), is_last=True)

    shown = capsys.readouterr().out
    assert shown.count("\n") == 1
    assert shown.endswith("\n")
