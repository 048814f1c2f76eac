"""
`lint`, `send`, `hold`, `release`, `withdraw`, `retry`, `resend`: what is done with messages.

    FILE …                ─► lint: what is wrong, and where; nothing is sent
                          ─► send: the provider's socket ─► a receipt for each, or what is wrong

    REQUEST_ID …          ─┐
                           ├─► the provider's socket ─► one line for each message
    --all, with filters   ─┘

`lint` needs no settings and no running gateway. It looks at a file as a Receiver does that has
every Application switched on, and is the one that the message is for; with --strict, as the
gateway looks at what an EPR submits, and the message's own source is taken for a service of this
organisation. What is lenient by default is what one asks of messages that came from others; before
one's own are sent, --strict says what this gateway would refuse to send. What stands in a file is
never printed, so that the output can be shown to anybody.

All others go through the running gateway, which alone changes the database, and looks at each
message and at its workflow before it does anything. `send` is for submissions as an EPR makes them.
Every other verb, here and in `attention`, asks for a reason:

    --why --by --dry-run ─► signed ─► the provider's Unix socket ─► asked: status and answer
                                                                      └─► NAME: not done: why; cure

The audit trail keeps it with the name of whoever typed it. `--dry-run` says what would happen.
"""

import asyncio
import inspect
import io
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from bars_gateway import permissions
from bars_gateway.cli.output import Advance, print_lines, shown
from bars_gateway.config import Settings, load
from bars_gateway.epr.envelope import EnvelopeProblem, doubtful, read_envelope
from bars_gateway.epr.spool import Sort, sort_of
from bars_gateway.errors import GatewayBrokeOff, GatewayBusy, GatewayUnreachable
from bars_gateway.frozen import frozen
from bars_gateway.model.interventions import DOES, IN_BULK, IN_FLIGHT, WRONG_STATE, Verb
from bars_gateway.options import DEFAULT_CONFIG, Config, Json, Whose, require_files
from bars_gateway.permissions import whoever_types
from bars_gateway.standard.applications import EVERYTHING, Offer
from bars_gateway.standard.examination import examine
from bars_gateway.standard.issues import Issue, Severity
from bars_gateway.standard.rule import Side

if TYPE_CHECKING:
    import aiohttp  # when it is needed: it takes longer to read than a command to answer

Ids = Annotated[
    list[str] | None,
    typer.Argument(metavar="REQUEST_ID", parser=str.strip, help="The messages' X-Request-Ids."),
]
Everything = Annotated[
    bool, typer.Option("--all", help="Every message that the verb is for and the filters fit.")
]
Receiver = Annotated[str | None, typer.Option(metavar="SYSTEM|VALUE", help="Only those for it.")]
UseCase = Annotated[str | None, typer.Option(metavar="CODE", help="Only those of it, as a1t1.")]
Conversation = Annotated[
    str | None, typer.Option(metavar="ID", parser=str.strip, help="Only that X-Correlation-Id.")
]
States = Annotated[list[str] | None, typer.Option(help="Only those in it; repeatable.")]
From = Annotated[str | None, typer.Option(metavar="INSTANT", help="Submitted then or later.")]
Before = Annotated[str | None, typer.Option(metavar="INSTANT", help="Submitted before then.")]
Yes = Annotated[bool, typer.Option("--yes", help="What may come of a resend is wanted.")]
AfterItsTime = Annotated[
    bool,
    typer.Option("--after-its-time", help="Send it although its clinical time has passed."),
]
Why = Annotated[str, typer.Option(metavar="TEXT", help="The reason: a ticket, never a patient.")]
By = Annotated[str | None, typer.Option(metavar="NAME", help="Who asks; you, by default.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would happen; do nothing.")]


