"""Which names of requests no schema knows, by organisation: for operators to see and to count.

The compatible profile ignores such names, so without this an operator would not learn that an
identity provider sends what is not kept. Names only, never values; what does not look like an
attribute's name is not shown. It is kept in memory, within bounds: after a restart the next cycle
of the identity provider fills it again, and each name was logged when it first came.
"""

import re
from collections.abc import Iterable, Mapping
from threading import Lock
from typing import Final

from rollcall.observability.logging import get_logger
from rollcall.observability.metrics import INGRESS_IGNORED_NAMES

MOST_NAMES: Final = 50
"""Of one organisation; more are counted together."""
MOST_ORGANISATIONS: Final = 1000
OTHERS: Final = "(others)"
NO_NAME: Final = "(no attribute name)"
_NAME: Final = re.compile(r"[A-Za-z$][A-Za-z0-9_$.:/ -]{0,119}")

log = get_logger()


class IgnoredNames:
    """How often each name was ignored since the process began. For all threads."""

    def __init__(self) -> None:
        self._counts: dict[str, dict[str, int]] = {}
        self._lock = Lock()

    def note(self, organisation_id: str, names: Iterable[str]) -> None:
        """Count the names of one request, and log those that are new."""
        for name in names:
            INGRESS_IGNORED_NAMES.inc()
            if self._count(organisation_id, name if _NAME.fullmatch(name) else NO_NAME):
                log.info("name.ignored", organisation_id=organisation_id, attribute=name)

    def _count(self, organisation_id: str, name: str) -> bool:
        """Count a name; whether it is to be logged."""
        with self._lock:
            counts = self._counts.get(organisation_id)
            if counts is None:
                if len(self._counts) >= MOST_ORGANISATIONS:
                    del self._counts[next(iter(self._counts))]
                counts = self._counts[organisation_id] = {}
            is_new = name not in counts
            if is_new and len(counts) >= MOST_NAMES:
                name, is_new = OTHERS, False
            counts[name] = counts.get(name, 0) + 1
        return is_new and name != NO_NAME

    def counts(self) -> Mapping[str, Mapping[str, int]]:
        """Organisation id → name → how often it was ignored."""
        with self._lock:
            return {each: dict(names) for each, names in self._counts.items()}


IGNORED: Final = IgnoredNames()
"""Of this process, as its metrics are."""
