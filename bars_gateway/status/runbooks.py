"""
What to do about each code that the page, an alert or a rule of Prometheus names.

    ALARMS (model)  ─┐
    ConcernKind     ─┴─► RUNBOOKS ─┬─► /runbooks#CODE on the console, docs/runbooks.md
                                   └─► what an alert says, and how urgent it is

One section a code: what it means, how bad that is for patients, where to look, what to do, how it
ends. Those of alarms say what `model.alarms` says: nothing here may differ from the page. Nothing
of a message is in any of them, so that an alert may quote them.
"""

from collections.abc import Mapping
from datetime import timedelta

from bars_gateway.frozen import frozen
from bars_gateway.model.alarms import ALARMS, MEANWHILE, AlarmKind, AlarmScope, Whose
from bars_gateway.status.concern import ConcernKind, FlowKind, OutsideKind
from bars_gateway.status.harms import HARM_OF_ALARMS

PAGE = "/runbooks"
_NOW = timedelta()
_A_MINUTE = timedelta(minutes=1)


@frozen(kw_only=True)
class Runbook:
    """What to do about one code."""

    code: str
    title: str
    whose: Whose  # where to look for the cause first
    harm: str  # how bad it is for patients
    look: str
    do: str
    ends: str
    urgent: bool  # somebody is to be woken for it
    after: timedelta = _NOW  # how long it stands before that

    @property
    def anchor(self) -> str:
        """Where it stands, on the page of them all."""
        return f"{PAGE}#{self.code}"


_LOOK = {
    AlarmScope.MESSAGE: "`bars-gateway alarms` has its X-Request-Id, `bars-gateway show` its"
    " history.",
    AlarmScope.WORKFLOW: "`bars-gateway alarms` has the X-Request-Id of its message;"
    " `bars-gateway show` tells its history.",
    AlarmScope.REQUEST: "`bars-gateway alarms` has the X-Request-Id. Look for that in the log"
    " (`journalctl -u bars-gateway`).",
    AlarmScope.PLACE: "`bars-gateway alarms` has the place; the log around that time has the rest"
    " (`journalctl -u bars-gateway`).",
}


_MARKED = "Somebody marks it as handled (`bars-gateway mark-handled`)"


def _of_alarm(kind: str, alarm: AlarmKind) -> Runbook:
    do = [alarm.advice]
    if alarm.to_responder is not None:
        whose, advice = alarm.to_responder.whose, alarm.to_responder.advice
        do.append(f"Where we are the Responder, look first {whose}. {advice}")
    for meanwhile, words in alarm.meanwhile.items():
        do.append(f"Where {MEANWHILE[meanwhile]}: {words.advice}")
    title = alarm.says.format(n=f"one or more {alarm.noun}s")
    return Runbook(
        code=kind,
        title=f"{title[0].upper()}{title[1:]}",
        whose=alarm.whose,
        harm=HARM_OF_ALARMS[kind],
        look=_LOOK[alarm.about],
        do=" ".join(do),
        ends=f"{_MARKED}, and nothing else ends it."
        if alarm.ends == "nothing else"
        else f"{_MARKED}; or {alarm.ends}.",
        urgent=alarm.severe,
    )


