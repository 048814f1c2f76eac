"""
What each member of what `--json` prints says: `docs/command-line.md` has it as a table.

    WORDS ─► the comment at the field, in the code ─► the socket's schema     the first that has any

So what the code or the contract says of the same thing already is written once.
"""

import inspect
import io
import tokenize
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, get_args, get_type_hints

from json_lines import LINES, PARTS

from bars_gateway.epr.openapi import document

# The socket's schemas of the same documents, or of what has the same members.
SCHEMAS: Mapping[str, str] = {
    "queue": "Row",
    "workflow, workflows": "Workflow",
    "links": "Link",
    "attempts, last": "Attempt",
    **dict.fromkeys(("hold", "release", "withdraw", "retry", "resend"), "Intervention"),
    "acknowledge": "Alert",
    "alarms": "Alarm",
    "attach": "Attached",
    "confirm": "Confirmed",
    "purge --certificates": "PurgeCertificate",
    "hold-record": "RecordHolds",
    "release-record": "RecordHolds",
    "held-records": "RecordHold",
    "holds": "RecordHold",
    "held": "RecordHold",
}
_ROW = document()["components"]["schemas"]["Row"]["properties"]
_HANDLED = document()["components"]["schemas"]["Handled"]["properties"]["alarms"]["items"]
_MARKED = {name: each.get("description", "") for name, each in _HANDLED["properties"].items()}
_HEAD = "last line of the audit trail"
# By name; where one name says different things, by command or member, with "" for all others.
WORDS: Mapping[str, str | Mapping[str, str]] = {
    "accepted": "whether the gateway has taken it",
    "acknowledged": "how many of these attempts were acknowledged",
    "acknowledged_at": "when somebody said that they see to it; null: nobody has, or it has grown"
    " worse since",
    "acknowledged_by": "who sees to it; null: nobody has said so",
    "address": "an email or web address; empty: none is known",
    "advice": "what to do about it",
    "ages": {
        "stats": "the names of the ages by which `ages` of `backlog` counts: each is the upper"
        " bound, and what is older than the last has one more place",
    },
    "alarm": {
        "incident": "the alarm that it is about; null: it is about none",
        "mark-handled": "the alarm, as the socket shows it; null: there is none of that name",
    },
    "alarmed": "whether an alarm of its workflow stands",
    "alarms": {
        "restore": "alarms that nobody had dealt with and the backup lacks: they stand again",
        "restore --hand-over": "alarms that nobody had dealt with and the database lacks: they"
        " stand again",
        "involved": "the kinds of its alarms that stand",
    },
    "alert_id": "its number, by which it is acknowledged",
    "alone_does": "what it alone of all nodes does now, by name",
    "also": "X-Request-Ids of those that were withdrawn with their request",
    "answer": "the document that the socket answered: a receipt, or a refusal with its reasons",
    "answer_due_at": "when an answer to its request is owed; null: none is",
    "ask": "who can help, and how they are reached",
    "asked": "how many attempts there were in that time",
    "asks": {
        "explain": "what it asks of whoever reads it: `nothing`, `wait`, `work`, `check`,"
        " `telephone` or `act`",
        "desks": "what that desk wants to know",
    },
    "at": {
        "explain (no message)": "when that was",
        "audit, events": "when the line was written",
        "stats, incident, doctor": "when this was read",
        "happened, steps; course, beside": "when it happened",
        "told": "when the notice was written",
        "breaches": "when that line says that it was written; null: it is not said",
    },
    "attached_to": "the number of the workflow it was attached to; null: it still waits",
    "attempts": {
        "queue": _ROW["attempts"]["description"],
        "show": "every POST, in order",
        "counterparties": "how many were made to it in the last 24 hours",
    },
    "backed_off_since": "since when nothing but a probe is sent to it; null: it is sent what waits",
    "began_by": "who began it: a person, or the gateway at night",
    "begins_after": "the last line that was removed under a rule; 0: none was",
    "beside": "what happened where nothing was taken, oldest first",
    "breaches": "what is wrong with it; empty: nothing",
    "backlog": "what is not settled, by Receiver",
    "before": {"counters": "the count in the period before"},
    "bundle_id": {"subject": "Bundle.id; null: it has none", "": _ROW["bundle_id"]["description"]},
    "by": {
        "links": "what says that they belong together",
        "course, beside": "who did it: `epr`, `gateway`, `other` or `person`",
    },
    "by_rule": "how many by which rule",
    "bytes": {"cache list": "its size, in bytes", "backup": "the size of the copy, in bytes"},
    "came_at": "when it came",
    "changed": "rows that were encrypted again, or opened, since this began",
    "claimed_until": "of an attempt under way: when its claim lapses; null: none is under way",
    "class": "the class of records: see `docs/records.md`",
    "classes": "what was removed, class by class",
    "clause": "the clause of `docs/epr-contract.md` that it is about",
    "clock_ahead_seconds": "by how many seconds its clock is ahead of the database server's;"
    " below 0: behind",
    "closed_at": "when it ended; null: it is open",
    "code": {
        "attempts, last": "the standard's code, such as `REC_TIMEOUT`; null: none came",
        "alerts, acknowledge": "by which `docs/runbooks.md` says what to do",
        "objection": "why, for programs",
    },
    "collected_at": "when the EPR was given it; null: not yet",
    "command": "the command to type for it",
    "condition": "what may be believed of the database that was there: `absent`, `unreadable`,"
    " `incomplete` or `whole`",
    "copied": "when a copy was last made of each key, by its id; a key that is not in it was never"
    " copied",
    "correlation_id": _ROW["correlation_id"]["description"],
    "counterparty": {
        "subject": "target identifier of the other side's service: system|value; null: of a"
        " question, whose message has it",
        "": "target identifier of the other side's service: system|value",
    },
    "counters": "each counter",
    "counts": "rows, by table; empty: they could not be counted",
    "counts_to": {
        "purge": "to when ages are counted for this forecast",
    },
    "cure": {"findings": "what to do; empty: nothing", "": "what to do instead"},
    "damaged": "whether its structure is damaged, so that it must not be used",
    "database": "its file, or the server's name for it",
    "day": {"audit seals": "the day, in UTC: YYYY-MM-DD"},
    "days": "for how many days it is kept; 0: for good",
    "description": "what the setting does, and its unit; a paragraph on each line",
    "desk": "its name: the table in `docs/safety/incidents.md` has it",
    "desks": "whom to tell, the first first",
    "detail": {
        "audit, events": "ids, rules and codes, as an object; who and why are in it, where"
        " somebody did it",
    },
    "digest": {
        "store copy": "SHA-256 of all rows",
        "classes": "SHA-256 over their numbers and ids, one after the other",
    },
    "digests": "how many lines that were not chosen are in it, as a digest alone",
    "direction": "`outbound`, from us, or `inbound`, to us",
    "does": "what the verb does",
    "done": {
        "mark-handled": _MARKED["done"],
        "encryption show": "whether all that is stored is encrypted as the settings want it",
    },
    "due_at": "when the answer is owed",
    "environment": "that of the settings: `local`, `sandbox`, `int` or `prod`",
    "ended_at": {"purge --certificates, classes": "when it was done; null: it goes on"},
    "events": "its lines in the audit trail, in order",
    "fate": "what became of it: `docs/glossary.md` explains each, under `what a restore did with a"
    " message`",
    "fault": {
        "attempts, last": "on whose side the cause lies: `SEND`, `PROXY`, `REC` or `HERE`; null:"
        " it was acknowledged",
        "": "on whose side the cause lies, by what is known here: `SEND`, `PROXY`, `REC` or `HERE`;"
        " null: nothing names one",
    },
    "fault_in_words": {
        "explain": "where to look for the cause first; null: nothing says so",
        "incident": "on whose side the cause lies, in words",
    },
    "file": {
        "audit export": "the file that was written",
        "cache list": "where it is kept",
        "lint, send": "the file, as it was given",
        "backup": "the copy's file",
    },
    "findings": "each thing that was looked at",
    "fingerprint": "SHA-256 of the Bundle",
    "focus_id": "what the Receiver calls the other; null: that is not known",
    "followed": "whether the other was over already when this one was sent again for it",
    "forgotten": {
        "audit verify": "numbers of lines that others were told of and a restore has lost; null"
        " stands for a hash without a number",
        "cache clear": "how many answers",
    },
    "from": "the database that was copied",
    "given_at": "when the EPR was given it; null: not yet",
    "give_up_at": "when the gateway stops asking; null: it was never to send it",
    "grade": "`skip`, `pass`, `warn` or `fail`",
    "group": "what it belongs to",
    "handled": "how many of these somebody has dealt with",
    "handled_at": "when somebody last dealt with its alarms; null: nobody has since the last",
    "handled_in_words": "the same as a sentence; null: nobody has",
    "handling": "how alarms were handled, kind by kind",
    "happened": "what happened with it, oldest first",
    "hash": {
        "audit verify, store copy, backup": f"the hash of the {_HEAD}; null: it has none",
        "audit seals": "the hash of the last line that it covers",
        "audit export": "the hash of the last line in the file; null: there is none",
    },
    "hazards": "ids of the hazards in which it would show that a control fails; empty: in all",
    "held": "the legal hold that keeps it from every purge; null: there is none",
    "held_against": "how many hashes that others know it was held against",
    "holds": "each hold; empty for a dry run",
    "hours": "how many in each of the last 24 hours, this one last",
    "http_status": {
        "attempts, last": "HTTP status of the answer; null: nothing came back",
        "explain (no message)": "what it was answered with; null: it was not refused",
    },
    "how": "how that desk is reached, in words",
    "in_words": {
        "counterparties": "what the last attempt has met, as a sentence",
        "explain (no message)": "the same, as a sentence",
    },
    "inbound": "messages that came",
    "involved": "its messages",
    "is_held": "whether it is under a hold of its own: one does not hold what it is linked to",
    "issue": "FHIR's issue type; null: none came",
    "is_away": "whether it has said nothing for so long that others do its part",
    "keys": "the ids of the keys in the ring",
    "key_id": "the key that encrypts now; null: what is stored is in clear",
    "key": "its name, as in the settings file: with dots",
    "kept_at": "when the answer came",
    "kept": {
        "purge": "how many are kept whatever their age, by the reason",
        "restore": "where the database is that was there; null: there was none",
    },
    "kind": {
        "audit, events": "what happened: `docs/records.md` explains each",
        "alarms, handling, alarms of restore": "what has happened: `docs/sending.md` explains each",
        "incident": "what it is about: `message`, `workflow`, `alarm` or `quarantine`",
        "evidence gaps": "`evidence`, `statement` or `question`",
        "told, notices": "what the notice tells",
        "subject": "`message`, `question` or `quarantine`",
        "happened, steps": "`taken`, `received`, `attempt`, `notice`, `given`, `question`, or what"
        " the audit trail calls it",
        "breaches": "what is wrong with the line, for programs",
    },
    "known": "what the case has gone on without it by; null: nothing",
    "known_since": "when the answer came from which this is known",
    "last": "the last attempt; null: there was none",
    "last_at": "when the last message went that way; null: there was none",
    "last_received_at": "when a message of its last came; null: none has",
    "last_request_id": "X-Request-Id of the message of the last attempt; null: there was none",
    "last_taken_at": "when it last had a message of ours; null: it has had none",
    "late_from": "when the EPR was, or is to be, told that it is late; null: it is not told",
    "left_over": "rows that cannot be opened, and stay as they are",
    "last_change_at": "when something last happened in it, by the audit trail; null: nothing has",
    "line": {
        "audit verify, store copy, backup": f"the number of the {_HEAD}; null: it has none",
        "audit seals": "the number of the line in which the seal itself stands",
        "audit export": "the number of the last line in the file; null: there is none",
        "lint": "the line in an XML file; null: not known",
        "breaches": "the number of the line",
    },
    "lines": {
        "audit verify": "how many lines it has",
        "audit seals": "how many lines since the seal before it",
        "audit export": "how many lines were chosen, and are there in full",
    },
    "links": "other workflows that belong to it, oldest first",
    "listed": {
        "restore": "whether the database that was there could be read to its end: else messages may"
        " be missing here",
        "restore --hand-over": "whether FILE could be read to its end: else messages may be missing"
        " here",
    },
    "linked": "workflows that are linked to it, which the hold does not hold by itself",
    "look": "what somebody has to look at; empty: nothing",
    "may": "each verb that there is for it",
    "may_be_there": "whether something of the other has been sent, or has come",
    "may_happen": "what a resend may lead to; null: it is no resend, or is not accepted",
    "median_seconds": "the median time from its beginning until it was handled, in seconds; null:"
    " none was",
    "median_seconds_before": "the same of the period before; null: none was",
    "means": "what is so and whether to act: for a screen, never for software",
    "meanwhile": "what is so beside its message, so that it alarms in other words: `gone_on`, or"
    " `another`; null: nothing",
    "message": "the message, as `queue` has it",
    "message_id": {
        "queue": "the gateway's number of the message",
        "": "the gateway's number of the message that it is about; null: none",
    },
    "messages": {
        "timeline": "each, as `queue` has it, in the order in which they were taken",
        "restore, restore (no FILE), restore --hand-over": "each that is concerned, with what"
        " became of it",
    },
    "more": {
        "timeline": "whether there are more messages than are told",
        "audit verify": "how many more things are wrong than `breaches` lists",
    },
    "move": {
        "subject": "what the message does to its workflow; null: not known",
        "": _ROW["move"]["description"],
    },
    "name": {
        "findings": "its name: group and what is looked at, with a dot between",
        "users list": "the name with which they log in",
        "evidence gaps": "of a scene or piece of evidence, a statement or a question",
        "mark-handled": _MARKED["name"],
        "nodes list": "its name, as in the settings: `node`",
        "desks": "what that desk is called",
        "counters": "its name",
    },
    "named": "where the NHS number stands: `patient`, `text` or `unknown`",
    "needed": "the ids of the keys by which something is still encrypted",
    "needed_by": "its clinical time; null: it has none",
    "newest": "what the Responder said last of all that holds; null: nothing",
    "newest_plan": "what was remarked upon the CarePlan of that; null: nothing",
    "next_attempt_at": "when it is due to be posted; once that is past, `means` says what it waits"
    " for; null: it is not to be",
    "night_counts_to": "to when a purge of this night would count; null: none begins by itself",
    "notices": {
        "subject": "the numbers of the notices by which the EPR was given it",
        "involved": "what our EPR was told of it",
    },
    "notice_id": "the EPR's key: a notice that comes twice keeps it",
    "now": "the count in the period",
    "number": {
        "audit": "the number of the line",
        "alarms": "its number, by which people name it; raised again, it has a new one",
        "subject": "the number of the message, question or quarantined response",
        "happened, steps": "of the attempt, the notice, the question or the quarantined response;"
        " null: it is none of these",
        "alerts": "its number, by which it is acknowledged",
        "quarantine": "its number, by which it is attached",
        "attempts, last": "which attempt: counted from 1",
        "involved": "the gateway's number of the message",
        "held": "the number of the hold",
        "explain (no message)": "of the quarantined response, or of the question; null: it is"
        " neither",
    },
    "numbers": "which numbers: the first and the last of each row of them",
    "objection": {
        "mark-handled": _MARKED["objection"],
        "may": "what stands against it; null: it would be accepted now",
    },
    "of": "who tells otherwise; empty: nobody",
    "oldest_at": {
        "counterparties": "when the oldest message was taken that waits for it; null: none waits",
        "backlog": "when the oldest of it was taken",
    },
    "oldest_since": "when the oldest was raised that nobody has dealt with; null: none stands",
    "open": "how many are kept because they are open, by the state of the workflow",
    "opened_at": {"alerts": "when it was opened", "": "when it began"},
    "origin": "where the value came from: file and line, an environment variable, the environment,"
    " or `default`",
    "other": "target identifier of the other side's service: system|value; null: not known",
    "other_agreed": "whether somebody has agreed to one of `others`, and nothing speaks against it",
    "others": "where further records of the same request are now: a state each",
    "others_over": "of `others`, the states of those that have ended since this one was sent",
    "others_there": "of `others`, the states of those that may have arrived, and may be meant",
    "ours": "whether we owe it; else it is owed to us",
    "outbound": "messages of ours",
    "overdue": "whether its time has come",
    "owed": "answers that are owed in it, as `owed` has them",
    "path": "where: a FHIR path, or the name of a header or member",
    "place": "the table that is being encrypted now; null: none is",
    "problems": "what is wrong, as sentences; empty: nothing",
    "provider": {
        "": "whose it is, as in the settings",
        "audit; incident; alarms; happened, steps; alarms of restore": "whose it is, as in the"
        " settings; null: no one's",
        "safety report": "whose messages are counted; null: every provider's",
        "purge --certificates; rules": "whose records; null: every provider's",
        "publishes": "which provider asked, as in the settings",
    },
    "proven": "whether nothing that it names is left, and the ids that were given have its hashes",
    "purge_id": "its number",
    "publishes": "what it says about itself, as far as that is kept here",
    "quarantined": "what lies in quarantine that it is about; null: nothing",
    "quarantine": "its number in quarantine; null: it does not lie there",
    "raised": "how many were raised in the period",
    "raised_before": "how many were raised in the period before",
    "reading": "how far the read is that a cancellation waits for; null: it waits for none",
    "reason_code": "why it was rejected, in a code of the standard's; null: it was not, or no code"
    " says so",
    "reconciled": "what came of looking for the Receiver's id; null: it is known, or was not"
    " looked for",
    "remarks": "what its notice told beside what it says",
    "reason": "why it lies there: `orphan`, `ambiguous` or `unknown_record`",
    "receiver": "target identifier of the service it is for: system|value",
    "records": "how many records were named",
    "refused_in_production": "whether the message would not be taken where environment is prod",
    "released_at": "when the hold ended; null: it stands",
    "released_by": "who ended it; null: it stands",
    "released_why": "why it ended; null: it stands",
    "held_at": "since when",
    "held_by": "who ordered it",
    "why": {
        "findings": "why it matters",
        "messages of restore": "why it could not be entered; null: it was, or needed not be",
        "audit": "the reason that was given; null: nobody did it, or none is asked for",
        "evidence gaps": "why it is needed, or what is said of it",
        "purge --certificates": "the reason that was given",
        "held-records; held; holds": "the reason that was given",
    },
    "removed": {
        "audit verify": "how old lines were removed, as the trail itself says; null: none were",
        "classes": "how many",
    },
    "request": "the message that began it, as `queue` has it",
    "request_id": {
        "audit; alarms; happened, steps; alarms of restore": "X-Request-Id of the message that it"
        " is about; null: none",
        "explain (no message)": "X-Request-Id that was asked about",
        "": "X-Request-Id of the message: the same at every attempt",
    },
    "request_type": {
        "queue": "what its workflow is about",
        "links": "what the other is about",
        "": "what it is about",
    },
    "resent_as": "X-Request-Id of the new message, after a resend; null: none was made",
    "resolved_at": "when it ended; null: it is open",
    "resource": "what was asked for, as in `metadata`",
    "responds_to": "Bundle.id of the request that it answers; null: it names none",
    "result": "`right`, `wrong`, `look` (somebody has to look at a screen) or `untried`",
    "role": {
        "audit": "as whom somebody acted: `operator`, `epr` or `reveal`; null: nobody did",
        "alarms": "ours in its workflow; null: it has none",
        "links": "ours in the other: `requester` or `responder`",
        "": "ours in the workflow: `requester` or `responder`",
    },
    "roles": "what they may do",
    "row": "the row of the table in `docs/answers.md` that fitted",
    "rows": "how many rows, by table",
    "rules": "the times that were set",
    "rule": {"lint": "the id of the rule that is broken", "epr-check": "the name of the rule"},
    "says": {
        "queue": "of a response: what the Responder says with it; null: it is none",
        "alerts, acknowledge": "what is so: counts, and names from the settings; nothing of a"
        " message",
        "epr-check": "what was seen, as a sentence",
        "breaches": "what is wrong, as a sentence",
        "counters": "what is counted",
    },
    "schema": "the number of the last migration that it has had",
    "seals": "how many seals of days it has",
    "seen_at": "when it last gave a sign of life, by the server's clock",
    "sender": "target identifier of the service it is from: system|value",
    "seen": "what was seen",
    "service": "target identifier of the other side's service: system|value",
    "settled": "how many of these came right by themselves",
    "settled_at": "when its fate was known; null: not yet",
    "severity": "`error` or `warning`",
    "shares_day": "the shares of the last 24 hours' attempts that were answered within 2.1 s"
    " (`within_2100`) and 5 s (`within_5000`), from 0 to 1; null: there were none",
    "shares_month": "the same of the last 30 days",
    "shown": "the status that ended the record there, or `unshown`: no read of it said so; null:"
    " it was not read",
    "since": {
        "safety report": "when the period begins",
        "counterparties": "since when the last attempts have met the same; null: nothing was sent"
        " to it",
        "restore": "when the backup last changed; null: nothing has happened in it",
        "restore (no FILE)": "when it last changed before it was put back; null: nothing has"
        " happened in it",
        "alarms of restore": "when it was raised",
    },
    "slowest_seconds": "the longest time until one was handled, in seconds; null: none was",
    "source": "who did it: `epr`, `gateway`, `other` or `person`",
    "standing": {
        "counterparties": "what the last attempt has met, for programs",
        "handling": "how many of these stand: nobody has dealt with them",
    },
    "stands": "where its workflow is now; null: not known",
    "started_at": {"nodes list": "when it was started"},
    "state": {
        "owed": "where the workflow is",
        "subject": "of a message or question; of what lies in quarantine, why it lies there",
        "involved": "where the message is",
        "linked; workflow, workflows": "where the workflow is",
        "links": "where the other is",
        "hold, release, withdraw, retry, resend, messages of restore": "where the message is now",
        "acknowledge": "how it stands: `open`, `acknowledged` or `resolved`",
        "attach, confirm": "where the workflow is now; null: nothing was done",
    },
    "steps": "what happened, oldest first",
    "success": "the share of the last 24 hours' attempts that were acknowledged, from 0 to 1;"
    " null: there were none",
    "taken_at": {
        "messages of restore": "when it was taken; null: what is stored of that is no time"
    },
    "table_version": "the version of the table of answers, as it was then",
    "target_unchecked": "why nobody knew, when it came, whether its service takes it; null: it"
    " does, or this is not a new request",
    "target": {
        "cache list": "who was asked: system|value; empty: the proxy itself",
        "happened, steps": "towards whom; the same as `source`: between nobody",
    },
    "telephone": "its number; empty: none is known",
    "text": {
        "incident": "the draft as a text",
        "check": "what is wrong, where, and what to do",
        "lint": "what is wrong and what to do, without content",
        "happened, steps; course, beside": "what happened, as a sentence",
        "waits": "what is waited for, as a sentence",
        "objection": "what stands against it",
    },
    "then": "what happens at that time; null: nothing is known",
    "title": {"findings": "what is well if it is well", "": "what the rule is about"},
    "to": "the database that it was copied to",
    "through": "the number of the last line that it covers",
    "told": {
        "explain": "what the EPR was told of it, oldest first",
        "alarms": "what the EPR was told last of the message that is meant; null: nothing",
    },
    "told_status": "how far the Responder says that it is: its Encounter.status; null: it has not"
    " said",
    "trail_since": "when the audit trail begins, before which nothing is counted; null: it is"
    " empty",
    "turn": "who is to do the next thing: `person` (here), `epr`, `gateway`, `theirs` or `nobody`",
    "turn_in_words": "the same as a sentence",
    "until": {
        "safety report": "when the period ends",
        "waits": "how long it is waited for at most; null: no time is set",
        "breaches": "the last line, or the number, that is meant beside it; 0: none",
    },
    "uncollected": "how many notices the EPR is given, or given again",
    "urgent": "whether somebody is woken for it",
    "use_case": {
        "alarms; subject": "code of the use case; empty or null: none is known",
        "rules": "code of the use case; null: every one",
        "": "code of the use case; empty: the message names none",
    },
    "value": "the value in force, as text; a secret is not shown",
    "verb": {"may": "the verb"},
    "version": {
        "safety report, incident": "of the program that wrote this",
        "nodes list": "of the program that it runs",
    },
    "waiting": "how many messages for it are not settled",
    "warned_from": "when the EPR was, or is to be, told that an answer is owed soon; null: it is"
    " not told",
    "waits": "what is waited for; never empty",
    "what": "what is missing",
    "where": "where: `quarantine`, `refused` (what came under it broke a rule) or `asked` (the EPR"
    " is asked about it)",
    "who": "who did it, as they call themselves; null: nobody did it",
    "within_2100": "how many of these were answered within 2,100 ms",
    "within_5000": "how many of these were answered within 5,000 ms",
    "workflow": "its workflow",
    "workflow_id": {
        "links": "the gateway's number of the other",
        "held-records; held; holds": "the gateway's number of the workflow; null: what is held lies"
        " in quarantine",
        "alarms; subject": "the gateway's number of its workflow; null: it has none",
        "": "the gateway's number of the workflow",
    },
    "quarantine_id": {
        "attach": "its number in quarantine",
        "": "its number in quarantine; null: a workflow is held",
    },
    "works": "whether more of it shows that a control worked, and not that one failed",
    "workflow_state": {
        "subject": "where its workflow is; null: it has none",
        "": "where its workflow is",
    },
    "written_at": "when it was written",
    "workflows": "its workflows",
    "worst": "the worst grade of all findings: from `skip` and `pass` over `warn` to `fail`",
    "would_leave": "how many would leave, by the rule that lets them",
}


