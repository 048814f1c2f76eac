"""What is told beyond this machine: each condition once, and nothing of a message in it."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from figures import AT, AT_REST, EMPTY, NOTHING
from mail_side import AlertingByMail, Box, mail_server, plain_server
from store_values import NOW, arrival, submission

from bars_gateway.model.alarms import ALARMS
from bars_gateway.model.alerts import Channel, Condition, StandingConditions, Telling
from bars_gateway.model.messages import Actor
from bars_gateway.model.nodes import Node
from bars_gateway.model.standing_alarms import Chosen, StandingAlarms
from bars_gateway.standard.workflow import Role
from bars_gateway.status.alerts import Silences, Snapshot, Watch, conditions, of_node
from bars_gateway.status.concern import ConcernKind, FlowKind
from bars_gateway.status.concerns import concerns
from bars_gateway.status.deliveries import Command, Courier, Mail, Whence
from bars_gateway.status.running import EgressState, Lying, TokenState
from bars_gateway.store.asides import Aside
from bars_gateway.store.figures import Waiting
from bars_gateway.store.pacing import EGRESS
from bars_gateway.store.readings import EprCondition, Unread, UnreadNotice
from bars_gateway.store.sqlite.database import open_database
from bars_gateway.store.store import Store
from bars_gateway.upkeep.housekeeping import ExpiringKind, Expiry

A_MINUTE, AN_HOUR = timedelta(minutes=1), timedelta(hours=1)
SERVICE = "https://fhir.nhs.uk/Id/dos-service-id|2000000202"
CANARY = "CANARY-OF-A-PATIENT"
JO = Actor(role="operator", who="jo", why="INC-7")
AT_ONCE = Telling(channels=[Channel.JOURNAL], digest=timedelta(), remind=AN_HOUR)
SEEN = Snapshot(overview=EMPTY, counted=NOTHING, running=AT_REST, waiting=(), known={})


def found(seen: Snapshot, silences: Silences | None = None) -> list[Condition]:
    return conditions(seen, silences or Silences(), first_days=90)


def alarms(kind: str, provider: str, count: int, **changes: object) -> StandingAlarms:
    values = {"role": None, "meanwhile": None, "oldest_at": AT, "newest": count}
    return StandingAlarms(kind=kind, provider=provider, count=count, **{**values, **changes})  # type: ignore[arg-type]


def test_nothing_is_told_where_nothing_is_wrong() -> None:
    """Who is told of nothing goes on reading."""
    assert [] == found(SEEN)


def test_of_several_nodes_the_leader_tells_of_what_is_so_for_all() -> None:
    """And each of what is so for itself, by its name: nobody else sees that."""
    late = [Condition(code="message.waiting", says="Messages wait", urgent=True)]
    blocked = [Condition(code="egress.blocked", says="Nothing gets out", urgent=True)]
    silent = [Condition(code="receiver.silent", about="x|1", says="No answer", urgent=True)]
    leads = list(of_node([*late, *blocked, *silent], "one", leads=True))
    follows = list(of_node([*late, *blocked, *silent], "two", leads=False))

    assert ["Messages wait", "Nothing gets out (node one)", "No answer"] == [e.says for e in leads]
    assert ["Nothing gets out (node two)", "No answer"] == [each.says for each in follows]
    assert ["", " @one", "x|1"] == [each.about for each in leads]


@pytest.mark.parametrize(("silent", "codes"), [(9, []), (11, ["node.away"])])
def test_a_node_that_is_away_is_told_by_the_one_that_leads(silent: int, codes: list[str]) -> None:
    """Until it is back: as a warning, under its name, and once for all that are there."""
    other = Node(
        name="south",
        version="1",
        started_at=AT,
        seen_at=AT,
        silent=timedelta(seconds=silent),
        clock_ahead=timedelta(0),
    )
    this = replace(other, name="north", silent=timedelta(0), is_this=True)
    seen = replace(SEEN, running=replace(SEEN.running, nodes=[this, other]))
    leads, follows = (list(of_node(found(seen), "north", leads=each)) for each in (True, False))

    assert codes == [each.code for each in leads]
    assert [] == follows
    assert all((each.about, each.urgent) == ("south", False) for each in leads)


def test_an_alert_is_ended_by_the_node_that_it_is_of() -> None:
    """What is of all, by the leader; what is of a node that is no more, by it, too."""
    nodes = frozenset({"two"})
    leads = StandingConditions(conditions=(), node="one", leads=True, others=nodes)
    follows = replace(leads, node="two", leads=False, others=frozenset({"one"}))
    about = ("", "x|1", " @one", " @two", " @gone")

    assert [True, True, True, False, True] == [leads.is_ours(each) for each in about]
    assert [False, False, False, True, False] == [follows.is_ours(each) for each in about]
    assert all(StandingConditions(conditions=()).is_ours(each) for each in about)


def test_alarms_of_a_kind_are_one_condition_for_each_provider() -> None:
    """200 refusals are one alert; those of another organisation are another's."""
    kind = "message.refused"
    standing = [alarms(kind, "a", 199), alarms(kind, "b", 1), alarms(kind, "a", 1, role=None)]
    told = found(replace(SEEN, overview=replace(EMPTY, standing=standing)))

    assert ["200 messages got a refusal (a)", "1 message got a refusal (b)"] == [
        each.says for each in told
    ]