_CONCERNS: tuple[Runbook, ...] = (
    Runbook(
        code=ConcernKind.STORE_UNAVAILABLE,
        title="Nothing can be stored",
        whose=Whose.OURS,
        harm="Nothing is received and nothing is taken from the EPR: Senders are told to try again,"
        " and what the EPR submits waits there.",
        look="The page says why, and names the database; `df -h` and `df -i` of a file's folder."
        " Where the page has nothing of it, messages go on, and it is the alerts that cannot be"
        " decided: the log (`unit.set_aside`) says at what.",
        do="Make room, or see what holds it (`fuser -v`; on a server see `docs/postgresql.md`)."
        " Remove no file whose name begins with that of the database; one that was moved is moved"
        " back, and a copy in its place is not taken before a restart: the page says what to do."
        " Nothing that was promised is lost, unless that file is. Ask clinicians to telephone"
        " anything that cannot wait.",
        ends="A write succeeds again.",
        urgent=True,
        after=_A_MINUTE,
    ),
    Runbook(
        code=ConcernKind.EXPIRY_OVER,
        title="A certificate or an authority for receiving has ended: nothing comes in, or not from"
        " everybody",
        whose=Whose.OURS,
        harm="Referrals, bookings and cancellations do not reach us, nor do the answers to what we"
        " send. The Senders see that the connection fails, and the page may name our own services"
        " as silent. Sending goes on, also after a restart.",
        look="The page says since when; `bars-gateway doctor` reads each certificate.",
        do="Ask clinicians to telephone anything that cannot wait, and tell the services that send"
        " to us to telephone. Make the request (`bars-gateway csr new --why TEXT`), order the"
        " certificate by telephone, and install it (`bars-gateway certificate install FILE --why"
        " TEXT`): it is taken without a restart. Where only the chain has ended, fetch the new"
        " intermediate and put it below the certificate; where the authorities have, fetch the new"
        " ones from pki.nhs.uk and add them to `inbound.client_ca_file`.",
        ends="What is in force is in use.",
        urgent=True,
    ),
    Runbook(
        code=ConcernKind.NOTICE_UNREAD,
        title="The EPR does not take what is for it",
        whose=Whose.OURS,
        harm="Nobody here may have read what came, or what became of what was sent.",
        look="The page lists the oldest notices; `bars-gateway show` with their X-Request-Id.",
        do="See why the EPR does not take them: is it running, does it reach its folder or socket?"
        " Telephone whoever they are for, the oldest first.",
        ends="The EPR takes them.",
        urgent=True,
    ),
    Runbook(
        code=ConcernKind.REFUSAL_UNREAD,
        title="What was refused to the EPR still lies there",
        whose=Whose.OURS,
        harm="It was not sent, and whoever wrote it may believe that it was: the patient may be"
        " waiting for somebody who was never asked.",
        look="`outbox/refused` below the provider's `spool_dir`: `NAME.reason.json` says what is"
        " wrong with the file beside it, and whether anything was sent. The log has the rules"
        " (`epr.submission_ended`).",
        do="Telephone what cannot wait. Have it corrected and handed over again, under another"
        " name; what `E04` refuses was taken before, and is not to be handed over again. See why"
        " the EPR does not show it: it has to read each reason, and to take it away. Whoever has"
        " dealt with one takes both files away.",
        ends="The reasons are taken away.",
        urgent=True,
    ),
    Runbook(
        code=ConcernKind.EPR_NOT_ASKING,
        title="The EPR has stopped asking for questions",
        whose=Whose.OURS,
        harm="Whoever wants a decision from it gets 503: bookings and searches from outside fail.",
        look="The page says when it asked last; then the EPR's own log.",
        do="See whether the EPR is running, and reaches the socket of its provider.",
        ends="It asks again.",
        urgent=True,
    ),
    Runbook(
        code=ConcernKind.MESSAGE_HELD,
        title="Messages are held, by hand or set aside",
        whose=Whose.OURS,
        harm="What they say is known to nobody else, and what waits behind them does not leave.",
        look="`bars-gateway queue` lists them.",
        do="Release or withdraw each (`bars-gateway release`, `bars-gateway withdraw`). Telephone"
        " where a patient waits.",
        ends="None is held any more.",
        urgent=False,
    ),
    Runbook(
        code=ConcernKind.DATABASE_GAP,
        title="The database lacks rows where it looks for them",
        whose=Whose.OURS,
        harm="The same bytes may have been taken twice. What waits is looked for without that"
        " index.",
        look="`bars-gateway verify` says which and why.",
        do="Make room on that disk: the gateway tries to rebuild it every minute.",
        ends="The index is rebuilt.",
        urgent=False,
    ),
    Runbook(
        code=ConcernKind.DATABASE_LOG_STUCK,
        title="A program keeps the database's log from being moved",
        whose=Whose.OURS,
        harm="None until the disk is full; then nothing is received any more.",
        look="`fuser -v` on the database: often a sqlite3 shell, or a backup program.",
        do="End that program. Nothing is lost by it.",
        ends="It no longer reads.",
        urgent=False,
    ),
    Runbook(
        code=ConcernKind.LOG_STUCK,
        title="Nobody reads the gateway's log",
        whose=Whose.OURS,
        harm="None: messages go on, and the audit trail has what became of them. What the log would"
        " have said is missing where somebody looks for a cause.",
        look="`systemctl status systemd-journald` and the room of its disk; in a container, what"
        " collects its output; in a shell, the program behind the `|`.",
        do="Start it again, or make room. What waits in memory (4 MiB) is written then, in its"
        " order; beyond that, `log.lines_lost` says in the log where how many lines are lacking.",
        ends="All that was said is taken.",
        urgent=False,
        after=_A_MINUTE,
    ),
    Runbook(
        code=ConcernKind.EGRESS_BLOCKED,
        title="Nothing gets out of our own network",
        whose=Whose.OURS,
        harm="Nothing is sent, for anybody: referrals and answers wait here until their time ends.",
        look="The page says since when and why; `bars-gateway doctor` tries each step of the way.",
        do="Do what the page says of the reason: the egress proxy, its log-in, the firewall. Ask"
        " clinicians to telephone anything that cannot wait: the page lists what waits.",
        ends="Something gets out.",
        urgent=True,
        after=_A_MINUTE,
    ),
    Runbook(
        code=ConcernKind.TOKEN_MISSING,
        title="No access token can be had",
        whose=Whose.EITHER,
        harm="Nothing of this provider is sent: referrals and answers wait until their time ends.",
        look="The page says since when and why; `docs/answers.md` has each answer of the token"
        " service; `bars-gateway doctor` tries it.",
        do="Do what the page says of the reason. Where the key is not known, see what is"
        " registered;"
        " where the service does not answer, ask the national service desk. Ask clinicians to"
        " telephone anything that cannot wait.",
        ends="A token is given.",
        urgent=True,
        after=_A_MINUTE,
    ),
    Runbook(
        code=ConcernKind.PROVIDER_MISSING,
        title="A provider with messages under way is not in the settings",
        whose=Whose.OURS,
        harm="Nothing of it is sent, and its EPR hears of nothing: neither of answers that came,"
        " nor of what was given up.",
        look="The page names it; `bars-gateway queue` and `explain` say what waits. See what was"
        " changed in the settings before the last start.",
        do="Put it back under the same name and start again. If it was to go, let what is open of"
        " it end first. Ask clinicians to telephone anything that cannot wait.",
        ends="The gateway is started with it in the settings, or with nothing of it left.",
        urgent=True,
        after=_A_MINUTE,
    ),
    Runbook(
        code=ConcernKind.PROVIDER_KEPT_OUT,
        title="The national proxy refuses our token or registration",
        whose=Whose.OURS,
        harm="Nothing of this provider is sent: referrals and answers wait until their time ends.",
        look="The page says since when and why; `bars-gateway doctor` says more.",
        do="Check that the key and the addresses are of one environment, and that the"
        " application is"
        " approved there. `bars-gateway letters` says to whom to write. Ask clinicians to"
        " telephone anything that cannot wait.",
        ends="The proxy takes something of it.",
        urgent=True,
        after=_A_MINUTE,
    ),
    Runbook(
        code=ConcernKind.KEY_UNKNOWN,
        title="The token service does not know one of our keys",
        whose=Whose.OURS,
        harm="None while another key signs in its place.",
        look="The page names the key that is not known, and the one that signs.",
        do="A key that was published within the last hour is picked up by itself. Otherwise check"
        " what is registered: `bars-gateway letters`.",
        ends="The token service takes it, or it is taken out of the settings.",
        urgent=False,
        after=timedelta(hours=1),
    ),
    Runbook(
        code=ConcernKind.CLOCK_SKEWED,
        title="Our clock differs from the token service's",
        whose=Whose.OURS,
        harm="None yet. From 150 s on no token is given, and nothing is sent.",
        look="`timedatectl`, and what sets the clock of this machine.",
        do="Set it right.",
        ends="The difference is 5 s or less when the next token is given.",
        urgent=False,
    ),
    Runbook(
        code=ConcernKind.FOLDER_STALLED,
        title="A folder stands still",
        whose=Whose.OURS,
        harm="What the EPR submits there is not sent, or what came is not given to it.",
        look="The page names the folder and the reason: rights, a full disk, a share that is away"
        " or has another's folder in its place (`ESTALE`: `findmnt --target FOLDER`). With `EBUSY`"
        " one file alone waits, which another program has open.",
        do="Do what the page says of the reason. Whatever is to go there waits, and is kept. A"
        " share that is mounted again is known by the mark in its `.lock`, and needs no restart;"
        " where it does not go on within two minutes, restart the gateway.",
        ends="The folder can be used.",
        urgent=True,
        after=_A_MINUTE,
    ),
    Runbook(
        code=ConcernKind.FILE_NOT_TAKEN,
        title="Files of the EPR's are not taken",
        whose=Whose.OURS,
        harm="What they say is known to nobody else.",
        look="The page names the folder, how many, since when and why.",
        do="Do what the page says of the cause; have the EPR drop them again. Ask clinicians to"
        " telephone anything that cannot wait.",
        ends="None lies there any more.",
        urgent=True,
        after=_A_MINUTE,
    ),
    Runbook(
        code=ConcernKind.RECEIVER_SILENT,
        title="A Receiver does not answer",
        whose=Whose.EITHER,
        harm="What is for it waits until its time ends; some of it may have arrived.",
        look="The page names it, and since when. Where it is a service of this gateway itself, the"
        " alert says so, and the fault is here: the certificate for receiving (`expiry.over`), the"
        " listener, or the way in. Where all are silent, it is our way out, or the proxy: see"
        " whether anything was acknowledged lately. `bars-gateway doctor` tries both ways.",
        do="Where it is ours, do what else stands on the page. Where it alone is silent, tell"
        " whoever runs it; where all are, ask the national service desk. Ask clinicians to"
        " telephone anything that cannot wait: `bars-gateway queue` lists it. The gateway"
        " goes on trying.",
        ends="It answers a message.",
        urgent=True,
        after=_A_MINUTE,
    ),
    Runbook(
        code=ConcernKind.RECEIVER_FAILING,
        title="A Receiver answers with errors only",
        whose=Whose.EITHER,
        harm="What is for it waits until its time ends; some of it may have arrived.",
        look="The page names it, and since when. Where it is a service of this gateway itself, the"
        " alert says so: see what else stands here. Where all of them do, the proxy has trouble.",
        do="Tell whoever runs it; where all of them do, ask the national service desk. Ask"
        " clinicians to telephone anything that cannot wait: `bars-gateway queue` lists it.",
        ends="It answers a message in another way.",
        urgent=True,
        after=_A_MINUTE,
    ),
    Runbook(
        code=ConcernKind.QUESTION_LATE,
        title="The EPR has not answered in time",
        whose=Whose.OURS,
        harm="The Sender was told that no answer came, and does not know what became of its"
        " patient.",
        look="The page says how many, and since when; then the EPR's own log.",
        do="See that the EPR answers: nobody else can. If that takes long, find out what was"
        " decided, and telephone the Sender: the page has what each asks, and its conversation.",
        ends="It answers.",
        urgent=False,
        after=_A_MINUTE,
    ),
    Runbook(
        code=ConcernKind.CALLER_OBSERVED,
        title="Callers are let in whose names are not listed",
        whose=Whose.OURS,
        harm="Others than the national proxy may hand over messages.",
        look="The log has the name of each (`tls.` events).",
        do="Add the name to `inbound.allowed_client_names`, and remove `callers.observe_until`.",
        ends="That time is over, or the setting is taken out.",
        urgent=False,
    ),
    Runbook(
        code=ConcernKind.CALLER_SHUT_OUT,
        title="A recent caller would no longer get in",
        whose=Whose.OURS,
        harm="What it sends does not reach us: referrals, answers and cancellations are missing"
        " here.",
        look="The page names the caller, and the authority that is missing.",
        do="Add that authority, with its root, to `inbound.client_ca_file`; or remove the name from"
        " `inbound.allowed_client_names` if it is to stay out.",
        ends="It would get in, or its name is not listed any more.",
        urgent=True,
    ),
    Runbook(
        code=ConcernKind.RENEWAL_REFUSED,
        title="New keys, certificates or settings were not taken",
        whose=Whose.OURS,
        harm="None while the old ones hold.",
        look="The page says which and why; `bars-gateway doctor` says more.",
        do="Correct it: then it is taken.",
        ends="What lies there is taken.",
        urgent=False,
        after=_A_MINUTE,
    ),
    Runbook(
        code=ConcernKind.EXPIRY_IMMINENT,
        title="A certificate or an authority for receiving ends within a week: then nothing comes"
        " in, or not from everybody",
        whose=Whose.OURS,
        harm="None yet. Once it has ended nothing is received (`expiry.over`): referrals, bookings"
        " and cancellations do not reach us, nor do the answers to what we send.",
        look="The page says which and when; `bars-gateway doctor` reads each.",
        do="Order the successor by telephone: it takes days. `bars-gateway csr new --why TEXT`"
        " makes the request, `docs/connecting.md` has the steps. Where it is an authority of the"
        " callers, fetch the new ones from pki.nhs.uk and add them to `inbound.client_ca_file`.",
        ends="A successor is in use.",
        urgent=True,
    ),
    Runbook(
        code=ConcernKind.EXPIRY_NEAR,
        title="A certificate, key or list ends soon",
        whose=Whose.OURS,
        harm="None yet. Once it has ended nothing is received (`expiry.over`), or nothing sent.",
        look="The page says which and when; `bars-gateway doctor` reads each.",
        do="Order its successor now (`bars-gateway csr`, `bars-gateway keys`): it takes days."
        " `docs/connecting.md` has the steps.",
        ends="A successor is in use.",
        urgent=False,
    ),
    Runbook(
        code=ConcernKind.CLOCK_STEPPED,
        title="The clock of the machine was set, or it slept",
        whose=Whose.OURS,
        harm="Clinical times go by the new clock: what was due may have been given up, or be late.",
        look="`timedatectl`, and the log around that time.",
        do="See what sets the clock. Times from before and after it do not fit together.",
        ends="A day has passed, or the gateway was started again.",
        urgent=False,
    ),
    Runbook(
        code=ConcernKind.DATABASE_UNCOMPARED,
        title="The database has not been compared with its indexes for hours",
        whose=Whose.OURS,
        harm="None known. After a kill or a power cut, what waits was compared before the doors"
        " opened.",
        look="`bars-gateway verify`; is the disk slow?",
        do="Let it go on. If it does not end within a day, look at the disk.",
        ends="Everything was compared.",
        urgent=False,
        after=timedelta(hours=6),
    ),
    Runbook(
        code=ConcernKind.PURGE_LATE,
        title="No purge has come to its end for days",
        whose=Whose.OURS,
        harm="None to a patient's care. What should have left is still here, and the database"
        " grows.",
        look="`bars-gateway purge --certificates`, and the log (`store.unavailable`,"
        " `unit.set_aside`).",
        do="Check first that the clock is right (`timedatectl`): where by that clock more than a"
        " week has passed without a purge, none begins by itself, for everything may look old"
        " enough to leave by mistake; `bars-gateway purge --dry-run` says so, too. If it is right,"
        " begin one: `bars-gateway purge --why TEXT`. See that the gateway runs at"
        " `retention.nightly_at`.",
        ends="A purge of every provider has come to its end: the next night's, after one of yours.",
        urgent=False,
    ),
    Runbook(
        code=ConcernKind.AUDIT_LATE,
        title="The audit trail is not verified, or its head is not kept",
        whose=Whose.OURS,
        harm="None to a patient's care. What is done to the audit trail meanwhile is found later,"
        " or by what others know of it alone.",
        look="The log: `audit.head_not_kept` names the file of heads, and `unit.set_aside` what"
        " failed. `bars_audit_head_kept_seconds` and `bars_audit_verified_seconds` say which it"
        " is.",
        do="See that the gateway's user may write `audit-heads.jsonl` beside the database, and that"
        " the disk has room. `bars-gateway audit verify` walks the trail at once; restart the"
        " gateway if it does not walk by itself.",
        ends="It was walked within two days, and its head kept within three hours.",
        urgent=False,
    ),
    Runbook(
        code=ConcernKind.NODE_AWAY,
        title="Another gateway of this database is away",
        whose=Whose.OURS,
        harm="None while this one works. What the EPR has dropped in the other's folders is not"
        " sent, and if this one is lost as well, nothing is sent or received.",
        look="`bars-gateway doctor` (`database.server`) or the overview: which one, and since when."
        " On its machine: `systemctl status`, the journal, and the way to the database.",
        do="Start it. Where its machine is lost, see that the balancer sends it nothing and that"
        " the EPR drops nothing there, and set up another one of the same name."
        " One that is to be there no more is stopped in order (`systemctl stop`): then it is"
        " listed no more. Where it cannot be started for that, take it out:"
        " `bars-gateway nodes remove NAME --why TEXT`.",
        ends="It is back, or was stopped in order, or was taken out: that happens by itself"
        " when a node starts more than seven days after it was last seen.",
        urgent=False,
        after=_A_MINUTE,
    ),
    Runbook(
        code=ConcernKind.DISK_LOW,
        title="The disk of the database is filling up",
        whose=Whose.OURS,
        harm="None yet. Below `store.minimum_free_bytes` nothing is received, and nothing is taken"
        " from the EPR.",
        look="The page names the database's file: `df -h` of its folder, and `du` on that disk.",
        do="Make room, or enlarge the disk. Remove no file whose name begins with that of the"
        " database: what was promised is also in `gateway.db-wal`.",
        ends="There is four times as much room as that.",
        urgent=True,
        after=_A_MINUTE,
    ),
    Runbook(
        code=ConcernKind.MESSAGE_WAITING,
        title="A message has waited for longer than it should",
        whose=Whose.EITHER,
        harm="What it says is known to nobody else, or nobody has said that they have it.",
        look="`bars-gateway queue`, then `bars-gateway show` for its last attempts and the reason."
        " It is told as soon as the EPR is told that the message is late (`docs/timing.md`: a"
        " minute where it is urgent), where that is the oldest that waits for its Receiver, and"
        " after five minutes in any case.",
        do="Telephone where a patient waits. Then do what its last answer asks for"
        " (`docs/answers.md`).",
        ends="Nothing has waited for so long.",
        urgent=True,
    ),
    Runbook(
        code=ConcernKind.ALERT_UNDELIVERED,
        title="Alerts do not reach everybody by one of the ways in which they are told",
        whose=Whose.OURS,
        harm="None by itself: but nobody is told of the next thing that is wrong.",
        look="The log has `alert.not_delivered` with the reason: the command, the mail server, or"
        " an address that it does not take.",
        do="Put that right, and look at the page meanwhile. What was to be told is kept, and told"
        " then.",
        ends="Something is told by it.",
        urgent=True,
        after=timedelta(minutes=5),
    ),
)
_FLOWS: tuple[Runbook, ...] = (
    Runbook(
        code=FlowKind.NOTHING_RECEIVED,
        title="Nothing has been received",
        whose=Whose.EITHER,
        harm="Referrals and answers may be on their way to us and not arrive: nobody here would"
        " know.",
        look="`/readyz`, `bars_tls_handshake_failures_total` and the log for refused connections;"
        " then the firewall. Is it a holiday?",
        do="Ask the national service desk whether the proxy reaches us. Where we are reached and"
        " nobody sends, raise `alerts.nothing_received_minutes`.",
        ends="A message is received.",
        urgent=True,
    ),
    Runbook(
        code=FlowKind.NOTHING_ACKNOWLEDGED,
        title="None of our messages has been acknowledged",
        whose=Whose.EITHER,
        harm="What the EPR sends may not arrive anywhere, or the EPR may not be sending.",
        look="`bars-gateway queue`: is anything waiting? Then the EPR's own log.",
        do="Where something waits, do what the page says. Where nothing does, ask whether the EPR"
        " sends; is it a holiday?",
        ends="One of our messages is acknowledged.",
        urgent=True,
    ),
)
_OUTSIDE = Runbook(
    code=OutsideKind.GATEWAY_DOWN,
    title="The gateway does not answer",
    whose=Whose.OURS,
    harm="Nothing is received or sent: Senders are told that we are away, and what the EPR submits"
    " waits there.",
    look="`systemctl status bars-gateway` and its log (`journalctl -u bars-gateway`). Where it"
    " runs, `/readyz` says what it lacks: without its database server `/metrics` has no answer"
    " either.",
    do="Start it: what was promised goes on from the disk. If it does not start, the log says why."
    " Ask clinicians to telephone anything that cannot wait.",
    ends="It answers.",
    urgent=True,
    after=timedelta(minutes=2),
)
RUNBOOKS: Mapping[str, Runbook] = {
    **{kind: _of_alarm(kind, alarm) for kind, alarm in ALARMS.items()},
    **{each.code: each for each in (*_CONCERNS, *_FLOWS, _OUTSIDE)},
}
