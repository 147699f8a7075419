"""Bars as SVG: one group for each work, one bar for each server, the number at its end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

WIDTH: Final = 760
LABEL: Final = 150
BAR: Final = 16
GAP: Final = 14
COLOURS: Final = ("#2563eb", "#9ca3af", "#d1d5db")
"""Ours, then the peers'. On white and on black they can be told apart."""


@dataclass(frozen=True, slots=True)
class Bars:
    """A group of bars: server's name → answers a second."""

    title: str
    values: Mapping[str, float]


def draw(groups: Sequence[Bars]) -> str:
    """The picture. Every group has a scale of its own: works differ by a factor of ten."""
    lines: list[str] = []
    top = GAP
    for group in groups:
        lines.append(_text(0, top + BAR - 4, group.title, "w"))
        longest = max(group.values.values(), default=1.0) or 1.0
        for number, (name, value) in enumerate(group.values.items()):
            length = max(1.0, value / longest * (WIDTH - LABEL - 260))
            y = top + number * (BAR + 2)
            colour = COLOURS[min(number, len(COLOURS) - 1)]
            lines.append(
                f'<rect x="{LABEL}" y="{y}" width="{length:.0f}" height="{BAR}" rx="2" '
                f'fill="{colour}"/>'
            )
            lines.append(_text(LABEL + length + 6, y + BAR - 4, f"{value:,.0f}/s  {name}", "v"))
        top += len(group.values) * (BAR + 2) + GAP
    style = (
        "<style>text{font:12px system-ui,sans-serif;fill:#111827}.w{font-weight:600}"
        "@media(prefers-color-scheme:dark){text{fill:#e5e7eb}}</style>"
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {top}" role="img" '
        f'aria-label="Answers a second, by work and server">{style}{"".join(lines)}</svg>\n'
    )


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" class="{kind}">{escape(text)}</text>'
