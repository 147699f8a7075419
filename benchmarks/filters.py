"""The cost of reading a filter for the first time, and when it was seen before.

    python -m benchmarks.filters

On one core, in CPU time, as a ratio. It needs no Kafka and no Postgres. The texts are those that
identity providers send; each first reading has another value in it, as look-ups have.
"""

import time
from collections.abc import Callable
from typing import Final

from rollcall.postgres.filter_sql import compile_filter
from rollcall.scim.filter import read_filter
from rollcall.scim.profile import Profile
from rollcall.scim.schema import USER

TEXTS: Final = {
    "a user name": 'userName eq "mara.{}@northwind.example"',
    "an address by its type": 'emails[type eq "work" and value eq "mara.{}@northwind.example"]',
    "names and a time": (
        '(displayName sw "Mara {}" or name.familyName co "Lind") and active eq true and '
        'meta.lastModified gt "2026-01-31T08:00:00Z"'
    ),
}
COUNT: Final = 1_000
"""Fewer than the parser and the compiler cache."""
ROUNDS: Final = 5


def cpu_us(read: Callable[[str], object], texts: list[str]) -> float:
    """Microseconds of CPU per text."""
    began_s = time.process_time()
    for text in texts:
        read(text)
    return (time.process_time() - began_s) / len(texts) * 1e6


def read(text: str) -> object:
    """From the text to the tree."""
    return read_filter(text, USER, Profile.COMPATIBLE)


def to_sql(text: str) -> object:
    """From a text that was seen before to SQL."""
    return compile_filter(read_filter(text, USER, Profile.COMPATIBLE).filter, "User")


def main() -> None:
    """Print a line for each text: the best of several rounds."""
    for name, pattern in TEXTS.items():
        first, again, sql = [], [], []
        for round_number in range(ROUNDS):
            texts = [pattern.format(f"{round_number}.{number}") for number in range(COUNT)]
            first.append(cpu_us(read, texts))
            again.append(cpu_us(read, texts))
            cpu_us(to_sql, texts)
            sql.append(cpu_us(to_sql, texts))
        ratio = min(first) / min(again)
        print(
            f"{name:24} first {min(first):7.1f} µs, seen before {min(again):6.1f} µs, "
            f"{ratio:5.1f}× less; with its SQL {min(sql):6.1f} µs"
        )


if __name__ == "__main__":
    main()