Ask = Callable[[str, Mapping[str, object]], tuple[HTTPStatus, Mapping[str, Any]]]
Tell = Callable[[Iterable[Mapping[str, Any]]], None]
# What was typed, by the member of the order that it went into.
TYPED_AS = {
    "why": "--why",
    "by": "--by",
    "messages.states": "--state",
    "messages.receiver": "--receiver",
    "messages.use_case": "--use-case",
    "messages.correlation_id": "--correlation-id",
    "messages.taken_from": "--taken-from",
    "messages.taken_before": "--taken-before",
    "alarms": "ALARM",
    "request_ids": "ALARM",
    "kinds": "--kind",
    "up_to": "--up-to",
    "workflow_id": "WORKFLOW",
    "state": "STATE",
}
# Which verbs an option is for, where not for all.
_FOR = {"yes": {Verb.RESEND}, "after_its_time": {Verb.RELEASE, Verb.RETRY, Verb.RESEND}}
_SETS_ASIDE = {"past_its_time": "--after-its-time", "not_confirmed": "--yes"}  # by objection
_LATER = (
    "What is submitted later is not held, unless it is behind one of these: the same command again"
    " holds that, too. bars-gateway release --all lets them go on."
)
_ANSWER_SECONDS = 60.0  # for one receipt
_STOPS = {Verb.HOLD, Verb.WITHDRAW}  # what is being sent has to be stopped too
IN_FLIGHT_SECONDS = 100.0  # an attempt takes no longer
_LOOK_AGAIN_SECONDS = 0.5
_MEDIA_TYPES = {".json": "application/fhir+json", ".xml": "application/fhir+xml"}


def add_to(app: typer.Typer) -> None:
    """Give *app* `lint`, `send`, and a command for each verb."""
    app.command()(lint)
    app.command()(send)
    for verb in Verb:
        app.command(name=verb, help=DOES[verb])(_command(verb))


def send(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE",
            help="Message Bundles; .xml is sent as XML, everything else as JSON.",
            readable=False,  # asked after by `require_files`, in words that help
            callback=require_files,
        ),
    ],
    config: Config = DEFAULT_CONFIG,
    provider: Whose = None,
    *,
    as_json: Json = False,
) -> None:
    """
    Submit messages to the running gateway, and print each receipt.

    The same bytes twice are sent once: the second time gets the first receipt. Exits
    with 1 if a message was not accepted; what is wrong with it is printed.
    """
    settings = load(config, os.environ)
    path = socket_of(settings, provider)
    bundles = {file: file.read_bytes() for file in files}
    with shown("Submitting") as advance:
        tell = _as_line_of_json if as_json else as_receipt
        answers = asyncio.run(submit(path, bundles, tell, advance))
    if not all(each["accepted"] for each in answers):
        raise typer.Exit(1)


def _command(verb: Verb) -> Callable[..., None]:
    def command(  # noqa: PLR0917
        why: Why,
        request_ids: Ids = None,
        config: Config = DEFAULT_CONFIG,
        provider: Whose = None,
        by: By = None,
        receiver: Receiver = None,
        use_case: UseCase = None,
        correlation_id: Conversation = None,
        state: States = None,
        taken_from: From = None,
        taken_before: Before = None,
        *,
        everything: Everything = False,
        dry_run: DryRun = False,
        yes: Yes = False,
        after_its_time: AfterItsTime = False,
        as_json: Json = False,
    ) -> None:
        filters = {
            "states": state,
            "receiver": receiver,
            "use_case": use_case,
            "correlation_id": correlation_id,
            "taken_from": taken_from,
            "taken_before": taken_before,
        }
        flags = {"confirmed": yes, "after_its_time": after_its_time}
        order = signed(why, by, dry_run=dry_run, **flags)
        given = {name: value for name, value in filters.items() if value}
        if bool(request_ids) == everything or (given and not everything):
            raise typer.BadParameter("name messages, or give --all with or without filters")
        ask = partial(asked, config, provider)
        with shown(f"{verb}: messages") as advance:
            act = partial(_one_by_one, ids=request_ids) if request_ids else _in_bulk
            act(ask, {**order, "verb": verb, "messages": given}, advance, as_json=as_json)

    return _with_its_own(command, verb)


def _with_its_own(command: Callable[..., None], verb: Verb) -> Callable[..., None]:
    """Offer the options that set an objection aside with those verbs alone that may meet it."""
    whole = inspect.signature(command)
    offered = [each for name, each in whole.parameters.items() if verb in _FOR.get(name, Verb)]
    command.__signature__ = whole.replace(parameters=offered)  # type: ignore[attr-defined]
    return command


def _one_by_one(
    ask: Ask, whole: Mapping[str, Any], advance: Advance, *, ids: Sequence[str], as_json: bool
) -> None:
    order, verb = dict(whole), whole["verb"]
    del order["verb"], order["messages"]
    refused = 0
    for done, request_id in enumerate(ids, 1):
        status, answer = ask(f"/messages/{request_id}/{verb}", order)
        refused += status != HTTPStatus.OK
        if as_json:
            print_lines([{"request_id": request_id, **answer}])
        else:
            typer.echo(_line(answer) if "request_id" in answer else not_done(request_id, answer))
        advance(done, len(ids))
    if refused:
        raise typer.Exit(1)


