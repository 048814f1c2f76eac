"""
The two doors for questions: what another organisation waits to hear from the EPR.

    GET  /questions?wait=30&after=17    open ones beyond number 17, oldest first
    GET  /questions/{id}                one question, open or answered
    GET  /questions/{id}/request        the Bundle or resource that it is about, as it came
    POST /questions/{id}/answer         200 receipt · 422 issues, and it is still open

On the socket the EPR asks again as soon as it has read the answer, with the highest number that it
has seen; without `after` it gets all that is open, which is what it wants after a restart. For
as long as it keeps asking it counts as connected, and thirty seconds longer. `asks` says where
questions are put by the settings. With `none` all of these are 501 and name the setting, or an
EPR would wait for ever; but what is left of a time when it was asked can still be answered.

    questions/new/000000000012.request.json   the Bundle or resource, if there is one
    questions/new/000000000012.question.json  what is asked              written last
    answers/new/000000000012.json             the EPR's answer; in answers/tmp until complete
    answers/claimed/000000000012.json         ours alone: what is being taken in
    answers/accepted/000000000012.decided.json                   taken: how, and whether in time
    answers/refused/000000000012.json, 000000000012.reason.json  not: the question is still open

The folder is for an EPR that looks into it at least twice a second. An answer may be called
12.json as well; whatever comes of it has the name that the EPR gave
it. Nothing in answers/refused is ever replaced: what comes next under the same name is
12.2.json and 12.2.reason.json. A file that is named like no answer is refused for that.

The proxy waits 4.5 s. The gateway writes a question as soon as it is on disk and looks for
answers four times a second, so a folder costs an EPR about half a second of that; network
shares may cost more, and then the socket is the better door. A question that is over is
taken away again. Its number is the EPR's key: a restart may write it a second time. An
answer is claimed before it is read, so that one that corrects it, under the same name and
maybe as soon as the reason can be seen, is another file. An answer that causes an
internal error is refused with that reason; a question that it cannot write is told by an alarm, and
lapses as one that nobody answers. The others go on.
"""

import asyncio
import contextlib
import errno
import itertools
import re
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Literal

import structlog
from aiohttp import web

from bars_gateway.epr import documents
from bars_gateway.epr.answering import Answering, AnswerRefused
from bars_gateway.epr.folders import (
    PRIVATE,
    SHARED,
    Folder,
    FolderEntry,
    SpoolRoot,
    is_open_elsewhere,
)
from bars_gateway.epr.spool import (
    Cause,
    Sort,
    Stuck,
    StuckFiles,
    is_told,
    kept,
    sort_of,
    split,
)
from bars_gateway.errors import ConfigurationError, StoreUnavailable
from bars_gateway.frozen import frozen
from bars_gateway.listeners import body_of
from bars_gateway.model.numbers import number_in
from bars_gateway.model.questions import Question
from bars_gateway.permissions import cure_of_stalled
from bars_gateway.standard.issues import Issue
from bars_gateway.stopping import pause, unless_stopped
from bars_gateway.store.asides import Aside, Asides
from bars_gateway.store.questions import Questions

log = structlog.get_logger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Asks = Literal["none", "socket", "folder"]  # the setting `questions`

LONGEST_WAIT = 60.0  # seconds that a poll may wait
MOST_QUESTIONS = 100  # in one answer
_SHOW_UP = 5.0  # seconds after which a poll that waits looks whether its EPR is still there
SCAN_SECONDS = 0.25
_AFTER_TROUBLE = 2.0  # seconds until a folder that cannot be used is tried again
_MOST = 200  # questions that lie there at a time
_PATIENCE = 60.0  # seconds until what is neither JSON nor XML is no answer being written
_PARENTS = ("questions", "answers", "answers/tmp")  # as of `spool`
_ANSWER = re.compile(r"(\d{1,18})\.(json|xml)", re.ASCII | re.IGNORECASE)
_WRITTEN = re.compile(r"(\d{12,18})\.(?:question|request)\.(?:json|xml)", re.ASCII)
_FAILED = Issue(
    rule="Q02",
    path="answer",
    text="the gateway hit an internal error with this answer, and its operator has been told. Give"
    " it again: the first that is taken is what the Sender is told. If it fails again, telephone",
    issue="exception",
)
_MISNAMED = Issue(
    rule="Q03",
    path="name",
    text="is that of no answer: call the file after its question, NUMBER.json or NUMBER.xml, as in"
    " questions/new; whatever it answers is still open",
    issue="value",
)


