"""Dashboards and alerts as Prometheus and Grafana would read them. No test in here."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import promql_parser
import yaml
from prometheus_client import Counter, Gauge, Histogram
from promql_parser import VectorSelector

from rollcall.observability import metrics

ROOT = Path(__file__).parents[3]
DASHBOARDS = sorted((ROOT / "deploy" / "grafana").glob("*.json"))
RULES = ROOT / "deploy" / "prometheus" / "rules.yaml"
FOREIGN: Final = {"up": {"app_kubernetes_io_component"}}
"""Series that are Prometheus's own, and the labels of ours on them."""
SCRAPED: Final = {"namespace", "pod", "le"}
"""Labels that come with the scrape, or with a histogram."""
VARIABLES: Final = {"$__rate_interval": "5m", "$namespace": ".*"}
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Selector:
    """A series that an expression asks for, and the labels by which it chooses."""

    name: str
    labels: frozenset[str]


def alerts() -> list[Json]:
    """Every alert of the rules."""
    document = yaml.safe_load(RULES.read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


def dashboard(path: Path) -> Json:
    """One dashboard."""
    found: Json = json.loads(path.read_text())
    return found


def expressions() -> Iterator[tuple[str, str]]:
    """Where a PromQL expression stands, and the expression with Grafana's variables replaced."""
    for rule in alerts():
        yield rule["alert"], rule["expr"]
    for path in DASHBOARDS:
        for panel in dashboard(path)["panels"]:
            for target in panel["targets"]:
                expression = target["expr"]
                for name, value in VARIABLES.items():
                    expression = expression.replace(name, value)
                yield f"{path.stem}: {panel['title']}", expression


def series() -> dict[str, set[str]]:
    """Every series that our code gives out, with its labels."""
    found: dict[str, set[str]] = {}
    for metric in vars(metrics).values():
        if isinstance(metric, Counter | Gauge | Histogram):
            for family in metric.describe():
                labels = set(metric._labelnames)
                for name in _names(metric, family.name):
                    found[name] = labels
    return found


def _names(metric: Counter | Gauge | Histogram, family: str) -> list[str]:
    match metric:
        case Counter():
            return [f"{family}_total"]
        case Histogram():
            # The library gives no sum where values may be negative.
            parts = (
                ("bucket", "sum", "count") if metric._upper_bounds[0] > 0 else ("bucket", "count")
            )
            return [f"{family}_{part}" for part in parts]
        case _:
            return [family]


def selectors(expression: str) -> list[Selector]:
    """Every selector of a series in an expression. Raises ValueError where it does not parse."""
    return list(_walk(promql_parser.parse(expression)))


def _walk(node: Any) -> Iterator[Selector]:
    if isinstance(node, VectorSelector):
        labels = frozenset(matcher.name for matcher in node.matchers.matchers)
        yield Selector(node.name or "", labels)
        return
    for name in ("expr", "lhs", "rhs", "vector_selector", "param"):
        child = getattr(node, name, None)
        if child is not None:
            yield from _walk(child)
    for argument in getattr(node, "args", None) or ():
        yield from _walk(argument)
