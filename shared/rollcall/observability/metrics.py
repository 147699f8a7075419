"""All metrics, each with its meaning. Organisation ids and text of requests are never labels."""

from collections.abc import Iterable
from typing import Literal, get_args

from prometheus_client import Counter, Gauge, Histogram, Metric, registry

Service = Literal["ingress", "provisioner", "notifier", "console"]


class OfService(registry.Collector):
    """The metrics of one service: its own series, and those that name no service.

    The series of the other services are zero in its process, and would look like idle replicas.
    """

    def __init__(self, service: Service) -> None:
        self._foreign = tuple(f"rollcall_{each}_" for each in get_args(Service) if each != service)

    def collect(self) -> Iterable[Metric]:
        """The metric families as they are in the registry now."""
        everything = registry.REGISTRY.collect()
        return (each for each in everything if not each.name.startswith(self._foreign))


# Ingress: answers by status, and by whether they were given before the change was applied.
INGRESS_ANSWERS = Counter(
    "rollcall_ingress_answers_total", "Answers to SCIM requests", ["method", "status", "outcome"]
)
# Ingress: requests refused before they were routed or understood, by reason.
INGRESS_REFUSALS = Counter(
    "rollcall_ingress_refusals_total", "Requests refused before they were understood", ["reason"]
)
# Ingress: requests and bytes in flight; both have limits (`ROLLCALL_INGRESS_MAX_…`).
INGRESS_IN_FLIGHT_REQUESTS = Gauge("rollcall_ingress_in_flight_requests", "Requests in flight")
INGRESS_IN_FLIGHT_BYTES = Gauge(
    "rollcall_ingress_in_flight_bytes", "Bytes of bodies and large answers in flight"
)
# Ingress: seconds from the first byte of a request to its answer.
INGRESS_ANSWER_SECONDS = Histogram(
    "rollcall_ingress_answer_seconds",
    "Time to answer",
    ["method"],
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20),
)
# Ingress: seconds from sending a record to Kafka's acknowledgement.
INGRESS_PUBLISH_SECONDS = Histogram(
    "rollcall_ingress_publish_seconds",
    "Time to acknowledgement",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 3, 6, 12),
)
# Ingress: the broker's append time minus our send time, at the acknowledgement. Large and positive:
# Kafka is slow, or our clock is behind the broker's; negative: our clock is ahead of it.
INGRESS_APPEND_SKEW = Histogram(
    "rollcall_ingress_append_skew_seconds",
    "Append time minus send time",
    buckets=(-60, -10, -5, -2, -1, -0.5, -0.1, 0, 0.1, 0.5, 1, 2, 5, 10, 60),
)
# Ingress: the difference at the last acknowledgement, for an alert on clocks that differ.
INGRESS_APPEND_SKEW_LAST = Gauge(
    "rollcall_ingress_append_skew_last_seconds", "Append time minus send time, last seen"
)
# Ingress: requests answered with success although the replies were not read up to their deadline.
# They are noted, and listed if they were refused.
INGRESS_UNHEARD = Counter(
    "rollcall_ingress_unheard_total",
    "Requests answered with success although their replies were not read",
)
# Ingress: unheard requests whose refusal was read afterwards (`rollcall refused list`).
INGRESS_REFUSED_AFTER_SUCCESS = Counter(
    "rollcall_ingress_told_refused_total", "Unheard requests whose refusal came afterwards"
)
# Ingress: requests that are waiting for their reply now.
INGRESS_DECIDED_HERE = Counter(
    "rollcall_ingress_decided_here_total",
    "Writes answered with the decision that the log leads to, before it was applied",
)
INGRESS_VERDICTS_DIFFERED = Counter(
    "rollcall_ingress_verdicts_differed_total",
    "Writes that the provisioner decided differently than they were answered: a bug",
)
INGRESS_WAITING = Gauge("rollcall_ingress_waiting", "Requests waiting for a reply")
# Ingress: partitions of the requests topic whose breaker is open, so that no request waits.
INGRESS_BREAKERS_OPEN = Gauge("rollcall_ingress_breakers_open", "Open circuit breakers")
# Ingress: how often a breaker has opened, by reason (missed budgets, long queue).
INGRESS_BREAKERS_OPENED = Counter(
    "rollcall_ingress_breakers_opened_total", "Circuit breakers opened", ["reason"]
)
# Ingress: records of the log that are not known to be applied, as this replica holds them.
INGRESS_TAIL_RECORDS = Gauge("rollcall_ingress_tail_records", "Pending records that are held")
INGRESS_TAIL_BYTES = Gauge("rollcall_ingress_tail_bytes", "Bytes of the pending records")
# Ingress: partitions that had more pending than is held, and were left out for a minute.
INGRESS_TAIL_DROPPED = Counter("rollcall_ingress_tail_dropped_total", "Tails dropped as too large")
INGRESS_REPAIRS = Counter("rollcall_ingress_repairs_total", "Dialect repairs", ["rule"])
# Ingress: ignored names that are in no schema; the names themselves are at /ignored.
INGRESS_IGNORED_NAMES = Counter("rollcall_ingress_ignored_names_total", "Unknown names ignored")
# Ingress: seconds since the key directory was last known to be up to date.
INGRESS_KEYS_AGE = Gauge("rollcall_ingress_keys_age_seconds", "Age of the key directory")
# Ingress, provisioner: records handed to Kafka but not acknowledged yet, and their bytes.
PRODUCER_WAITING_RECORDS = Gauge(
    "rollcall_producer_waiting_records", "Records not acknowledged yet"
)
PRODUCER_WAITING_BYTES = Gauge("rollcall_producer_waiting_bytes", "Bytes not acknowledged yet")
# Provisioner, notifier: records fetched but not taken by their worker yet, and their bytes.
QUEUED_RECORDS = Gauge("rollcall_queued_records", "Records fetched and not taken")
QUEUED_BYTES = Gauge("rollcall_queued_bytes", "Bytes fetched and not taken")
# Provisioner: events applied, by kind and by status class of the verdict.
PROVISIONER_EVENTS = Counter(
    "rollcall_provisioner_events_total", "Events decided", ["kind", "status"]
)
# Provisioner: seconds and events of each batch transaction.
PROVISIONER_BATCH_SECONDS = Histogram(
    "rollcall_provisioner_batch_seconds",
    "Batch transaction",
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30),
)
PROVISIONER_BATCH_EVENTS = Histogram(
    "rollcall_provisioner_batch_events", "Events in a batch", buckets=(1, 2, 5, 10, 50, 100, 500)
)
# Provisioner: batches that one of our time-outs ended, by cause; they are retried, then halved.
PROVISIONER_CUT_OFF = Counter("rollcall_provisioner_cut_off_total", "Batches cut off", ["cause"])
# Provisioner: seconds since the batch at a partition's position was first tried without success; 0
# as soon as the position moves.
PROVISIONER_TRIED_AGAIN = Gauge(
    "rollcall_provisioner_tried_again_seconds",
    "Time since the same position was first tried",
    ["partition"],
)
# Provisioner: memory reserved for batches, by what they will load.
PROVISIONER_BUDGET_BYTES = Gauge("rollcall_provisioner_budget_bytes", "Memory reserved for batches")
# Provisioner: records that are not applied yet, per partition of this process.
PROVISIONER_LAG = Gauge("rollcall_provisioner_lag_records", "Records behind", ["partition"])
# Provisioner: the fraction of the retained log that is not applied, per partition. At 1 the broker
# deletes records that were not applied.
PROVISIONER_BEHIND = Gauge(
    "rollcall_provisioner_behind_ratio",
    "Part of the retained log that is not applied",
    ["partition"],
)
# Provisioner: copies dropped because the broker appended them too late.
PROVISIONER_EXPIRED = Counter("rollcall_provisioner_expired_total", "Expired copies dropped")
# Provisioner: events dropped because their organisation has left.
PROVISIONER_DEPARTED = Counter(
    "rollcall_provisioner_departed_total", "Events of departed organisations"
)
# Provisioner: copies dropped because their id was applied before.
PROVISIONER_DUPLICATES = Counter("rollcall_provisioner_duplicates_total", "Duplicates dropped")
# Provisioner: batches refused because another process owns the partition.
PROVISIONER_FENCED = Counter(
    "rollcall_provisioner_fenced_total",
    "Batches refused because another process owns the partition",
)
# Provisioner: events set aside because their decision raised.
PROVISIONER_DEAD_LETTERS = Counter("rollcall_provisioner_dead_letters_total", "Dead letters")
# Provisioner: events that wait behind a dead letter of the same resource.
PROVISIONER_PARKED = Counter("rollcall_provisioner_parked_total", "Events parked")
# Provisioner: creates refused because an equal one is a dead letter.
PROVISIONER_REPEATS = Counter("rollcall_provisioner_repeats_total", "Repeats of dead creates")
# Provisioner: organisations parked because they alone had too many dead letters.
PROVISIONER_PARKS = Counter("rollcall_provisioner_parks_total", "Organisations parked")
# Provisioner: requests refused after an answer of success (`rollcall refused list`).
PROVISIONER_REFUSED_AFTER_SUCCESS = Counter(
    "rollcall_provisioner_told_refused_total",
    "Requests refused after they were answered with success",
)
# Provisioner: replies that were not sent, by reason: past the deadline by the broker's clock
# (late), too large, no such partition (unknown partition), Kafka away.
PROVISIONER_REPLIES_UNSENT = Counter(
    "rollcall_provisioner_replies_unsent_total", "Replies that were not sent", ["reason"]
)
# Provisioner: events whose names of the organisation, or its partition, do not agree.
PROVISIONER_FOREIGN = Counter("rollcall_provisioner_foreign_total", "Foreign events set aside")
# Provisioner: unknown members that a group's request named.
PROVISIONER_UNKNOWN_MEMBERS = Counter(
    "rollcall_provisioner_unknown_members_total", "Unknown members skipped"
)
# Notifier: mails by kind and result: sent, dropped (no longer due), over_budget and not_allowed
# (dropped because of the recipient), failed, postponed.
NOTIFIER_MAILS = Counter("rollcall_notifier_mails_total", "Mails", ["kind", "result"])
# Notifier: notices that are due and not settled.
NOTIFIER_DUE = Gauge("rollcall_notifier_due", "Notices due")
# Notifier: for how many seconds the oldest due mail has been due.
NOTIFIER_OLDEST_DUE = Gauge("rollcall_notifier_oldest_due_seconds", "Age of the oldest due mail")
# Provisioner, notifier: partitions of this process that wait for an operator, by reason.
HALTED_PARTITIONS = Gauge("rollcall_halted_partitions", "Halted partitions", ["topic", "reason"])
# Console: sign-ins by way: link, password (without a second factor), totp, recovery, oidc, key (of
# the admin API).
CONSOLE_SIGN_INS = Counter("rollcall_console_sign_ins_total", "Sign-ins", ["method"])
# Console: sign-ins of the account for an emergency. Each is an alarm.
CONSOLE_BREAK_GLASS = Counter(
    "rollcall_console_break_glass_total", "Sign-ins of the account for an emergency"
)
# Console: time to answer, by side (pages, api) and by the first digit of the status.
CONSOLE_ANSWER_SECONDS = Histogram(
    "rollcall_console_answer_seconds",
    "Time to answer",
    ["side", "status"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