class _NobodyIsAsked(Exception):
    """There is nothing here, and never will be: it is not for the EPR to decide."""


class QuestionRequests:
    """Serves one provider's questions on its socket."""

    def __init__(
        self,
        questions: Questions,
        answering: Answering,
        *,
        provider: str,
        asks: Asks,
        now: Callable[[], datetime],
    ) -> None:
        """Serve; where it *asks* on the socket, whoever polls here is the EPR that answers."""
        self._questions = questions
        self._answering = answering
        self._provider = provider
        self._asks = asks
        self._now = now
        self._stopping = asyncio.Event()

    def routes(self) -> list[web.RouteDef]:
        """Return what the socket has to serve."""
        return [
            web.get("/questions", self._if_asked(self._list)),
            web.get("/questions/{id}", self._if_asked(self._show)),
            web.get("/questions/{id}/request", self._if_asked(self._show_request)),
            web.post("/questions/{id}/answer", self._if_asked(self._take_answer)),
        ]

    def _if_asked(self, handler: Handler) -> Handler:
        """Answer 501, naming the setting, where by the settings nobody is asked."""

        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                return await handler(request)
            except _NobodyIsAsked:
                return documents.json_answer(documents.not_asked(self._provider), 501)

        return handle

    def stop(self) -> None:
        """End every wait for questions at once."""
        self._stopping.set()

    async def _list(self, request: web.Request) -> web.Response:
        try:
            wait = min(float(request.query.get("wait", "0")), LONGEST_WAIT)
            after = int(request.query.get("after", "0"))
        except ValueError:
            cure = "ask /questions?wait=30&after=0"
            return documents.json_answer(documents.problem("wait and after are numbers", cure), 400)
        wait = 0 if self._asks == "none" else wait
        found = await self._waited_for(request, wait, max(0, after))
        if self._asks == "none" and not found:
            raise _NobodyIsAsked
        return documents.json_answer(documents.listed(found, self._asks))

    async def _waited_for(self, request: web.Request, wait: float, after: int) -> list[Question]:
        """Return what is open, or what comes within *wait* seconds."""
        clock = asyncio.get_running_loop().time
        until = clock() + wait
        while True:
            if self._asks == "socket" and _is_there(request):
                self._questions.attend(self._provider, self._now())
            found = list(
                await self._questions.open_questions(
                    self._provider, after=min(after, 2**62), limit=MOST_QUESTIONS
                )
            )
            left = min(until - clock(), _SHOW_UP)
            if found or not left > 0 or self._stopping.is_set() or not _is_there(request):
                return found
            waking = self._questions.question_work(self._provider, left)
            await unless_stopped(self._stopping, waking)

    async def _show(self, request: web.Request) -> web.Response:
        return documents.json_answer(documents.question(await self._question(request)))

    async def _show_request(self, request: web.Request) -> web.Response:
        question = await self._question(request)
        if question.request is None:
            error = "there is no body to this question (any more)"
            return documents.json_answer(documents.problem(error, "see the question"), 404)
        headers = {"Content-Type": question.request.media_type}
        return web.Response(body=question.request.body, headers=headers)

    async def _take_answer(self, request: web.Request) -> web.Response:
        question = await self._question(request)
        body = await body_of(request)
        try:
            decided = await self._answering.answer(
                question.question_id, body, request.headers.get("Content-Type", "")
            )
        except AnswerRefused as refused:
            return documents.json_answer(
                documents.answer_refusal(refused.issues), refused.http_status
            )
        return documents.json_answer(documents.decided(decided))

    async def _question(self, request: web.Request) -> Question:
        number = number_in(request.match_info["id"])
        if number is not None:
            question = await self._questions.question(self._provider, number)
            if question is not None:
                return question
        if self._asks == "none":
            raise _NobodyIsAsked
        raise web.HTTPNotFound(reason="no question has that number")