def test_what_we_owe_and_what_is_owed_to_us_are_two() -> None:
    """One sends people to the other side, and one to our own EPR."""
    kind = "workflow.overdue"
    standing = [
        alarms(kind, "a", 2, role=Role.REQUESTER),
        alarms(kind, "a", 1, role=Role.RESPONDER),
    ]
    told = found(replace(SEEN, overview=replace(EMPTY, standing=standing)))

    assert ["Overdue: 2 answers owed to us (a)", "Overdue: 1 answer that we owe (a)"] == [
        each.says for each in told
    ]


def test_what_may_touch_a_patient_waits_for_no_maintenance() -> None:
    """Whoever works on the network does not know who waits for an ambulance."""
    standing = [alarms("workflow.overdue", "a", 1), alarms("work.failed", "a", 1)]
    told = found(replace(SEEN, overview=replace(EMPTY, standing=standing)))

    assert {"workflow.overdue": False, "work.failed": True} == {
        each.code: each.waits_for_maintenance for each in told
    }


def test_a_receiver_is_told_of_by_its_bucket() -> None:
    """The page says who it is; what leaves this machine names nobody."""
    (told,) = found(replace(SEEN, running=replace(AT_REST, silent={SERVICE: AT})))

    assert ("A Receiver does not answer (bucket e)", SERVICE) == (told.says, told.about)


def test_a_silent_service_of_our_own_is_told_of_as_ours() -> None:
    """Whoever is woken looks here, and telephones nobody else."""
    ours = replace(AT_REST, silent={SERVICE: AT}, hosted=frozenset({SERVICE}))
    (told,) = found(replace(SEEN, running=ours))

    assert "A Receiver does not answer (bucket e, a service of this gateway itself)" == told.says


@pytest.mark.parametrize(
    ("seen", "opens"),
    [
        pytest.param(SEEN, True, id="unexplained"),
        pytest.param(
            replace(SEEN, running=replace(AT_REST, silent={SERVICE: AT})), False, id="silent"
        ),
        pytest.param(
            replace(SEEN, running=replace(AT_REST, silent={"s|9": AT})), True, id="another-is"
        ),
        pytest.param(replace(SEEN, known={SERVICE: AT}), False, id="known-from-before"),
        pytest.param(replace(SEEN, known={EGRESS: AT}), False, id="no-way-out-before"),
        pytest.param(
            replace(
                SEEN,
                running=replace(AT_REST, egress=EgressState(since=AT, reason="407", advice="ask")),
            ),
            False,
            id="no-way-out",
        ),
        pytest.param(
            replace(
                SEEN,
                running=replace(
                    AT_REST,
                    tokens=[
                        TokenState(
                            provider="trust",
                            key_id="k",
                            refused_keys=(),
                            expires_at=None,
                            failing_since=AT,
                            reason="no",
                            advice="see",
                            clock_skew_seconds=None,
                        )
                    ],
                ),
            ),
            False,
            id="no-token",
        ),
    ],
)
def test_a_message_that_waits_is_told_of_unless_it_is_known_why(
    seen: Snapshot,
    opens: bool,  # noqa: FBT001
) -> None:
    """One outage is one alert; what waits for another reason is another."""
    waiting = [Waiting(provider="trust", receiver=SERVICE, since=AT - AN_HOUR)]
    told = {each.code: each for each in found(replace(seen, waiting=waiting))}

    assert opens is told[ConcernKind.MESSAGE_WAITING].opens


