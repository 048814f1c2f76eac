"""
Events, what each means, and the only fields that may be logged with them.

    log.info("outbound.attempt_ended", verdict=…, http_status=…)
      └─► drop what is not in FIELDS ─► timestamp, level ─► one JSON line (or colours at a terminal)

    log.warning("outbound.put_back", …) ──┐
                                          ├─► a test: neither without the other
    EVENTS["outbound.put_back"] ──────────┘
           └─► docs/log-events.md, printed

The list of fields says what is allowed, not what is forbidden: with patient data, a list of
what is forbidden is always one field short. A field that nobody put on the list is
dropped, and its name (never its value) is reported in `dropped`.

Monitoring is built on the names of events: they are never composed, and one that is renamed is in
the changelog. Where an event bears `advice`, that says what to do in this very case.

Decisions: D-nothing-of-the-patient.
"""

import logging
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from functools import partial
from typing import Any, TextIO, cast

import structlog

from bars_gateway.frozen import frozen
from bars_gateway.log_lines import LogLines

FIELDS = frozenset(
    """
    event level timestamp dropped advice reason provider request_id correlation_id message_id
    notice_id question_id workflow_id move direction state verdict row fault http_status code
    issue seconds days attempt claim bytes count kind rule rules path file environment version
    address port peer service receiver sender key_id expires_at retry_at queued in_flight
    free_bytes pid signal method route uid exception place worker name operation support_id
    day line hash
    """.split()
)
_NOTHING = "Nothing."
_BY_ITS_KIND = "`docs/runbooks.md` has each `kind`."
_TOKEN, _STORE, _FOLDER = (
    f"`docs/runbooks.md`, at `{code}`."
    for code in ("token.missing", "store.unavailable", "folder.stalled")
)
_RUNBOOK = "What stands at `path`: the runbook of its code, in `docs/runbooks.md` too."
_SEEN_BY_ALARM = "The alarm that stands for each says what to do: `bars-gateway alarms`."
_SEND_US = "Send us `exception` and `place`; neither holds anything of a message."


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
        logger_factory=partial(_EventLogger, stream),
        cache_logger_on_first_use=False,
    )
    quiet_libraries()


class _EventLogger:
    """
    Writes each event as a line.

    structlog's own holds a lock meanwhile, for which a finaliser that logs would wait for ever: it
    comes at any moment, in the thread that holds it, or in one for which that one waits.
    """

    def __init__(self, stream: TextIO, *_names: str) -> None:
        self._stream = stream

    def msg(self, line: str) -> None:
        """Write a line."""
        self._stream.write(f"{line}\n")
        self._stream.flush()

    debug = info = warning = error = critical = msg


@contextmanager
def of_service(level: str) -> Iterator[LogLines | None]:
    """
    Log to standard output as `configure` does, but let nothing wait for whoever reads it.

    At the end what still waits is written, for some seconds. None: the output is a terminal, where
    a person reads and may halt it, or has been taken over within this process.
    """
    stream = sys.__stdout__
    if stream is None or stream is not sys.stdout or stream.isatty():
        configure(level)
        yield None
        return
    lines = LogLines(stream.fileno(), _tell_of_lost)
    configure(level, cast("TextIO", lines))
    try:
        yield lines
    finally:
        lines.finish()


def _tell_of_lost(count: int) -> None:
    structlog.get_logger(__name__).error("log.lines_lost", count=count)


def quiet_libraries() -> None:
    """Let libraries report only that, and where, something went wrong: never with what."""
    root = logging.getLogger()
    root.handlers[:] = [_NamesOnly()]
    root.setLevel(logging.WARNING)


class _NamesOnly(logging.Handler):
    """Turns a library's log record into an event of ours, without its text."""

    def handle(self, record: logging.LogRecord) -> bool:
        """Take the record; with no lock, as above."""
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        """Log the record's origin and the type of its exception, if it has one."""
        failure = record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else None
        structlog.get_logger("library").warning(
            "library.reported",
            name=f"{record.name}:{record.funcName}:{record.lineno}",
            exception=failure,
        )


