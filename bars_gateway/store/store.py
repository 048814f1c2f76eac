"""
The store as the flows see it: what it keeps, by noun; each method of a noun is one transaction.

    outbound        submit ─► claim ─► settle │ put_back          a message of ours
    waiting         put_off ─► hasten                             until when it waits
    inbound         receive │ refuse                              a request that came
    responses       respond                                       what comes in answer to ours
    questions       ask ─► decide                                 one that the EPR decides
    interventions   what a person does to a message
    notices         pending ─► collect                            what we owe the EPR

Instants are aware and in UTC. Who waits for work is woken after a commit; a wake-up that
found nobody waiting is not lost.
"""

from datetime import datetime, timedelta

from bars_gateway.errors import StoreUnavailable
from bars_gateway.model.readings import Overview, StuckLog
from bars_gateway.store import readings
from bars_gateway.store.alarms import Alarms
from bars_gateway.store.alerts import Alerts
from bars_gateway.store.asides import Asides, Rounds
from bars_gateway.store.audit import Audit, Visits
from bars_gateway.store.chain import Chain
from bars_gateway.store.connection import Connection, Database, Measures
from bars_gateway.store.conversations import Confirmations, Conversations, Debts
from bars_gateway.store.counterparties import Counterparties
from bars_gateway.store.encryption import Encryption
from bars_gateway.store.explanations import Explanations
from bars_gateway.store.figures import Figures, Flows, Uptimes
from bars_gateway.store.in_force import InForce
from bars_gateway.store.inbound import Inbound
from bars_gateway.store.interventions import Interventions
from bars_gateway.store.notices import Notices
from bars_gateway.store.outbound import Outbound
from bars_gateway.store.pacing import Breaks, Calls
from bars_gateway.store.purges import Purges
from bars_gateway.store.quarantine import Quarantines
from bars_gateway.store.questions import Questions
from bars_gateway.store.reached import Reaches
from bars_gateway.store.readings import Messages, UnreadNotices
from bars_gateway.store.record_holds import RecordHolds
from bars_gateway.store.record_reads import Cancellations, Reconciliations
from bars_gateway.store.reports import Reports
from bars_gateway.store.responses import Responses
from bars_gateway.store.searches import Searches
from bars_gateway.store.timeline import Timelines
from bars_gateway.store.waiting import Pausing
from bars_gateway.store.work import Noun, Shared, WakeUps, reads


class Store(Noun):
    """Everything that one node keeps in one open database."""

    def __init__(
        self,
        database: Database,
        *,
        node: str,
        lease: timedelta = timedelta(seconds=90),
        per_receiver: int = 4,
        minimum_free_bytes: int = 0,
    ) -> None:
        self.nodes, wake_ups = database.nodes, WakeUps(database.nodes)
        shared = Shared(database=database, wake_ups=wake_ups, minimum_free_bytes=minimum_free_bytes)
        super().__init__(shared)
        self.asides = Asides(shared)
        self.rounds = rounds = Rounds(database, self.asides)
        self.outbound = Outbound(shared, rounds, node=node, lease=lease, per_receiver=per_receiver)
        self.waiting = Pausing(shared)
        self.inbound = Inbound(shared)
        self.responses = Responses(shared)
        self.notices = Notices(shared, self.asides)
        self.messages = Messages(shared)
        self.alarms = Alarms(shared)
        self.alerts, self.visits = Alerts(shared), Visits(shared)
        self.figures, self.reaches = Figures(shared), Reaches(shared)
        self.breaks, self.calls = Breaks(shared), Calls(shared)
        self.unread = UnreadNotices(shared)
        self.cancellations = Cancellations(shared, rounds, self.asides)
        self.interventions, self.in_force = Interventions(shared), InForce(shared, node)
        self.confirmations = Confirmations(shared)
        self.quarantine = Quarantines(shared)
        self.reconciliations = Reconciliations(shared)
        self.encryption, self.searches = Encryption(shared), Searches(shared)
        self.soundness = database.soundness(wake_ups.wake_everybody)
        self.flows, self.uptimes = Flows(shared), Uptimes(shared)
        self.conversations = Conversations(shared, rounds)
        self.questions = Questions(shared, rounds)
        self.explanations = Explanations(shared)
        self.timelines = Timelines(shared)
        self.debts, self.counterparties = Debts(shared), Counterparties(shared)
        self.audit, self.chain, self.reports = Audit(shared), Chain(shared), Reports(shared)
        self.purges, self.record_holds = Purges(shared), RecordHolds(shared)

    def wake_purger(self) -> None:
        """Let a purge that somebody has begun be gone on with at once."""
        self._wake_ups.purger.wake()

    async def wait_for_purge(self, seconds: float) -> None:
        """Return when somebody has begun a purge, after *seconds* at the latest."""
        await self._wake_ups.purger.wait(seconds)

    def measure(self, measures: Measures) -> None:
        """Let *measures* count what comes to be from now on."""
        self._shared.measures = self._database.measures = measures

    def unavailable(self) -> StoreUnavailable | None:
        """Return why nothing can be stored at this moment; None: all can (D-free-space)."""
        return self._shared.too_little_room() or self._database.unwritten

    def stuck_log(self) -> StuckLog | None:
        """Return how far the write-ahead log has grown over a reader that does not end."""
        return self._database.stuck_log

    @reads
    def prove_readable(self, connection: Connection) -> None:
        """Return where the database answers, at a cost that never grows; else raise StoreError."""
        connection.one("newest_message")

    @reads
    def watched(self, connection: Connection, now: datetime) -> Overview:
        """Return of the overview what concerns rest on, at a cost that grows with those alone."""
        return readings.watched(connection, self._database.room(), now)

    @reads
    def overview(self, connection: Connection, now: datetime) -> Overview:
        """Return what the status page shows."""
        return readings.overview(connection, self._database.room(), now)