@pytest.mark.parametrize("told", [False, True])
def test_an_operator_is_told_of_what_waits_when_the_epr_is(told: bool) -> None:  # noqa: FBT001
    """Urgent ones are late after a minute: who is told to telephone may ask the operator why."""
    a_minute_ago = AT - A_MINUTE
    waiting = [Waiting(provider="trust", receiver=SERVICE, since=a_minute_ago, told=told)]
    overview = replace(EMPTY, oldest_late_at=a_minute_ago if told else None)
    seen = replace(SEEN, overview=overview, waiting=waiting)

    assert told is (ConcernKind.MESSAGE_WAITING in {each.code for each in found(seen)})
    assert told is (
        ConcernKind.MESSAGE_WAITING in {c.kind for c in concerns(overview, AT_REST, 90)}
    )


def test_two_use_cases_that_nobody_reads_are_told_apart() -> None:
    """They are two alerts, of two sorts of patients: whoever is woken sees that it is no repeat."""
    notice = UnreadNotice(notice_id=1, request_id="r", workflow_id=1, created_at=AT - AN_HOUR)
    unread = [
        Unread(use_case=use_case, count=1, late_after=A_MINUTE, oldest=[notice])
        for use_case in ("a3t1", "a5t1", "")
    ]
    epr = EprCondition(provider="trust", asks=False, unread=unread, known=True)
    told = found(replace(SEEN, running=replace(AT_REST, eprs=[epr])))

    assert ["(trust, a3t1)", "(trust, a5t1)", "(trust)"] == [
        each.says.removeprefix("The EPR does not take what is for it ") for each in told
    ]


def test_what_is_so_for_several_reasons_is_told_once() -> None:
    """The page has each reason, with its cure; whoever is woken looks there."""
    lying = [
        Lying(folder="/spool/new", count=n, seconds=60, means="nothing was sent", cure=cure)
        for n, cure in ((2, "drop the files themselves"), (1, "give it mode 0640"))
    ]
    told = found(replace(SEEN, running=replace(AT_REST, lying=lying)))

    assert [("file.not_taken", "Files of the EPR's are not taken (/spool/new)")] == [
        (each.code, each.says) for each in told
    ]


def test_each_further_warning_of_an_end_is_worse() -> None:
    """A certificate is told of at 90 days, and again at each stage."""

    def mark(days: int) -> int:
        begins, ends = AT - timedelta(days=720), AT + timedelta(days=days)
        ending = Expiry(kind=ExpiringKind.CERTIFICATE, name="Ours", begins_at=begins, ends_at=ends)
        (told,) = found(replace(SEEN, running=replace(AT_REST, expiries=[ending])))
        return told.mark

    assert mark(80) == mark(70) < mark(50) < mark(5) < mark(1)


@pytest.mark.parametrize(
    ("kind", "days", "told"),
    [
        (ExpiringKind.CERTIFICATE, 8, ("expiry.near", False)),
        (ExpiringKind.CERTIFICATE, 7, ("expiry.imminent", True)),
        (ExpiringKind.CHAIN, 1, ("expiry.imminent", True)),
        (ExpiringKind.LAST_AUTHORITY, 7, ("expiry.imminent", True)),
        (ExpiringKind.AUTHORITIES, 1, ("expiry.near", False)),
        (ExpiringKind.KEY, 1, ("expiry.near", False)),
    ],
)
def test_what_is_about_to_shut_the_door_wakes_somebody(
    kind: ExpiringKind, days: int, told: tuple[str, bool]
) -> None:
    """While there is still time to order what comes after it."""
    begins, ends = AT - timedelta(days=365), AT + timedelta(days=days)
    ending = Expiry(kind=kind, name="Ours", begins_at=begins, ends_at=ends)
    (said,) = found(replace(SEEN, running=replace(AT_REST, expiries=[ending])))

    assert told == (said.code, said.urgent)


