"""
Events, and the only fields that may be logged with them.

    log.info("outbound.attempt_ended", verdict=…, http_status=…)
      └─► drop what is not in FIELDS ─► timestamp, level ─► one JSON line (or colours at a terminal)

The list says what is allowed, not what is forbidden: with patient data, a list of
what is forbidden is always one field short. A field that nobody put on the list is
dropped, and its name (never its value) is reported in `dropped`.

Decisions: D-nothing-of-the-patient.
"""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any, TextIO

import structlog

FIELDS = frozenset(
    """
    event level timestamp dropped advice reason provider request_id correlation_id message_id
    notice_id question_id workflow_id move direction state verdict row fault http_status code
    issue seconds days attempt claim bytes count kind rule rules path file environment version
    address port peer service receiver sender key_id expires_at retry_at queued in_flight
    free_bytes pid signal method route uid exception place worker name operation support_id
    """.split()
)


def keep_listed_fields(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Return *event* without the fields that nobody allowed, and with their names."""
    dropped = sorted(event.keys() - FIELDS)
    for name in dropped:
        del event[name]
    if dropped:
        event["dropped"] = dropped
    return event


def configure(level: str = "info", stream: TextIO | None = None) -> None:
    """
    Log events from *level* upwards to *stream* (standard output by default).

    JSON lines, or coloured text where the stream is a terminal. The loggers of
    libraries are kept at WARNING and pass through a formatter that prints neither
    their arguments nor tracebacks with values.
    """
    stream = stream or sys.stdout
    terminal = stream.isatty()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            keep_listed_fields,
            structlog.dev.ConsoleRenderer() if terminal else structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=False,
    )
    quiet_libraries()


def quiet_libraries() -> None:
    """Let libraries report only that, and where, something went wrong: never with what."""
    root = logging.getLogger()
    root.handlers[:] = [_NamesOnly()]
    root.setLevel(logging.WARNING)


class _NamesOnly(logging.Handler):
    """Turns a library's log record into an event of ours, without its text."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log the record's origin and the type of its exception, if it has one."""
        failure = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else None
        structlog.get_logger("library").warning(
            "library.reported",
            name=f"{record.name}:{record.funcName}:{record.lineno}",
            exception=failure,
        )
