"""What a run does, from its seed alone: who asks for what at which moment, and what fails when.

The schedule is fixed before anything starts. What becomes of a step depends on what the identity
provider knows by then (a member that it could not create is created at its next change), so two
runs of a seed have the same schedule, and much the same conversation.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from tests.chaos.dialect import DIALECTS, Act, Dialect

Target = Literal[
    "ingress-0",
    "ingress-1",
    "ingress-2",
    "provisioner-0",
    "provisioner-1",
    "notifier-0",
    "kafka",
    "postgres",
    "smtp",
    "operator",
]
Trouble = Literal[
    "kill",
    "freeze",
    "restart",
    "refuse_for_now",
    "drop",
    "reset_after_yes",
    "away",
    "verify",
    "rebuild",
]

ORGANISATIONS = ("entra and ping", "okta", "onelogin", "jumpcloud", "entra")
WHO_IS_WHERE = {
    "entra and ping": ("entra", "ping"),
    "okta": ("okta",),
    "onelogin": ("onelogin",),
    "jumpcloud": ("jumpcloud",),
    "entra": ("entra",),
}
SLOTS = 14
"""Persons that an identity provider may have; few, so that much happens to each."""
GROUPS = 4
MAILING: tuple[Trouble, ...] = ("refuse_for_now", "drop", "reset_after_yes", "away")
SERVING: tuple[Trouble, ...] = ("kill", "kill", "freeze", "restart")
BACKING: tuple[Trouble, ...] = ("kill", "freeze")
WEIGHTS: dict[Target, int] = {
    "ingress-0": 2,
    "ingress-1": 2,
    "provisioner-0": 4,
    "provisioner-1": 4,
    "notifier-0": 3,
    "kafka": 3,
    "postgres": 3,
    "smtp": 4,
}
KILLED: dict[Target, int] = {
    "ingress-0": 6,
    "ingress-1": 6,
    "ingress-2": 6,
    "provisioner-0": 14,
    "notifier-0": 2,
    "kafka": 1,
}
"""What is killed while Postgres goes on: nothing that is answered may be taken back."""
OPERATING: tuple[Trouble, ...] = ("verify", "rebuild")
OPERATION_EVERY_S = 12.0
Scene = Literal["everything", "kills"]
BOTH: tuple[Target, ...] = ("provisioner-0", "provisioner-1")
FAULT_EVERY_S = 2.0
CALM_AT_START_S = 3.0
CALM_AT_END_S = 2.0


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that an identity provider wants, `at_s` seconds after the start."""

    number: int
    at_s: float
    act: Act
    slot: int
    group: int
    others: tuple[int, ...]
    """More persons, where a group is pushed with several."""


@dataclass(frozen=True, slots=True)
class Provider:
    """One identity provider at one organisation, and all its steps in their order."""

    name: str
    organisation: str
    dialect: Dialect
    actions: tuple[Action, ...]


@dataclass(frozen=True, slots=True)
class Fault:
    """Something fails at `at_s` for about `for_s` seconds (a killed one is started again then)."""

    at_s: float
    target: Target
    trouble: Trouble
    for_s: float


@dataclass(frozen=True, slots=True)
class Plan:
    """All of a run."""

    seed: int
    seconds: float
    providers: tuple[Provider, ...]
    faults: tuple[Fault, ...]
    scene: Scene = "everything"

    @property
    def doors(self) -> tuple[Target, ...]:
        """The replicas of ingress: sent to by turns in `kills`, otherwise one per organisation."""
        return ("ingress-0", "ingress-1", *(("ingress-2",) if self.scene == "kills" else ()))


def make_plan(seed: int, seconds: float, scene: Scene = "everything") -> Plan:
    """The plan of a seed. The same arguments give the same plan, on any machine."""
    providers = tuple(
        _provider(seed, organisation, name, seconds)
        for organisation in ORGANISATIONS
        for name in WHO_IS_WHERE[organisation]
    )
    faults = [*_faults(random.Random(f"{seed} faults"), seconds, scene)]
    if scene == "everything":
        faults += _operations(random.Random(f"{seed} operations"), seconds)
    faults.sort(key=lambda fault: fault.at_s)
    return Plan(seed, seconds, providers, tuple(faults), scene)


def _provider(seed: int, organisation: str, name: str, seconds: float) -> Provider:
    dice = random.Random(f"{seed} {organisation} {name}")
    dialect = DIALECTS[name]
    acts, weights = zip(*dialect.weights.items(), strict=True)
    actions: list[Action] = []
    at_s = 0.0
    while True:
        # Okta starts a job for each of many at once; a cycle works one after the other.
        at_s += 0.01 if dice.random() < dialect.burst else dice.expovariate(dialect.per_s)
        if at_s >= seconds:
            return Provider(name, organisation, dialect, tuple(actions))
        others = tuple(dice.sample(range(SLOTS), dice.randrange(1, 6)))
        [act] = dice.choices(acts, weights)
        action = Action(
            len(actions), at_s, act, dice.randrange(SLOTS), dice.randrange(GROUPS), others
        )
        actions.append(action)


def _faults(dice: random.Random, seconds: float, scene: Scene) -> tuple[Fault, ...]:
    found: list[Fault] = []
    free_at: dict[Target, float] = {}
    at_s = CALM_AT_START_S
    chosen = KILLED if scene == "kills" else WEIGHTS
    targets, weights = tuple(chosen), tuple(chosen.values())
    while True:
        [target] = dice.choices(targets, weights)
        kinds = MAILING if target == "smtp" else BACKING if target in _SERVERS else SERVING
        trouble, for_s = dice.choice(kinds), _length(dice, target)
        if scene == "kills":
            trouble = "kill"
        if at_s + for_s > seconds - CALM_AT_END_S:
            return tuple(found)
        # Where all of a kind are gone, nobody stands in: the directory falls behind.
        both = target in BOTH and (scene == "kills" or dice.random() < 0.5)
        for each in BOTH if both else (target,):
            if free_at.get(each, 0.0) <= at_s:
                found.append(Fault(at_s, each, trouble, for_s))
                free_at[each] = at_s + for_s + 1.0
        at_s += dice.expovariate(1 / FAULT_EVERY_S)


def _operations(dice: random.Random, seconds: float) -> Iterator[Fault]:
    """Both kinds in a run, and whatever comes after them; one at a time (its target)."""
    kinds = dice.sample(OPERATING, len(OPERATING))
    at_s = CALM_AT_START_S
    while at_s < seconds - CALM_AT_END_S:
        yield Fault(at_s, "operator", kinds.pop() if kinds else dice.choice(OPERATING), 0.0)
        at_s += dice.expovariate(1 / OPERATION_EVERY_S)


_SERVERS: tuple[Target, ...] = ("kafka", "postgres")


def _length(dice: random.Random, target: Target) -> float:
    """Mostly short; a frozen broker now and then for longer than a request may wait."""
    if target == "kafka" and dice.random() < 0.15:
        return 13.0
    return dice.uniform(0.2, 5.0)