@pytest.mark.parametrize(
    ("kind", "harm"),
    [
        (ExpiringKind.CERTIFICATE, "nothing is received after that"),
        (ExpiringKind.CHAIN, "callers may refuse us after that"),
    ],
)
def test_what_is_about_to_end_is_said_to_harm_as_it_will(kind: ExpiringKind, harm: str) -> None:
    """A chain may hold what no caller needs: before its end no more is said than after it."""
    begins, ends = AT - timedelta(days=365), AT + timedelta(days=5)
    ending = Expiry(kind=kind, name="Ours", begins_at=begins, ends_at=ends)
    (concern,) = concerns(EMPTY, replace(AT_REST, expiries=[ending]), 90)

    assert concern.text.endswith(f": {harm}")


@pytest.mark.parametrize(
    "kind", [ExpiringKind.CERTIFICATE, ExpiringKind.CHAIN, ExpiringKind.LAST_AUTHORITY]
)
def test_an_end_that_shuts_the_door_wakes_somebody(kind: ExpiringKind) -> None:
    """Nothing is received any more: that is told at once, and by its own code."""
    ended = Expiry(kind=kind, name="Ours", begins_at=AT - timedelta(days=365), ends_at=AT)
    (told,) = found(replace(SEEN, running=replace(AT_REST, expiries=[ended])))

    assert ("expiry.over", True) == (told.code, told.urgent)
    assert told.says.startswith("A certificate or an authority for receiving has ended")


def test_a_key_of_a_year_ago_wakes_nobody() -> None:
    """It still signs: its year is advice."""
    begins = AT - timedelta(days=365)
    ended = Expiry(kind=ExpiringKind.KEY, name="Its year", begins_at=begins, ends_at=AT)
    (told,) = found(replace(SEEN, running=replace(AT_REST, expiries=[ended])))

    assert ("expiry.near", False) == (told.code, told.urgent)


@pytest.mark.parametrize(
    ("last", "codes"),
    [
        (AT - timedelta(hours=7), [FlowKind.NOTHING_RECEIVED]),
        (AT - timedelta(hours=5), []),
        (None, []),
    ],
)
def test_silence_is_news_after_as_long_as_somebody_has_set(
    last: datetime | None, codes: list[str]
) -> None:
    """Where nothing has flowed for longer than ever, somebody looks, though nothing has failed."""
    seen = replace(SEEN, counted=replace(NOTHING, received_at=last))

    assert codes == [each.code for each in found(seen, Silences(received=6 * AN_HOUR))]
    assert [] == found(seen)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with open_database(tmp_path / "gateway.db") as database:
        yield Store(database, node="here")


class Watched:
    """A watch over a store, at a time that a test sets."""

    def __init__(self, store: Store) -> None:
        self.at, self.running = NOW, replace(AT_REST, started_at=NOW - AN_HOUR)
        self.watch = Watch(
            store,
            lambda: self.running,
            lambda: AT_ONCE,
            Silences(),
            now=lambda: self.at,
            first_days=90,
        )
        self.store = store

    async def open(self, minutes: float = 0) -> list[str]:
        """Look at that many minutes later; return the codes of what is open."""
        self.at += timedelta(minutes=minutes)
        await self.watch.look()
        return [each.code for each in await self.store.alerts.standing()]


async def test_what_comes_and_goes_within_a_minute_is_no_news(store: Store) -> None:
    """A Receiver that is restarted wakes nobody; one that stays away does."""
    watched = Watched(store)
    silent, well = replace(watched.running, silent={"s|1": NOW}), watched.running
    seen = []
    for running, minutes in ((silent, 0), (well, 0.5), (silent, 0.5), (silent, 0.6), (silent, 0.5)):
        watched.running = running
        seen.append(await watched.open(minutes))

    assert [[], [], [], [], ["receiver.silent"]] == seen


async def test_a_restart_keeps_an_alert_open_until_it_is_known_better(store: Store) -> None:
    """Who was silent before it has not answered since: nobody is told that it has."""
    await store.breaks.began("s|1", NOW)
    before = Watched(store)
    before.running = replace(before.running, silent={"s|1": NOW})
    await before.open()
    first = await before.open(2)
    after = Watched(store)
    after.at = NOW + timedelta(minutes=3)
    second = [await after.open(), await after.open(60)]
    await store.breaks.ended("s|1")
    third = await after.open(1)

    assert ["receiver.silent"] == first
    assert [["receiver.silent"], ["receiver.silent"]] == second
    assert [] == third