@frozen
class LogEvent:
    """What one event says, and what a person does about it."""

    means: str
    do: str = _NOTHING


EVENTS = {
    "alarm.raised": LogEvent(
        "Something came up that a person has to see; `kind` is the alarm's.", _BY_ITS_KIND
    ),
    "alarm.standing": LogEvent(
        "At the start: `count` alarms of one kind stand that nobody has marked as handled.",
        _BY_ITS_KIND,
    ),
    "alarms.handled": LogEvent("The EPR has marked alarms as handled."),
    "alert.goes_on": LogEvent(
        "What alert `name` is about still stands, and nobody has acknowledged it.", _RUNBOOK
    ),
    "alert.not_delivered": LogEvent(
        "By one way (`name`) `count` alerts could not be told; they are tried again.",
        "`docs/runbooks.md`, at `alert.undelivered`.",
    ),
    "alert.opened": LogEvent(
        "A condition has arisen: `kind` is its code, `name` the alert's number.", _RUNBOOK
    ),
    "alert.resolved": LogEvent("What alert `name` was about is over."),
    "alerts.acknowledged": LogEvent(
        "Somebody is seeing to alert `name`: nobody is reminded of it any more."
    ),
    "audit.anchored": LogEvent(
        "The lines of the audit trail up to `line`, of `day` and before, leave: their time is over."
    ),
    "audit.broken": LogEvent(
        "The audit trail is not as it was written, at `line`; `reason` says what does not fit.",
        "`docs/runbooks.md`, at `audit.broken`.",
    ),
    "audit.head": LogEvent(
        "How far the audit trail has come: its last line, and the hash that stands for all of it.",
        "Let logs leave this machine: `audit verify --against` compares with them.",
    ),
    "audit.head_not_kept": LogEvent(
        "What the audit trail has come to cannot be written to `path`, beside the database or in a"
        " spool folder.",
        "See that the gateway's user may write there, and that there is room.",
    ),
    "audit.report_refused": LogEvent(
        "A file that says what was done beside the gateway was not written by a command.",
        "See who put it at `path`; it has been renamed there.",
    ),
    "audit.reported": LogEvent(
        "What a command did beside the gateway (`kind`) is in the audit trail now."
    ),
    "audit.sealed": LogEvent(
        "The day `day` of the audit trail is sealed: `count` lines, up to `line`, with `hash`.",
        "Let logs leave this machine: `audit verify --against` compares with them.",
    ),
    "audit.verified": LogEvent("All of the audit trail was walked: `count` lines."),
    "clock.stepped": LogEvent(
        "The clock jumped by `seconds`; the times of `count` messages were moved with it.",
        "`docs/runbooks.md`, at `clock.stepped`.",
    ),
    "console.refused": LogEvent(
        "A request to the console was refused on `route`; many of a kind in a minute are one line.",
        "The audit trail has who; `docs/console.md` says what each `reason` means.",
    ),
    "console.users_unusable": LogEvent(
        "The file of the console's users cannot be used: nobody can log in by it.",
        "Correct its owner and mode: `docs/console.md`.",
    ),
    "daemon.loop_stalled": LogEvent(
        "The loop `name` has not moved for `seconds`; the watchdog is no longer told.",
        "Look at the disk or share on which it works: `docs/debugging.md`.",
    ),
    "daemon.report_lost": LogEvent(
        "systemd could not be told that the gateway is ready, or still moving.",
        "Look at `NotifyAccess=` of the unit, if it is restarted for this.",
    ),
    "daemon.started": LogEvent(
        "Every door is open; `count` messages were under way when the last process ended."
    ),
    "daemon.stopped": LogEvent("What was under way has come to its end."),
    "daemon.stopping": LogEvent("Somebody is stopping the gateway."),
    "encryption.began": LogEvent(
        "What is stored is being encrypted again, a few rows at a time: there is a new key, or the"
        " first."
    ),
    "encryption.completed": LogEvent(
        "All that is stored is encrypted by `key_id` (-: by none); count: rows that were changed."
    ),
    "epr.clinical_time_ignored": LogEvent(
        "A message named a time that cannot be meant (year 1, or more than ten years ahead): its"
        " use case's own time holds.",
        "Tell the EPR's supplier.",
    ),
    "epr.delivery_failed": LogEvent("Notices cannot be written into `path`; they wait.", _FOLDER),
    "epr.file_unreadable": LogEvent(
        "A file in `path` cannot be read; the status page counts them.",
        "Let the EPR write files that the gateway's group may read.",
    ),
    "epr.folder_back": LogEvent(
        "The folder at `path` is back as another device: known by its mark, and locked again."
    ),
    "epr.folder_stalled": LogEvent("Nothing can be taken out of `path`; it waits.", _FOLDER),
    "epr.intervention_ended": LogEvent(
        "The EPR or an operator acted: `operation`, and how it ended."
    ),
    "epr.notice_collected": LogEvent(
        "The EPR was given a notice, `seconds` after it was made: on its socket, or in its folder."
    ),
    "epr.question_answered": LogEvent("The EPR has decided about a request of others."),
    "epr.questions_unanswered": LogEvent(
        "The time of `count` questions ended without the EPR's answer.", _SEEN_BY_ALARM
    ),
    "epr.request_failed": LogEvent(
        "The socket could not do what the EPR asked, and said 503.", _STORE
    ),
    "epr.socket_opened": LogEvent("The EPR's door is open at `path`."),
    "epr.submission_ended": LogEvent(
        "What the EPR submitted was taken (`state`), or refused by `rules`.",
        "Refused: the EPR has the reasons; if they come often, tell its supplier.",
    ),
    "epr.target_unchecked": LogEvent(
        "Nobody knew whether the service takes such a request; it was sent all the same."
    ),
    "expiry.stage_reached": LogEvent(
        "The `kind` called `name` ends in `days` days.", "`docs/runbooks.md`, at `expiry.near`."
    ),
    "http.caller_left": LogEvent(
        "A caller of the socket or the status page hung up before its request was complete."
    ),
    "http.connection_failed": LogEvent(
        "A connection to the socket or the status page broke.", _SEND_US
    ),
    "http.connections_full": LogEvent(
        "More than `count` connections to the socket or the status page at once: new ones wait.",
        "Find out who opens them and does not close them.",
    ),
    "http.request_failed": LogEvent(
        "A request to the socket or the status page got 500.", _SEND_US
    ),
    "inbound.answer_not_taken": LogEvent(
        "A caller did not take its answer in time; its retry gets the same answer."
    ),
    "inbound.caller_left": LogEvent(
        "A caller hung up before its request was complete; nothing of it was taken."
    ),
    "inbound.cancel_turned_away": LogEvent(
        "A cancellation came, and nobody could decide about it.", _SEEN_BY_ALARM
    ),
    "inbound.connection_failed": LogEvent(
        "A caller's connection broke because of an internal error.", _SEND_US
    ),
    "inbound.header_late": LogEvent("A connection said nothing in time, and was closed."),
    "inbound.listening_started": LogEvent("Others can send."),
    "inbound.message_refused": LogEvent(
        "A message of others broke these rules, and was refused; its Sender was told which.",
        "If it was a response, somebody here may wait for it: ask its Sender what it said.",
    ),
    "inbound.organisation_refused": LogEvent(
        "The organisation `sender` is on the provider's list of those refused, and got 401.",
        "Take it off `refused_organisations`, if it should be let in.",
    ),
    "inbound.organisations_differ": LogEvent(
        "NHSD-End-User-Organisation names `sender`, and the message is from another organisation.",
        "Ask its supplier; `same_organisation` refuses such messages.",
    ),
    "inbound.quarantined": LogEvent(
        "A response belongs to nothing that was sent; a copy is kept.",
        "`bars-gateway quarantine` shows it, `bars-gateway attach` says whose it is.",
    ),
    "inbound.question_asked": LogEvent("The EPR is asked about a request of others."),
    "inbound.request_ended": LogEvent("A request of others, and what it got."),
    "inbound.request_failed": LogEvent(
        "A request of others got 500; it comes again, and is taken once.", _SEND_US
    ),
    "inbound.request_id_reused": LogEvent(
        "A Sender sent something else under an X-Request-Id that it had used: 409.", _SEEN_BY_ALARM
    ),
    "library.reported": LogEvent(
        "A library said something; its text is left out, for it may quote a message.",
        "If it comes often, look up `name`.",
    ),
    "lock.taken_anew": LogEvent(
        "Somebody removed the lock at `path`, which keeps a second gateway away: it was made anew.",
        "Find what removes it (a clean-up job?), and let that spare what is the gateway's.",
    ),
    "log.lines_lost": LogEvent(
        "Nobody took what was said to the log for a while: here, `count` lines are lacking.",
        "`docs/runbooks.md`, at `log.stuck`.",
    ),
    "node.away": LogEvent(
        "The node `name` has said nothing for `seconds`: the others do what it alone did.",
        "Look at that machine: `docs/several-nodes.md`.",
    ),
    "node.lease_taken": LogEvent("This node now does `name`, which one of several does alone."),
    "node.seen": LogEvent("Another node is there, `name`, of release `version`."),
    "outbound.answer_not_kept": LogEvent(
        "What a service publishes could not be read as what it should be, and is not kept."
    ),
    "outbound.attempt_ended": LogEvent(
        "One POST: what came back, and the `row` that judged it.",
        "`docs/answers.md` has each row; `fault` says who can put it right.",
    ),
    "outbound.cancel_read": LogEvent(
        "The record that is to be cancelled was read; `state` is its own."
    ),
    "outbound.cancel_sent_unshown": LogEvent(
        "A cancellation was sent although the Receiver did not show its record.",
        "Nothing: the Receiver judges by itself.",
    ),
    "outbound.cancellations_unread": LogEvent(
        "`count` cancellations have waited for a minute for what they are to cancel.",
        _SEEN_BY_ALARM,
    ),
    "outbound.claim_lapsed": LogEvent(
        "A message waited, or was sent, for longer than its claim: another has it, or it is held.",
        "Nothing is lost. If it comes often, the machine, its disk or the quota is too slow.",
    ),
    "outbound.delayed": LogEvent(
        "`count` messages have waited too long; their EPRs were told.",
        "The status page says which Receiver or part is silent.",
    ),
    "outbound.egress_blocked": LogEvent(
        "Nothing gets out of our own network (its egress proxy, or no file descriptor is left);"
        " what waits is not tried.",
        "`docs/runbooks.md`, at `egress.blocked`.",
    ),
    "outbound.egress_open": LogEvent("What we send gets out of our own network again."),
    "outbound.given_up": LogEvent("The time of `count` messages is over.", _SEEN_BY_ALARM),
    "outbound.hastened": LogEvent("A Receiver answers again: what waited for it goes now."),
    "outbound.leases_lapsed": LogEvent(
        "`count` messages were in the hands of an attempt that never ended; they go on.",
        "If it comes often, the machine or its disk is too slow.",
    ),
    "outbound.other_id": LogEvent(
        "An acknowledgement called our record what another patient's is called; it was not taken.",
        _SEEN_BY_ALARM,
    ),
    "outbound.put_back": LogEvent(
        "No token could be had, or nothing gets out: the POST never began.",
        "`docs/runbooks.md`, at `token.missing` or `egress.blocked`.",
    ),
    "outbound.put_off": LogEvent(
        "A Receiver, or one of our providers, is left alone for `seconds`: what waits is not tried."
    ),
    "outbound.read_ended": LogEvent(
        "A read, under an id of its own, and what it got: the EPR's, or the gateway's before a"
        " message or after a duplicate."
    ),
    "outbound.read_without_token": LogEvent("No token could be had for a read.", _TOKEN),
    "outbound.recalled": LogEvent(
        "After a step of the clock, `count` messages were waiting for longer than any may."
    ),
    "purge.clock_doubted": LogEvent(
        "By the clock no purge has begun for `days` days: too many, and so none begins now.",
        "`docs/runbooks.md`, at `purge.late`.",
    ),
    "reconciliation.ended": LogEvent(
        "After a duplicate, the Receiver's record was looked for; `kind` says what came of it."
    ),
    "reconciliation.failed": LogEvent(
        "The Receiver's record could not be looked for; that is tried again.", _STORE
    ),
    "records.held": LogEvent("Somebody has put `count` records under legal hold."),
    "records.purged": LogEvent(
        "Purge `name` came to its end, and has removed `count` records of one `kind`."
    ),
    "records.released": LogEvent("Somebody has ended the legal hold of `count` records."),
    "renewal.left_for_restart": LogEvent(
        "Settings were changed that only a start takes.", "Restart, when it suits."
    ),
    "renewal.refused": LogEvent(
        "A new key, certificate or settings file is wrong; the old one stays in use.",
        "`docs/runbooks.md`, at `renewal.refused`.",
    ),
    "renewal.taken": LogEvent("A new key, certificate or settings file is in use."),
    "settings.doubtful": LogEvent(
        "The settings hold something that is seldom meant.",
        "`bars-gateway check` says why, and what to write.",
    ),
    "settings.provider_missing": LogEvent(
        "`provider` is no longer in the settings, and had messages under way.",
        "Put it back under its name and start again: nothing of it is sent or told meanwhile.",
    ),
    "status.started": LogEvent("The status page is at `address` and `port`."),
    "store.checkpoint_failed": LogEvent(
        "The write-ahead log could not be folded into the database; it grows meanwhile.",
        "Look at the disk's room and its errors.",
    ),
    "store.checkpoint_resumed": LogEvent(
        "The write-ahead log can be folded into the database again."
    ),
    "store.commit_cancelled": LogEvent(
        "Somebody cancelled a COMMIT that waited for the server's standby: it is asked again.",
        "Bring the standby back, or take it out of synchronous_standby_names; cancel nothing.",
    ),
    "store.compared": LogEvent("Everything was compared with its indexes; count: what was found."),
    "store.damaged": LogEvent(
        "A table of the database is damaged; what can be read goes on.",
        "`bars-gateway verify` says what; look at the disk; restore a backup that is whole.",
    ),
    "store.gone_back": LogEvent(
        "The database has gone back while the gateway runs, as a spool folder tells: the machine"
        " was put back to a snapshot with its memory. Numbers may be given a second time.",
        "Stop the gateway and disable it, then as `advice` says: `docs/restoring.md`.",
    ),
    "store.index_not_rebuilt": LogEvent(
        "An index has lost rows and could not be rebuilt; messages are looked up without it.",
        "Make room; it is tried again. If this lasts, `bars-gateway verify` says why.",
    ),
    "store.index_rebuilt": LogEvent(
        "An index had lost rows, so that nobody found them; they are found again, late.",
        "Look through what waits; see who else opens the database; look at the disk.",
    ),
    "store.log_stuck": LogEvent(
        "A program has been reading the database for too long; the write-ahead log grows"
        " meanwhile.",
        "Find it with fuser -v on the database, and end it: nothing is lost by that.",
    ),
    "store.migrated": LogEvent("The database was made, or brought to schema `version`."),
    "store.name_taken": LogEvent(
        "The server has a session of another gateway, or of this one's last run: it is waited for,"
        " for `seconds` at most, and then this start is refused.",
        "Nothing after a kill or a power cut; else as `advice` says.",
    ),
    "store.server_back": LogEvent("The database server answers again: everything goes on."),
    "store.server_forgets": LogEvent(
        "The database server does not keep what is committed over a power cut.",
        "Set fsync and full_page_writes to on in its postgresql.conf, and restart it.",
    ),
    "store.server_lost": LogEvent(
        "The database server does not answer: nothing is received and nothing sent meanwhile.",
        _STORE,
    ),
    "store.stop_not_marked": LogEvent(
        "The mark of an orderly stop could not be written: the next start compares everything,"
        " needlessly.",
    ),
    "store.unavailable": LogEvent(
        "Nothing can be stored: nothing is taken from anybody, and nothing is lost.",
        "Make room on a full disk; end the program that holds the database. Work resumes.",
    ),
    "store.unclean_stop": LogEvent(
        "The last stop was a kill, a power cut or the database's own trouble: what waits is"
        " compared with its indexes first.",
        "Nothing; see why it was not stopped in order.",
    ),
    "tls.accept_paused": LogEvent(
        "No more connections can be opened (`fault`); those that are open go on.",
        "Look for what holds files open; raise `LimitNOFILE=` of the unit.",
    ),
    "tls.caller_shut_out": LogEvent(
        "By the authorities in use, a recent caller would be turned away.",
        "`docs/runbooks.md`, at `caller.shut_out`.",
    ),
    "tls.caller_taken_off": LogEvent(
        "New settings no longer allow a recent caller: they say so by name."
    ),
    "tls.callers_not_kept": LogEvent(
        "Recent callers could not be written down, so a restart forgets them.",
        "Look at the state folder's room and rights.",
    ),
    "tls.client_left": LogEvent(
        "A caller that may call closed its connection without a request.",
        "If it never asks: see whether it accepts our certificate, and all of the chain.",
    ),
    "tls.client_let_in": LogEvent(
        "A caller was let in with a remark (`reason`) about its certificate.",
        "Ask its owner for a better certificate.",
    ),
    "tls.client_refused": LogEvent(
        "A caller's certificate is not one that may call.",
        "If `name` should call, add it to `allowed_client_names`.",
    ),
    "tls.connection_failed": LogEvent(
        "A connection broke before its handshake was done, because of an internal error.", _SEND_US
    ),
    "tls.connections_full": LogEvent(
        "`count` callers are connected, which is the limit: new ones are closed.",
        "Raise `inbound.max_connections`, if that many are to be expected.",
    ),
    "tls.handshake_failed": LogEvent(
        "A caller did not get through its handshake; `reason` says why. One that simply left is"
        " logged at `debug`. `name`: of an authority above its certificate that is out of force.",
        "Where one is named: the caller has to send its successor; if it is in"
        " `inbound.client_ca_file`, add that there.",
    ),
    "token.key_refused": LogEvent(
        "The token service does not know this key; the next is tried.",
        "See that its public half is registered: `bars-gateway doctor`.",
    ),
    "token.refused": LogEvent("The token service gives no token.", _TOKEN),
    "token.renewed": LogEvent("There is a new access token."),
    "token.request_failed": LogEvent(
        "Asking for a token failed because of an internal error; it is asked for again.", _SEND_US
    ),
    "unit.not_told": LogEvent(
        "Something was set aside, and not even that could be written down.", _SEND_US
    ),
    "unit.set_aside": LogEvent(
        "An internal error with one file, message, notice or request; the rest goes on.",
        _BY_ITS_KIND,
    ),
    "workflow.answers_due_soon": LogEvent("`count` answers are due soon; their EPRs were told."),
    "workflow.answers_overdue": LogEvent("`count` answers did not come in time.", _SEEN_BY_ALARM),
}