def json_words() -> str:
    """Return what each member says, and where it stands, as the page has it."""
    lines = ["| Member | Of | What it says |", "|---|---|---|"]
    for member, where, text in _member_rows():
        names = ", ".join(f"`{each}`" for each in ", ".join(where).split(", "))
        lines.append(f"| `{member}` | {names} | {text.replace('|', chr(92) + '|')} |")
    return "\n".join(lines)


def _member_rows() -> Iterator[tuple[str, list[str], str]]:
    """Yield each name, with where it stands and what it says there."""
    places: dict[tuple[str, str], list[str]] = {}
    for place, member in standing():
        places.setdefault((member, words_of(place, member)), []).append(place)
    for (member, text), where in sorted(places.items(), key=lambda each: each[0][0]):
        yield member, where, text


def standing() -> Iterator[tuple[str, str]]:
    """Yield each command, and each member that is a document, with each member of it."""
    for place, line in {**LINES, **PARTS}.items():
        for member in line.members:
            yield place, member


def words_of(place: str, member: str) -> str:
    """Return what *member* says where it stands in the document of *place*; empty: unknown."""
    return _written(place, member) or _commented(place, member) or _of_schema(place, member)


def wrong_of_null() -> set[tuple[str, str]]:
    """Return where a member may be null and its words do not say when, or the other way round."""
    return {
        (place, member)
        for place, member in standing()
        if (known := _may_be_null(place, member)) is not None
        and known is not ("null" in words_of(place, member))
    }