def _in_bulk(ask: Ask, order: Mapping[str, Any], advance: Advance, *, as_json: bool) -> None:
    done, against, tell = 0, dict[str, str](), _printer(as_json=as_json)
    meanwhile = Counter[str]()
    try:
        for report in rounds(ask, "/interventions", order, inside="messages"):
            tell(report["messages"])
            done += report["possible"]
            against.update(_objections(report["messages"]))
            advance(done + len(against), None)
        if order["verb"] in _STOPS and not order["dry_run"]:
            caught, meanwhile = _caught_up(ask, order, against, tell)
            done += caught
    except (GatewayBusy, GatewayUnreachable, KeyboardInterrupt, typer.Exit) as ended:
        begun = done or isinstance(ended, GatewayBusy | GatewayBrokeOff | KeyboardInterrupt)
        if begun and not order["dry_run"]:
            told = f"{done} were done before that, and stay so; of the next, some may be"
            typer.echo(f"{told}. The same command goes on with the rest", err=True)
        raise
    if not as_json:
        typer.echo(_summed_up(order, done, against, meanwhile))
        if order["verb"] == Verb.HOLD:
            typer.echo(_LATER, err=True)
    if against or not (done or meanwhile):
        raise typer.Exit(1)


def _printer(*, as_json: bool) -> Tell:
    if as_json:
        return print_lines

    def tell(answers: Iterable[Mapping[str, Any]]) -> None:
        for each in answers:
            typer.echo(_line(each))

    return tell


