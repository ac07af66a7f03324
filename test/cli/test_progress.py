"""The bar of every command: full at the end, and readable where nothing can be drawn over."""

from __future__ import annotations

import io

from rich.console import Console

from mppi_maml_ros.cli.progress import shown, track


def test_without_a_terminal_each_tenth_is_one_line_of_plain_text() -> None:
    out = io.StringIO()
    with shown(Console(file=out)) as bars:
        bar = bars.add("driving", 100, 35)
        for done in range(36, 101):
            bar.to(done, f"[seed {done}]")
    lines = out.getvalue().splitlines()
    assert lines[0] == "driving: 40 %  [seed 40]" and lines[-1] == "driving: 100 %  [seed 100]"
    assert len(lines) == 7


def test_on_a_terminal_the_bars_stand_below_each_other() -> None:
    out = io.StringIO()
    with shown(Console(file=out, force_terminal=True, width=100)) as bars:
        bars.add("first", 3).advance("[bold]")
        bars.add("second", 3).say("starting")
    last = out.getvalue()
    assert "1/3" in last and "[bold]" in last and "starting" in last and "%" not in last


def test_who_is_not_to_speak_says_nothing() -> None:
    out = io.StringIO()
    with shown(Console(file=out), disable=True) as bars:
        bars.add("driving", 1).advance()
    assert out.getvalue() == ""


def test_all_items_come_through() -> None:
    assert list(track(iter("abc"), "letters", 3, Console(file=io.StringIO()))) == ["a", "b", "c"]