def _is_there(request: web.Request) -> bool:
    return request.transport is not None and not request.transport.is_closing()


@frozen
class _Given:
    name: str
    question_id: int
    media_type: str
    body: bytes

    @property
    def stem(self) -> str:
        """Its name without the ending, as the EPR wrote it."""
        return split(self.name)[0]


class QuestionFolder:
    """One provider's questions and answers, below its spool folder."""

    def __init__(
        self,
        questions: Questions,
        asides: Asides,
        answering: Answering,
        *,
        provider: str,
        root: SpoolRoot,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        seen: Callable[[], None] = lambda: None,
        gives: Callable[[], bool] = lambda: True,
    ) -> None:
        """
        Create the folders; raise ConfigurationError where that fails.

        *gives*: whether questions are given here now, of several nodes; answers are taken anyway.
        """
        self._gives = gives
        self._questions, self._asides = questions, asides
        self._answering = answering
        self._provider = provider
        self._root = root
        self._now = now
        self._seen = seen
        self._stopping = asyncio.Event()
        self._monotonic = monotonic
        self._waiting: dict[str, float] = {}  # what is named like no answer, and since when
        self.trouble: str | None = None  # why questions wait; None while they are asked
        self._offered: set[int] = set()
        self._failing: set[str | int] = set()  # answers and questions with an internal error
        self._open = contextlib.ExitStack()
        try:
            self._make_folders()
        except OSError as error:
            text = f"spool_dir {root.path} cannot be used: {error.strerror} ({error.filename})"
            raise ConfigurationError(text) from None
        self._stuck = StuckFiles(self._answers, self._claimed, wall=lambda: now().timestamp())
        questions.attend(provider, now())  # or who asks before the first round would get 503

    def _make_folders(self) -> None:
        self._root.make(_PARENTS)
        self._tmp = self._folder("questions/tmp", PRIVATE)
        self._new = self._folder("questions/new", SHARED)
        self._answers = self._folder("answers/new", SHARED)
        self._claimed = self._folder("answers/claimed", PRIVATE)
        self._accepted = self._folder("answers/accepted", SHARED)
        self._refused = self._folder("answers/refused", SHARED)

    @property
    def stuck(self) -> Sequence[Stuck]:
        """What cannot be taken, by cause and folder."""
        return self._stuck.by_cause

    def close(self) -> None:
        """Let go of the folders; `run` has ended by then."""
        self._open.close()

    def stop(self) -> None:
        """End `run` once what it has in hand is finished."""
        self._stopping.set()

    async def run(self, beat: Callable[[], None] = lambda: None) -> None:
        """Offer questions and take answers until stopped; *beat* at each look."""
        while not self._stopping.is_set():
            beat()
            try:
                await self._round()
                self.trouble = None
                waking = self._questions.question_work(self._provider, SCAN_SECONDS)
                await unless_stopped(self._stopping, waking)
            except OSError as error:
                self._complain(errno.errorcode.get(error.errno or 0, "unknown"))
                await pause(self._stopping, _AFTER_TROUBLE)

    async def _round(self) -> None:
        for given in await asyncio.to_thread(self._take):
            self._seen()
            await self._submit_or_refuse(given)
        open_ones = await self._questions.open_questions(self._provider, after=0, limit=_MOST)
        gives = self._gives()
        failed = await asyncio.to_thread(
            self._offer, {each.question_id: each for each in open_ones}, gives=gives
        )
        for question, error in failed:
            await self._tell(error, question.request_id)
        if gives:
            self._questions.attend(self._provider, self._now())

    def _require_in_place(self) -> None:
        """Raise OSError where the folder is not the one that was opened; make what it lacks."""
        self._root.require_in_place()
        self._root.make(_PARENTS)
        for folder in (self._tmp, self._answers, self._claimed, self._accepted, self._refused):
            folder.refresh()
        if self._new.refresh():
            self._offered.clear()  # what lay there is not seen where it was removed, or is back

    def _take(self) -> list[_Given]:
        """Claim the answers that can be read; return them, and those that were claimed before."""
        self._require_in_place()
        entries = sorted(self._answers.entries())
        there = itertools.chain(entries, self._claimed.entries())
        self._keep_count({entry.name for entry in there})
        for entry in entries:
            if not _ANSWER.fullmatch(entry.name):
                self._turn_away(entry)
            elif not self._claimed.has(entry.name):
                self._claim(entry)
        claimed = [name for _, name in sorted(self._claimed.files()) if name not in self._failing]
        return [given for name in claimed if (given := self._given(name)) is not None]

    def _keep_count(self, names: Collection[str]) -> None:
        """Forget what somebody has taken away."""
        self._stuck.keep(names)
        for name in self._waiting.keys() - names:
            del self._waiting[name]

    def _turn_away(self, entry: FolderEntry) -> None:
        """Refuse what is named like no answer, unless it may still get its final name."""
        if not is_told(entry.name):
            return
        if not entry.is_regular:
            self._stuck.note(entry.name, Cause.IRREGULAR)
            return
        waited = self._monotonic() - self._waiting.setdefault(entry.name, self._monotonic())
        sort = sort_of(entry.name)
        if sort is Sort.UNFINISHED and waited >= _PATIENCE:
            self._stuck.note(entry.name, Cause.UNFINISHED)
        if sort is Sort.UNFINISHED or (sort is Sort.OTHER and waited < _PATIENCE):
            return
        document = documents.encode(documents.answer_refusal([_MISNAMED]))
        with (
            contextlib.suppress(FileNotFoundError),  # the EPR took it back
            self._unless_open_elsewhere(entry.name),
        ):
            self._lay_aside(self._answers, entry.name, document)

    def _claim(self, entry: FolderEntry) -> None:
        """Take what can be read: one that cannot would stand in the way of all others."""
        if not entry.is_regular:
            self._stuck.note(entry.name, Cause.IRREGULAR)
            return
        try:
            self._answers.read(entry.name, 0)
        except FileNotFoundError:  # the EPR took it back
            return
        except OSError as error:
            self._stuck.unreadable(entry.name, error)
            return
        with self._unless_open_elsewhere(entry.name):
            self._answers.move(entry.name, self._claimed, entry.name)
            self._stuck.taken(entry.name)

    @contextlib.contextmanager
    def _unless_open_elsewhere(self, name: str) -> Iterator[None]:
        """Let a file that another program has open lie until the next look: no other waits."""
        try:
            yield
        except OSError as error:
            if not is_open_elsewhere(error):
                raise
            self._stuck.note(name, Cause.OPEN_ELSEWHERE)

    def _given(self, name: str) -> _Given | None:
        match = _ANSWER.fullmatch(name)
        if match is None:
            return None
        try:
            body = self._claimed.read(name, self._answering.max_bytes).body
        except OSError as error:
            self._stuck.unreadable(name, error)
            return None
        too_much = b" " * (self._answering.max_bytes + 1)  # it is refused for its size
        media_type = "application/fhir+" + match[2].lower()
        return _Given(name, int(match[1]), media_type, too_much if body is None else body)

    async def _submit_or_refuse(self, given: _Given) -> None:
        """Take an answer in; one that causes an internal error is refused with that."""
        try:
            with self._unless_open_elsewhere(given.name):
                await self._submit(given)
        except (OSError, StoreUnavailable):
            raise
        except Exception as error:  # unit of work
            self._failing.add(given.name)  # where it cannot be refused either, it is left lying
            await self._tell(error, None)
            document = documents.encode(documents.answer_refusal([_FAILED]))
            with self._unless_open_elsewhere(given.name):
                await asyncio.to_thread(self._refuse, given, document)
            self._failing.discard(given.name)

    async def _tell(self, error: Exception, request_id: str | None) -> None:
        await self._asides.tell(
            Aside.ANSWER, error, self._now(), provider=self._provider, request_id=request_id
        )

    async def _submit(self, given: _Given) -> None:
        try:
            decided = await self._answering.answer(given.question_id, given.body, given.media_type)
        except AnswerRefused as refused:
            document = documents.encode(documents.answer_refusal(refused.issues))
            await asyncio.to_thread(self._refuse, given, document)
            return
        document = documents.encode(documents.decided(decided))
        await asyncio.to_thread(self._finish, given, document)

    def _finish(self, given: _Given, document: bytes) -> None:
        """Leave the receipt, and only then take the answer away."""
        self._leave(self._accepted, f"{given.stem}.decided.json", document)
        self._claimed.remove(given.name)
        self._claimed.sync()

    def _refuse(self, given: _Given, document: bytes) -> None:
        self._lay_aside(self._claimed, given.name, document)

    def _lay_aside(self, folder: Folder, name: str, document: bytes) -> None:
        """Put a file of *folder* among the refused, and the reason there before it."""
        stem, ending = split(kept(name))
        names = itertools.chain([stem], (f"{stem}.{number}" for number in itertools.count(2)))
        free = next(
            each
            for each in names
            if not self._refused.has(each + ending)
            and self._refused.may_write(f"{each}.reason.json", document)
        )
        reason = f"{free}.reason.json"
        if not self._refused.has(reason):  # else a look before could not move the file
            self._leave(self._refused, reason, document)
        folder.move(name, self._refused, free + ending)
        self._refused.sync()

    def _leave(self, folder: Folder, name: str, content: bytes) -> None:
        self._tmp.write(name, content)
        self._tmp.flush([name])
        self._tmp.move(name, folder, name)
        folder.sync()

    def _offer(
        self, open_ones: Mapping[int, Question], *, gives: bool
    ) -> list[tuple[Question, Exception]]:
        """Write what is new, and take away what is over; return what hit an internal error."""
        self._require_in_place()
        for _, name in list(self._new.files()):
            match = _WRITTEN.fullmatch(name)
            if match and int(match[1]) not in open_ones:
                self._take_away(name)
        failed: list[tuple[Question, Exception]] = []
        waiting: set[int] = set()  # another program has a file of it open: until the next look
        for number in sorted(open_ones.keys() - self._offered) if gives else ():
            try:
                for name, content in _files(open_ones[number]):
                    self._leave(self._new, name, content)
            except OSError as error:
                if not is_open_elsewhere(error):
                    raise
                waiting.add(number)
            except Exception as error:  # unit of work
                failed.append((open_ones[number], error))
        self._offered = open_ones.keys() - waiting if gives else self._offered & open_ones.keys()
        return failed

    def _take_away(self, name: str) -> None:
        """Remove a question that is over; one that the EPR has open may lie until the next look."""
        try:
            self._new.remove(name)
        except OSError as error:
            if not is_open_elsewhere(error):
                raise

    def _folder(self, name: str, mode: int) -> Folder:
        folder = Folder(self._root, name, mode)
        self._open.callback(folder.close)
        return folder

    def _complain(self, reason: str) -> None:
        if self.trouble is None:
            log.warning(
                "epr.folder_stalled",
                provider=self._provider,
                path=str(self._root.path),
                reason=reason,
                advice=f"{cure_of_stalled(reason)} Questions wait meanwhile.",
            )
        self.trouble = reason


def _files(question: Question) -> Sequence[tuple[str, bytes]]:
    """Return the files of one question; the EPR acts on the last."""
    number = f"{question.question_id:012d}"
    document = documents.encode(documents.question(question))
    asked = (f"{number}.question.json", document)
    if question.request is None:
        return [asked]
    extension = "xml" if "xml" in question.request.media_type else "json"
    return [(f"{number}.request.{extension}", question.request.body), asked]