def _objections(answers: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    """Yield what was not done, by X-Request-Id, with the code of what stands against it."""
    for each in answers:
        if code := _code_in(each):
            yield each["request_id"], code


def _code_in(answer: Mapping[str, Any]) -> str | None:
    """Return the code of what stands against the order; None: nothing, or nothing is known."""
    objection = answer.get("objection")
    return objection["code"] if objection else None


def _caught_up(
    ask: Ask, whole: Mapping[str, Any], against: dict[str, str], tell: Tell
) -> tuple[int, Counter[str]]:
    """
    Ask again for what was being sent, until each attempt has ended: it may come back to the queue.

    Takes out of *against* what is stopped now, or waits no more; returns how many were stopped, and
    how many of the others came to which state.
    """
    done, meanwhile = 0, Counter[str]()
    for name, answer in _ended(ask, whole, [n for n, code in against.items() if code == IN_FLIGHT]):
        tell([answer])
        del against[name]
        code = _code_in(answer)
        if code == WRONG_STATE:  # it waits no more
            meanwhile[answer["state"]] += 1
        elif code:
            against[name] = code
        else:
            done += 1
    return done, meanwhile


def _ended(
    ask: Ask, whole: Mapping[str, Any], flying: list[str]
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield each of *flying* whose attempt ends in time, with what is answered of it then."""
    order = {name: value for name, value in whole.items() if name not in {"verb", "messages"}}
    until = time.monotonic() + IN_FLIGHT_SECONDS
    if flying:
        sent = f"{len(flying)} are being sent: waiting for how that ends"
        typer.echo(f"{sent}, {IN_FLIGHT_SECONDS:.0f} s at most", err=True)
    while flying and time.monotonic() < until:
        time.sleep(_LOOK_AGAIN_SECONDS)
        for name in list(flying):
            status, answer = ask(f"/messages/{name}/{whole['verb']}", order)
            if _code_in(answer) == IN_FLIGHT or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
                continue
            flying.remove(name)
            if "request_id" in answer:  # or it was purged, say: nobody knows how it ended
                yield name, answer


def _summed_up(
    order: Mapping[str, Any], done: int, against: Mapping[str, str], meanwhile: Mapping[str, int]
) -> str:
    if not (done or against or meanwhile):
        states = ", ".join(sorted(IN_BULK[Verb(str(order["verb"]))]))
        return f"Nothing fits: by a filter, {order['verb']} is for messages that are {states}."
    words = [f"{'would be' if order['dry_run'] else 'done'}: {done}"]
    words += (f"{count} not ({code})" for code, count in Counter(against.values()).items())
    words += (f"{count} meanwhile {state}" for state, count in meanwhile.items())
    return ", ".join(words)


def _line(answer: Mapping[str, Any]) -> str:
    if answer["objection"]:
        return not_done(answer["request_id"], answer)
    words = [answer["state"] if answer["done"] else f"would be done ({answer['state']})"]
    if answer["resent_as"]:
        words.append(f"resent as {answer['resent_as']}")
    if answer["may_happen"]:
        words.append(f"then {answer['may_happen']}")
    words += [f"and with it {other}" for other in answer["also"]]
    return f"{answer['request_id']}: {'; '.join(words)}"


@frozen(kw_only=True)
class FileIssue:
    """One thing that is wrong with a file."""

    file: str
    issue: Issue


def lint(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE",
            help="Message Bundles (.xml is XML, all else JSON), or their .envelope.json.",
            readable=False,  # asked after by `require_files`, in words that help
            callback=require_files,
        ),
    ],
    *,
    strict: Annotated[
        bool,
        typer.Option("--strict", help="Look as before sending, not as a Receiver does."),
    ] = False,
    as_json: Json = False,
) -> None:
    """
    Print all that is wrong with messages, without sending them.

    Names the FHIR path, and the line of an XML file; what stands there is not printed.
    Exits with 0 if there are no errors (there may be warnings), else with 1.
    """
    found = []
    with shown("Reading messages") as advance:
        for number, file in enumerate(files, 1):
            found += findings(file, strict=strict)
            advance(number, len(files))
    if as_json:
        print_lines(_as_document(each) for each in found)
    else:
        for each in found:
            typer.echo(_as_line(each))
        if not found:
            typer.echo(f"nothing is wrong ({len(files)} looked at)", err=True)
    if any(each.issue.severity is Severity.ERROR for each in found):
        raise typer.Exit(1)


def findings(file: Path, *, strict: bool = False) -> list[FileIssue]:
    """Return all that is wrong with the message in *file*, or with the envelope of one."""
    if sort_of(file.name) is Sort.ENVELOPE:
        found = _of_envelope(file.read_bytes(), datetime.now(UTC))
        return [FileIssue(file=str(file), issue=issue) for issue in found]
    media_type = f"application/fhir+{'xml' if file.suffix.lower() == '.xml' else 'json'}"
    side = Side.SENDING if strict else Side.RECEIVING
    offer = Offer(services=frozenset(), applications=EVERYTHING, for_anybody=True)
    examined = examine(file.read_bytes(), media_type, side, offer)
    return [FileIssue(file=str(file), issue=issue) for issue in examined.issues]


def _of_envelope(content: bytes, now: datetime) -> list[Issue]:
    try:
        return doubtful(read_envelope(content), now)
    except EnvelopeProblem as problem:
        return problem.issues


def _as_line(found: FileIssue) -> str:
    issue = found.issue
    place = f"{found.file}:{issue.line}" if issue.line else found.file
    refused = " (in prod it is refused)" if found.issue.refused_in_production else ""
    return f"{place}: {issue.severity} {issue.rule} {issue.path}: {issue.text}{refused}"


def _as_document(found: FileIssue) -> dict[str, str | int | bool | None]:
    return {
        "file": found.file,
        "line": found.issue.line,
        "severity": found.issue.severity,
        "rule": found.issue.rule,
        "path": found.issue.path,
        "text": found.issue.text,
        "refused_in_production": found.issue.refused_in_production,
    }


def signed(why: str, by: str | None, *, dry_run: bool, **wanted: object) -> Mapping[str, object]:
    """Return what is *wanted* as an order: with its reason and its author."""
    author = {"why": why, "by": by or whoever_types(), "role": "operator", "dry_run": dry_run}
    return {**wanted, **author}


def socket_of(settings: Settings, provider: str | None) -> Path:
    """Return the socket of that provider, or of the only one."""
    names = list(settings.providers)
    name = names[0] if provider is None and len(names) == 1 else provider
    if name not in names:
        why = "it is missing, and" if name is None else "it"
        text = f"{why} must be one of: {', '.join(names)}"
        raise typer.BadParameter(text, param_hint="--provider")
    return settings.epr.socket_of(name)


def asked(
    config: Path, provider: str | None, path: str, order: Mapping[str, object]
) -> tuple[HTTPStatus, Mapping[str, Any]]:
    """Return what the provider's gateway answers to *order*."""
    socket = socket_of(load(config, os.environ), provider)
    status, answer = asyncio.run(_post_order(socket, path, order))
    if status == HTTPStatus.UNPROCESSABLE_ENTITY:
        raise _mistyped(answer)
    return HTTPStatus(status), answer


def _mistyped(answer: Mapping[str, Any]) -> typer.BadParameter:
    """Return what is wrong with an order, under the name by which it was typed."""
    member, error = answer.get("member"), str(answer["error"])
    option = TYPED_AS.get(member or "")
    if option is None:
        return typer.BadParameter(error)
    return typer.BadParameter(error.removeprefix(f"{member} "), param_hint=option)


def rounds(
    ask: Ask, path: str, order: Mapping[str, Any], inside: str | None = None
) -> Iterator[Mapping[str, Any]]:
    """
    Yield what became of *order*, round by round: each is one bounded request.

    A report says where the next begins; that goes into the order, or into its member *inside*.
    """
    while True:
        status, report = ask(path, order)
        if status != HTTPStatus.OK:
            raise refuse_whole(report, status)
        yield report
        following = report["next"]
        if following is None:
            return
        order = {**order, **({inside: {**order[inside], **following}} if inside else following)}


def not_done(name: object, answer: Mapping[str, Any]) -> str:
    """Return the line that says why *name* was left as it is, and what helps."""
    against = answer.get("objection") or {"problem": answer["error"], "cure": answer["cure"]}
    option = _SETS_ASIDE.get(against.get("code", ""))
    cure = f"{against['cure']} ({option})" if option else against["cure"]
    return f"{name}: not done: {against['problem']}; {cure}"


def refuse_whole(answer: Mapping[str, Any], status: int = HTTPStatus.BAD_REQUEST) -> typer.Exit:
    """Say why an order for many was not carried out, and return how the command ends."""
    typer.echo(f"error: {answer['error']}", err=True)
    if status < HTTPStatus.INTERNAL_SERVER_ERROR:
        return typer.Exit(2)
    typer.echo(f"   try: {answer['cure']}", err=True)
    return typer.Exit(1)


async def submit(
    socket: Path,
    bundles: Mapping[Path, bytes],
    tell: Callable[[int, Mapping[str, Any]], None],
    advance: Advance,
) -> Sequence[Mapping[str, Any]]:
    """Submit the bytes of each file, *tell* the status and the answer, and return all answers."""
    answers = []
    async with _connected(socket) as session:
        for done, (file, body) in enumerate(bundles.items(), 1):
            media_type = _MEDIA_TYPES.get(file.suffix.lower(), "application/fhir+json")
            status, document = await _post(session, "/messages", body, media_type, socket)
            accepted = status in {200, 201}
            answers.append({"file": str(file), "accepted": accepted, "answer": document})
            tell(status, answers[-1])
            advance(done, len(bundles))
    return answers


def _as_line_of_json(_status: int, answer: Mapping[str, Any]) -> None:
    print_lines([answer])


def as_receipt(status: int, answer: Mapping[str, Any]) -> None:
    """Print what a person is told of one file."""
    typer.echo(f"{answer['file']}: {_sentence(status)}")
    typer.echo(orjson.dumps(answer["answer"], option=orjson.OPT_INDENT_2).decode())


async def _post_order(
    socket: Path, path: str, wanted: Mapping[str, object]
) -> tuple[int, Mapping[str, Any]]:
    """Ask for something to be done with messages; return status and document of the answer."""
    async with _connected(socket) as session:
        return await _post(session, path, orjson.dumps(wanted), "application/json", socket)


def _connected(socket: Path) -> "aiohttp.ClientSession":
    import aiohttp

    connector = aiohttp.UnixConnector(str(socket))
    return aiohttp.ClientSession(connector=connector, trust_env=False)


async def _post(
    session: "aiohttp.ClientSession", path: str, body: bytes, media_type: str, socket: Path
) -> tuple[int, Any]:
    import aiohttp

    headers = {"Content-Type": media_type}
    try:
        async with (
            asyncio.timeout(_ANSWER_SECONDS),
            session.post(
                f"http://gateway{path}", data=io.BytesIO(body), headers=headers
            ) as response,
        ):
            return response.status, orjson.loads(await response.read())
    except TimeoutError:
        raise GatewayBusy(
            f"the gateway on {socket} has not answered for {_ANSWER_SECONDS:.0f} s, and may still"
            " be doing what was asked"
        ) from None
    except aiohttp.ServerDisconnectedError:
        raise GatewayBrokeOff(f"the gateway on {socket} ended before it answered") from None
    except (OSError, aiohttp.ClientError) as error:
        permissions.require(socket, write=True)
        reason = getattr(error, "strerror", None) or "no answer came"
        raise GatewayUnreachable(f"no gateway answers on {socket}: {reason}") from None


def _sentence(status: int) -> str:
    known = {201: "accepted", 200: "accepted before; this is the same receipt"}
    return known.get(status, "not accepted")