async def test_what_nobody_has_looked_at_since_a_start_has_not_ended(store: Store) -> None:
    """A folder that stood still is looked at soon; until then nobody is told that it moves."""
    before = Watched(store)
    before.running = replace(before.running, stalled={"/spool": "ENOSPC"})
    await before.open()
    await before.open(2)
    after = Watched(store)
    after.at, after.running = NOW + 3 * A_MINUTE, replace(AT_REST, started_at=NOW + 2 * A_MINUTE)

    assert [["folder.stalled"], []] == [await after.open(), await after.open(3)]


async def test_nothing_of_a_message_is_told(store: Store) -> None:
    """What leaves this machine is made of codes, counts and names from the settings."""
    body = f'{{"note":"{CANARY}"}}'.encode()
    taken = await store.outbound.submit(
        submission(body=body, receiver=f"s|{CANARY}"), NOW - AN_HOUR
    )
    await store.asides.hold(taken.message_id, ValueError(CANARY), NOW, began=False)
    await store.asides.tell(Aside.WORK, ValueError(CANARY), NOW, request_id=CANARY)
    watched = Watched(store)
    watched.running = replace(watched.running, silent={f"s|{CANARY}": NOW}, shut_out=[CANARY])
    await watched.open()
    await watched.open(2)
    told = [each.alert.says for each in await store.alerts.due(Channel.JOURNAL, watched.at)]

    assert len(told) >= 4
    assert CANARY not in json.dumps(told)
    assert taken.request_id not in json.dumps(told)