def words_unused() -> set[tuple[str, str]]:
    """Return the names in WORDS, and where they are said to stand, that nothing prints."""
    written = {
        (place, member)
        for member, words in WORDS.items()
        for place in (_places(words) if not isinstance(words, str) else ())
    }
    names = {member for _, member in standing()}
    return (written - set(standing())) | {("", member) for member in set(WORDS) - names}


def _places(words: Mapping[str, str]) -> Iterator[str]:
    for where in words:
        yield from _split(where)


def _split(where: str) -> Iterator[str]:
    """Yield the commands and parts that *where* names: some parts have a comma in their name."""
    for each in filter(None, where.split("; ")):
        yield from [each] if each in PARTS else each.split(", ")


def _written(place: str, member: str) -> str:
    words = WORDS.get(member, "")
    if isinstance(words, str):
        return words
    found = (text for where, text in words.items() if place in _split(where))
    return next(found, words.get("", ""))


def _commented(place: str, member: str) -> str:
    kind = {**LINES, **PARTS}[place].kind
    return "" if kind is None else _comments(kind).get(member, "")


@cache
def _comments(kind: type) -> Mapping[str, str]:
    source = io.StringIO(inspect.getsource(kind))
    found = {}
    for token in tokenize.generate_tokens(source.readline):
        name, colon, _ = token.line.strip().partition(":")
        if token.type == tokenize.COMMENT and colon and name.isidentifier():
            found[name] = token.string.removeprefix("# ").replace("None:", "null:")
    return found


def _of_schema(place: str, member: str) -> str:
    return str(_schema(place).get(member, {}).get("description", ""))


def _schema(place: str) -> Mapping[str, Any]:
    name = SCHEMAS.get(place)
    found: Mapping[str, Any] = _document()[name]["properties"] if name else {}
    return found


@cache
def _document() -> Mapping[str, Any]:
    found: Mapping[str, Any] = document()["components"]["schemas"]
    return found


def _may_be_null(place: str, member: str) -> bool | None:
    """Tell whether it may be, by its type or its schema; None: it has neither."""
    kind = {**LINES, **PARTS}[place].kind
    hints = {} if kind is None else get_type_hints(kind)
    if member in hints:
        return type(None) in get_args(hints[member])
    schema = _schema(place).get(member)
    return None if schema is None else {"type": "null"} in schema.get("anyOf", ())
