"""The setup of structlog: JSON lines outside a terminal, context bound per request or partition."""

import logging
import sys
import time
from typing import Any, Literal, Protocol, TextIO, cast

import orjson
import structlog
from structlog.tracebacks import ExceptionDictTransformer

from rollcall.observability import output
from rollcall.observability.log_events import LogEvent


class Logger(Protocol):
    """The methods that our code may call: an event name of the list, then named values."""

    def debug(self, event: LogEvent, **values: Any) -> None: ...
    def info(self, event: LogEvent, **values: Any) -> None: ...
    def warning(self, event: LogEvent, **values: Any) -> None: ...
    def error(self, event: LogEvent, **values: Any) -> None: ...
    def bind(self, **values: Any) -> "Logger": ...


def get_logger() -> Logger:
    """A logger of this process; it also works before `configure`."""
    return cast(Logger, structlog.get_logger())


def bind_request(request_id: str) -> None:
    """Put `request_id` on each line of this task, and of the tasks and threads that it starts.

    The id of a request is the id of its event, and has this name in the lines of every service.
    """
    structlog.contextvars.bind_contextvars(request_id=request_id)


def configure(
    service: str,
    *,
    level: Literal["debug", "info", "warning", "error"],
    log_format: Literal["auto", "json", "console"],
) -> None:
    """Set up logging for the process; libraries' own lines are included from WARNING on.

    Lines that cannot be written (the pipe or terminal is gone, the disk is full) are lost, and the
    service continues.
    """
    output.survive()
    as_json = log_format == "json" or (log_format == "auto" and not sys.stdout.isatty())
    least = logging.getLevelNamesMapping()[level.upper()]
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _add_service(service),
    ]
    final: list[structlog.typing.Processor] = (
        [
            structlog.processors.ExceptionRenderer(_frames),
            structlog.processors.JSONRenderer(serializer=_dumps),
        ]
        if as_json
        else [_console()]
    )
    structlog.configure(
        processors=[*shared, *final],
        wrapper_class=structlog.make_filtering_bound_logger(least),
        # A line in one write: replicas may share a file, and would write into each other's lines.
        logger_factory=structlog.WriteLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[_drop_internals, *final], foreign_pre_chain=shared
        )
    )
    handler.addFilter(Throttle())
    logging.basicConfig(level=max(least, logging.WARNING), handlers=[handler], force=True)


class Throttle(logging.Filter):
    """Lets a library log the same line once per minute.

    While Kafka is away aiokafka logs it hundreds of times per second, and our own lines say it too.
    """

    def __init__(self, every_s: float = 60.0) -> None:
        super().__init__()
        self._every_s = every_s
        self._said: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is new, or was last logged long enough ago."""
        said = (record.name, str(record.msg))
        now_s = time.monotonic()
        if now_s - self._said.get(said, -self._every_s) < self._every_s:
            return False
        if len(self._said) > 1000:
            self._said.clear()
        self._said[said] = now_s
        return True


def _frames(exc_info: structlog.typing.ExcInfo) -> list[dict[str, Any]]:
    """Classes and frames of an exception and its causes, without values.

    Local variables hold names, addresses, tokens and secrets. So do messages: Postgres quotes the
    row in its DETAIL. The SQLSTATE and the constraint's name are kept.
    """
    stacks = ExceptionDictTransformer(show_locals=False)(exc_info)
    for stack in stacks:
        _forget_values(stack)
    error = exc_info[1]
    for name in ("sqlstate", "constraint_name"):
        known = getattr(error, name, None)
        if isinstance(known, str) and stacks:
            stacks[0][name] = known
    return stacks


def _forget_values(stack: dict[str, Any]) -> None:
    stack["exc_value"] = ""
    stack["exc_notes"] = []
    for group in stack.get("exceptions", ()):
        for nested in group:
            _forget_values(nested)


def _console() -> structlog.typing.Processor:
    def plain(target: TextIO, exc_info: structlog.typing.ExcInfo) -> None:
        for stack in reversed(_frames(exc_info)):
            for frame in stack["frames"]:
                target.write(f"  {frame['filename']}:{frame['lineno']} in {frame['name']}\n")
            target.write(f"{stack['exc_type']}\n")

    return structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty(), exception_formatter=plain)


def _add_service(service: str) -> structlog.typing.Processor:
    def add(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event["service"] = service
        return event

    return add


def _drop_internals(
    logger: Any, name: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    return structlog.stdlib.ProcessorFormatter.remove_processors_meta(logger, name, event)


def _dumps(value: Any, **_: Any) -> str:
    return orjson.dumps(value, default=str).decode()