async def test_a_mail_server_that_is_away_delays_nothing_else(store: Store, tmp_path: Path) -> None:
    """The pager is told while the mail still waits for its server."""
    began = asyncio.Event()

    async def hanging(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        began.set()
        await reader.read()
        writer.close()

    whence = Whence(node="n", environment="int", page_url="http://127.0.0.1:8480")
    listener = await asyncio.start_server(hanging, "127.0.0.1", 0)
    server = plain_server(listener, seconds=60)
    argv = ["/bin/sh", "-c", f"cat > {tmp_path}/told"]
    ways = [Mail(server, whence), Command(argv, 20, whence)]
    couriers = [Courier(store.alerts, way, now=lambda: NOW) for way in ways]
    telling = replace(AT_ONCE, channels=[Channel.MAIL, Channel.COMMAND])
    watched = Watched(store)
    async with asyncio.timeout(20), listener, asyncio.TaskGroup() as group:
        for each in couriers:
            group.create_task(each.run())
        await store.asides.tell(Aside.WORK, ValueError(), NOW)
        watched.watch._telling = lambda: telling
        await watched.open()
        await began.wait()
        while await store.alerts.due(Channel.COMMAND, NOW):
            await asyncio.sleep(0.01)
        waits = await store.alerts.due(Channel.MAIL, NOW)
        for each in couriers:
            each.stop()

    assert ["work.failed"] == [each.alert.code for each in waits]
    assert "work.failed" == json.loads((tmp_path / "told").read_text("utf-8"))["code"]


class Told(AlertingByMail):
    """One whose loops come round once, at a minute that a test sets."""

    async def at_minute(self, minutes: float) -> None:
        """Look, and let the mail go that is due."""
        self.at = NOW + timedelta(minutes=minutes)
        watch, courier = (self.alerting.parts[name] for name in ("alerts", "tell-mail"))
        assert isinstance(watch, Watch)
        assert isinstance(courier, Courier)
        await watch.look()
        await courier.tell_due()


ENDING = Expiry(
    kind=ExpiringKind.CERTIFICATE,
    name="Ours",
    begins_at=NOW - timedelta(days=300),
    ends_at=NOW + timedelta(days=80),
)


def subjects(box: Box) -> list[str]:
    return [" ".join(mail["Subject"].split()) for mail in box.mails]


async def test_a_digest_is_one_mail(store: Store, tmp_path: Path) -> None:
    """What is not urgent comes together, an hour after the first of it; nothing comes before."""
    box, counts = Box(), []
    async with mail_server(tmp_path, box) as server:
        told = Told(store, server, digest_minutes=60)
        told.running = replace(told.running, expiries=[ENDING])
        await told.at_minute(0)
        await store.asides.tell(Aside.WORK, ValueError(), NOW)
        for minutes in (1, 59, 62, 63):
            await told.at_minute(minutes)
            counts.append(len(box.mails))
    text = box.mails[0].get_content()

    assert [0, 0, 1, 1] == counts
    assert "runbooks#expiry.near" in text
    assert "runbooks#work.failed" in text


async def test_maintenance_holds_back_mail_but_of_patients(store: Store, tmp_path: Path) -> None:
    """A silent Receiver is told of when it is over; what may touch a patient, at once."""
    box = Box()
    window = {"maintenance_from": NOW, "maintenance_until": NOW + 2 * AN_HOUR}
    async with mail_server(tmp_path, box) as server:
        told = Told(store, server, **window)
        told.running = replace(told.running, silent={SERVICE: NOW})
        await told.at_minute(0)
        await told.at_minute(2)
        await store.asides.tell(Aside.DAMAGED, ValueError(), NOW)
        await told.at_minute(3)
        within = subjects(box)
        await told.at_minute(121)

    spoilt = "OPENED: 1 message whose stored bytes the disk has damaged"
    assert [f"[int gateway-1] {spoilt}"] == within
    assert any("A Receiver does not answer" in each for each in subjects(box)[1:])


async def test_a_dead_mans_switch_mails_that_nothing_flows(store: Store, tmp_path: Path) -> None:
    """Nothing has failed, and nothing has come for six hours: somebody looks. Then it is over."""
    box = Box()
    await store.inbound.receive(arrival(), NOW - timedelta(hours=5))
    async with mail_server(tmp_path, box) as server:
        told = Told(store, server, nothing_received_minutes=360, digest_minutes=0)
        await told.at_minute(0)
        early = subjects(box)
        await told.at_minute(61)
        await store.inbound.receive(arrival(), NOW + timedelta(minutes=70))
        await told.at_minute(71)

    assert [] == early
    assert ["OPENED", "RESOLVED"] == [each.split()[2].rstrip(":") for each in subjects(box)]
    assert all("received" in each.lower() for each in subjects(box))


async def test_a_restart_mails_nothing_twice(store: Store, tmp_path: Path) -> None:
    """What was told is not told again by the next process; that it is over, is."""
    box = Box()
    async with mail_server(tmp_path, box) as server:
        before = Told(store, server, digest_minutes=0)
        await store.asides.tell(Aside.WORK, ValueError(), NOW)
        await before.at_minute(0)
        after = Told(store, server, digest_minutes=0)
        after.running = replace(after.running, started_at=NOW + A_MINUTE)
        await after.alerting.begin()
        for minutes in (1, 2, 10):
            await after.at_minute(minutes)
        (alarm,) = await store.alarms.standing(None, 10)
        chosen = Chosen(numbers=[alarm.number])
        await store.alarms.handle("trust", chosen, JO, NOW + 11 * A_MINUTE, dry_run=False)
        await after.at_minute(12)

    assert ["OPENED", "RESOLVED"] == [each.split()[2].rstrip(":") for each in subjects(box)]


async def test_two_providers_are_told_of_apart(store: Store, tmp_path: Path) -> None:
    """Each by its name; what one has seen to does not end the other's."""
    box = Box()
    async with mail_server(tmp_path, box) as server:
        told = Told(store, server, digest_minutes=0)
        for provider in ("trust", "other"):
            await store.outbound.submit(
                submission(provider=provider, give_up_at=NOW - AN_HOUR), NOW - 2 * AN_HOUR
            )
        await store.outbound.give_up(NOW)
        await told.at_minute(0)
        (alarm,) = await store.alarms.standing("other", 10)
        chosen = Chosen(numbers=[alarm.number])
        await store.alarms.handle("other", chosen, JO, NOW + A_MINUTE, dry_run=False)
        await told.at_minute(2)
    opened, resolved = (mail.get_content() for mail in box.mails)

    assert "(trust)" in opened
    assert "(other)" in opened
    assert "(other)" in resolved
    assert "(trust)" not in resolved
    assert ["message.not_sent"] == [each.code for each in await store.alerts.standing()]


def test_a_refusal_says_first_that_somebody_has_to_act() -> None:
    """Whoever is woken reads what is so for the patient before where the reason stands."""
    advice = ALARMS["message.refused"].advice

    assert advice.startswith("Act now: ")
    assert "telephone before you ask again" in advice
