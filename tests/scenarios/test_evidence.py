"""`bars-gateway evidence`, as whoever prepares the assurance runs it: one export, looked at."""

import asyncio
import fcntl
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
from messages import FAMILY, GIVEN, NHS_NUMBER, referral
from pages import block
from typed import Done, typed
from world import eventually, headers, post, world_in

from bars_gateway.evidence import export as export_module
from bars_gateway.evidence import screenshots
from bars_gateway.evidence.export import is_there
from bars_gateway.evidence.figures import counted_in, figures_of_database, figures_of_run
from bars_gateway.evidence.gaps import gaps_of
from bars_gateway.evidence.pieces import PIECES, SCENES
from bars_gateway.sandbox.registry import Authority
from bars_gateway.standard.requirements import statements

API_KEY = "canary-of-an-api-key"
LIST_OF_PARTS = b'{"bomFormat": "CycloneDX"}'
# What stands in the messages of a run, about people who do not exist.
PLANTED = [FAMILY, GIVEN, NHS_NUMBER, "1 Invented Row", "1951-02-28"]
EXCHANGES = "exchanges/"


@dataclass(frozen=True)
class Export:
    """One export, and the installation that it tells of."""

    folder: Path
    config: Path
    printed: str
    code: int

    def document(self, name: str) -> Any:
        return json.loads((self.folder / name).read_bytes())

    def files(self) -> dict[str, Path]:
        found = (file for file in self.folder.rglob("*") if file.is_file())
        return {file.relative_to(self.folder).as_posix(): file for file in found}

    def scene(self, name: str) -> list[bytes]:
        """Return the files of a scene: each request, then its answer."""
        return [file.read_bytes() for file in sorted((self.folder / EXCHANGES / name).iterdir())]


def installation(folder: Path) -> Path:
    """Write the settings of an installation with certificates and an API key, and no gateway."""
    now = datetime.now(UTC)
    authority = Authority.at(folder / "authorities", "receivers", now)
    authority.issue(folder, "server", "gateway.trust.example", "server", now)
    config = folder / "bars-gateway.toml"
    config.write_text(
        f"""\
environment = "local"
state_dir = "{folder}/state"
[providers.trust]
ods_code = "ZX901"
name = "Northshire General Hospital"
services = ["https://fhir.nhs.uk/Id/dos-service-id|2000000101"]
key_id = "trust-sandbox-1"
api_key = "{API_KEY}"
private_key_file = "{folder}/server.key"
spool_dir = "{folder}/spool"
[outbound]
token_url = "https://127.0.0.1:8440/oauth2/token"
proxy_url = "https://127.0.0.1:8440/booking-and-referral/FHIR/R4"
ca_file = "{folder}/missing.pem"
[inbound]
listen = "127.0.0.1:8443"
certificate_file = "{folder}/server.pem"
private_key_file = "{folder}/server.key"
client_ca_file = "{authority.file}"
allowed_client_names = ["bars-proxy.sandbox.local"]
[status]
listen = "127.0.0.1:1"
""",
        "utf-8",
    )
    return config


def on_page(name: str, folder: Path) -> list[str]:
    """Return what `docs/conformance.md` has its reader type, of *folder*, behind `bars-gateway`."""
    text = block("conformance.md", "evidence export DIR") + block("conformance.md", "gaps DIR")
    (line,) = [line for line in text.splitlines() if f"evidence {name} " in line]
    typed_there = shlex.split(line, comments=True)[1:]
    return [str(folder) if word == "DIR" else word for word in typed_there]


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "bars_gateway", *map(str, arguments)]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Export:
    folder = tmp_path_factory.mktemp("evidence")
    config, parts = installation(folder), folder / "parts.cdx.json"
    parts.write_bytes(LIST_OF_PARTS)
    made = folder / "made"
    made.mkdir()  # an empty folder will do
    done = subprocess.run(
        command(*on_page("export", made), "--config", config, "--attach", parts),
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.stderr, done.stderr
    return Export(made, config, done.stdout, done.returncode)


def test_every_scene_got_the_answers_that_it_must(exported: Export) -> None:
    """Each request and each answer is a file, and no scene is without."""
    scenes = exported.document("summary.json")["scenes"]

    assert list(SCENES) == [each["name"] for each in scenes]
    assert {} == {each["name"]: each["missing"] for each in scenes if each["missing"]}
    assert {} == {s["name"]: s for s in scenes if len(s["files"]) != 2 * len(s["answers"])}
    assert [] == [name for s in scenes for name in s["files"] if name not in exported.files()]


def test_all_but_pictures_is_there_on_any_machine(exported: Export) -> None:
    """Those need a Chromium; the exit code says whether anything is missing."""
    there = set(exported.document("summary.json")["pieces"])
    pictures = set(screenshots.PAGES)

    assert PIECES.keys() - pictures <= there
    assert (there >= pictures) == (exported.code == 0)


@pytest.mark.needs("chromium")
def test_the_console_is_photographed(exported: Export) -> None:
    """The pictures are pictures."""
    pages = [exported.folder / PIECES[name].file for name in screenshots.PAGES]

    assert [b"\x89PNG"] * len(pages) == [page.read_bytes()[:4] for page in pages]


def test_each_statement_leads_to_what_shows_it(exported: Export) -> None:
    """No link of the page leads nowhere, and every statement and scene stands in it."""
    page = (exported.folder / "index.html").read_text("utf-8")
    places = set(re.findall(r' id="([^"]+)"', page))
    links = re.findall(r'href="([^"]+)"', page)
    lost = [
        link
        for link in links
        if (link[1:] not in places if link.startswith("#") else link not in exported.files())
    ]

    assert [] == lost
    assert {each.number for each in statements()} | SCENES.keys() <= places


def test_a_retry_is_the_same_request(exported: Export) -> None:
    """What the export shows of CS-055: everything but the answer is as it was."""
    first, _, second, _ = exported.scene("send-after-503")

    assert first == second


@dataclass(frozen=True)
class Pair:
    """A request with its answer, as files hold them."""

    scene: str
    line: str
    asked: dict[str, str]  # headers, names in lower case
    status: str
    answered: dict[str, str]
    said: str


def pairs(exported: Export) -> Iterator[Pair]:
    """Yield every exchange that was answered."""
    for scene in SCENES:
        files = exported.scene(scene)
        for request, response in zip(files[::2], files[1::2], strict=True):
            (line, asked), (status, answered) = map(head, (request, response))
            if status.startswith("HTTP"):
                said = response.partition(b"\n\n")[2].decode()
                yield Pair(scene, line, asked, status.split()[1], answered, said)


def head(file: bytes) -> tuple[str, dict[str, str]]:
    first, *lines = file.partition(b"\n\n")[0].decode().split("\n")
    fields = (line.partition(": ") for line in lines)
    return first, {name.lower(): value for name, _, value in fields}


IDS = ("x-request-id", "x-correlation-id")
PROXY = "/booking-and-referral/"  # what a Sender asks; the Receiver has a base of its own


def is_uuid(text: str) -> bool:
    return bool(re.fullmatch(r"[0-9a-f-]{36}", text))


def test_what_a_sender_asks_of_the_proxy_has_the_headers_of_the_guide(exported: Export) -> None:
    """What the export shows of CS-001 to CS-020: each request, and not one that was picked."""
    asked = [pair for pair in pairs(exported) if PROXY in pair.line]
    messages = [pair for pair in asked if pair.line.startswith("POST")]
    wanted = {*IDS, "nhsd-target-identifier", "authorization", "nhsd-end-user-organisation"}
    wanted |= {"nhsd-requesting-software", "accept"}

    assert len(messages) > len(SCENES) / 3
    assert [] == [p for p in asked if not wanted <= p.asked.keys()]
    assert [] == [p for p in asked if not all(is_uuid(p.asked[name]) for name in IDS)]
    assert [] == [p for p in asked if "version=" not in p.asked["accept"]]
    assert [] == [p for p in messages if 3 != p.asked["use-context"].count("|")]


def test_what_a_receiver_answers_is_the_guides(exported: Export) -> None:
    """The ids again where there were any (CS-017), and errors with a code of REC_ (CS-188)."""
    answered = [pair for pair in pairs(exported) if " /FHIR/R4/" in pair.line]
    errors = [pair for pair in answered if pair.status[0] in "45"]
    with_ids = [pair for pair in answered if all(is_uuid(pair.asked.get(i, "")) for i in IDS)]
    unknown = "receive-no-http"  # nothing of it could be read

    assert len(errors) > len(SCENES) / 3
    assert [] == [p for p in errors if not re.search(r'"code":"REC_[A-Z_]+"', p.said)]
    assert [] == [
        pair
        for pair in with_ids
        if pair.scene != unknown and any(pair.asked[i] != pair.answered.get(i) for i in IDS)
    ]


def test_what_follows_a_request_stays_in_its_conversation(exported: Export) -> None:
    """An update, a cancellation and the responses (CS-056, CS-057): new ids, one conversation."""
    for scene in ("send-update", "send-cancellation", "send-responses", "send-booking"):
        sent = [p.asked for p in pairs(exported) if p.scene == scene and p.line.startswith("POST")]
        messages = [asked for asked in sent if "use-context" in asked]

        assert len(messages) == len({asked["x-request-id"] for asked in messages}) > 1
        assert 1 == len({asked["x-correlation-id"] for asked in messages})


def test_no_key_or_token_is_in_an_export(exported: Export) -> None:
    """Not of the run, and not of the installation: neither as it is nor in its files."""
    key = (exported.config.parent / "server.key").read_text("utf-8").splitlines()[1]
    bearer = re.compile(rb"Bearer \S|eyJ[\w-]+\.eyJ|PRIVATE KEY|" + API_KEY.encode())
    found = [name for name, file in exported.files().items() if bearer.search(file.read_bytes())]
    found += [name for name, f in exported.files().items() if key.encode() in f.read_bytes()]

    assert [] == found
    assert b"Authorization: (not shown)" in exported.scene("send-first-message")[-2]


def test_patient_data_stands_in_the_exchanges_alone(exported: Export) -> None:
    """In the manifest never; nor in names of files, logs, figures, notices and pages."""
    texts = {
        name: file.read_bytes().decode("utf-8", "replace")
        for name, file in exported.files().items()
        if not name.startswith(EXCHANGES) and not name.endswith(".png")
    }
    shown = "".join(map(bytes.decode, exported.scene("receive-referral")))
    names = "\n".join(exported.files())

    assert set() == {each for each in PLANTED if each not in shown}
    assert [] == [(n, each) for n, text in texts.items() for each in PLANTED if each in text]
    assert [] == [each for each in PLANTED if each in names]


def test_the_installation_is_told_without_its_secrets(exported: Export) -> None:
    """Names of certificates, settings and versions; what cannot be read is said."""
    certificates = exported.document("certificates.json")
    own = [each for each in certificates if each["setting"] == "inbound.certificate_file"]
    lost = [each for each in certificates if each["setting"] == "outbound.ca_file"]
    settings = (exported.folder / "configuration.txt").read_text("utf-8")

    assert "CN=gateway.trust.example" == own[0]["subject"]
    assert "missing.pem cannot be read" in lost[0]["problem"]
    assert "providers.trust.api_key = (set, not shown)" in settings
    assert {"python", "openssl", "sqlite"} < exported.document("versions.json").keys()
    assert "cryptography" in exported.document("versions.json")["packages"]


def test_the_audit_trail_of_the_run_is_there(exported: Export) -> None:
    """What was taken, refused and sent, by its id."""
    lines = (exported.folder / PIECES["audit"].file).read_text("utf-8").splitlines()
    kinds = {json.loads(line)["kind"] for line in lines}

    assert {"message.acknowledged", "message.refused"} <= kinds


def test_a_manifest_finds_what_was_changed(exported: Export) -> None:
    """A bit, a file that is gone, and one that was added; put back, all is well."""
    folder = exported.folder
    index, versions = folder / "index.html", folder / "versions.json"
    kept, gone = index.read_bytes(), versions.read_bytes()
    index.write_bytes(bytes([kept[0] ^ 1]) + kept[1:])
    versions.unlink()
    (folder / "more.txt").write_text("more", "utf-8")
    spoilt = typed("evidence", "verify", folder)
    index.write_bytes(kept)
    versions.write_bytes(gone)
    (folder / "more.txt").unlink()
    whole = typed(*on_page("verify", folder))

    assert 1 == spoilt.code
    assert [
        "error: index.html is not what was exported",
        "error: more.txt was not exported",
        "error: versions.json is missing",
    ] == sorted(spoilt.err.splitlines())
    assert 0 == whole.code
    assert whole.out.split()[-1] in exported.printed


def test_what_was_attached_is_part_of_it(exported: Export) -> None:
    """A list of parts, or the toolkit's reports: with the manifest's hash, and on the page."""
    listed = {each["path"] for each in exported.document("manifest.json")["files"]}
    page = (exported.folder / "index.html").read_text("utf-8")

    assert LIST_OF_PARTS == (exported.folder / "attached/parts.cdx.json").read_bytes()
    assert "attached/parts.cdx.json" in listed
    assert 'href="attached/parts.cdx.json"' in page


def test_the_gaps_are_what_is_not_done_and_what_a_person_must_answer(exported: Export) -> None:
    """Known ones end with 1; 0 would say that nobody has anything left to do."""
    found = typed(*on_page("gaps", exported.folder), "--json")
    kinds = {json.loads(line)["kind"] for line in found.out.splitlines()}
    lacking = list(gaps_of({*SCENES, *exported.document("summary.json")["pieces"]}))

    assert (2 if lacking else 1) == found.code
    assert {"statement", "question"} <= kinds
    assert bool(lacking) == ("evidence" in kinds)


def gaps_without(exported: Export, scene: str, folder: Path) -> Done:
    """Return what is missing where *scene* did not get its answers."""
    summary = exported.document("summary.json")
    for each in summary["scenes"]:
        if each["name"] == scene:
            each["missing"] = ["200"]
    (folder / "summary.json").write_text(json.dumps(summary), "utf-8")
    return typed("evidence", "gaps", folder)


def test_a_scene_that_went_otherwise_is_a_gap(exported: Export, tmp_path: Path) -> None:
    """It names the statements that rest on it, and ends with 2."""
    found = gaps_without(exported, "receive-without-ids", tmp_path)

    assert 2 == found.code
    assert re.search(r"evidence +receive-without-ids .* needed for CS-060", found.out)


async def test_the_figures_of_an_installation_are_counts(tmp_path: Path) -> None:
    """Of a database with messages, and of the gateway that runs: nothing of them is told."""
    async with world_in(tmp_path) as world:
        await post(world, referral(), headers())
        counts = await figures_of_database(world.hospital.settings(), datetime.now(UTC))
    text = json.dumps(counts)

    assert (0, 1) == (counts["sent_in_24_hours"], counts["received_in_24_hours"])
    assert [] == [each for each in PLANTED if each in text]


def test_percentiles_are_read_of_the_classes_that_are_counted(exported: Export) -> None:
    """The upper end of the class: what is told is never less than it was."""
    metrics = (exported.folder / PIECES["metrics"].file).read_text("utf-8")
    times = counted_in(metrics)["requests of others, answered by the gateway"]
    found = [times[f"p{share}_at_most_ms"] for share in (50, 90, 99)]  # type: ignore[index]

    assert sorted(found) == found
    assert times["answers"] > len(SCENES) / 2  # type: ignore[index]


def test_what_a_question_rests_on_is_a_gap_as_well() -> None:
    """It is told for which items of the self-assessment it is needed."""
    lacking = list(gaps_of(SCENES.keys() | PIECES.keys() - {"certificates"}))

    assert [("certificates", "needed for certificates")] == [(g.name, g.why) for g in lacking]


def test_reasons_why_a_certificate_cannot_be_read_are_no_evidence(tmp_path: Path) -> None:
    """An export whose file has nothing else does not count as having it."""
    file = tmp_path / PIECES["certificates"].file
    file.write_text('[{"problem": "it cannot be read"}]', "utf-8")
    before = is_there("certificates", tmp_path)
    file.write_text('[{"problem": "it cannot be read"}, {"subject": "CN=a"}]', "utf-8")

    assert (False, True) == (before, is_there("certificates", tmp_path))


def test_the_figures_leave_out_where_waiting_was_the_point() -> None:
    """No answer at all: no percentile is made up."""
    assert {"answers": 0} == next(iter(figures_of_run([]).values()))


@pytest.mark.parametrize("there", ["a file", "a folder with a file"])
def test_nothing_is_written_over(tmp_path: Path, there: str) -> None:
    """It is refused before anything is started, and what is there stays."""
    made, config = tmp_path / "made", installation(tmp_path)
    if there == "a file":
        made.write_text("kept", "utf-8")
    else:
        made.mkdir()
        (made / "kept").write_text("kept", "utf-8")
    before = sorted(tmp_path.rglob("*"))
    done = typed("evidence", "export", made, "--config", config)

    assert 1 == done.code
    assert "error: " in done.err
    assert before == sorted(tmp_path.rglob("*"))


def test_what_is_no_export_is_not_verified(tmp_path: Path) -> None:
    """The error says what it should have been."""
    verified, gaps = typed("evidence", "verify", tmp_path), typed("evidence", "gaps", tmp_path)

    assert (1, 1) == (verified.code, gaps.code)
    assert "manifest.json cannot be read" in verified.err
    assert "summary.json cannot be read" in gaps.err


async def test_an_export_that_is_killed_leaves_no_folder_and_no_gateway(tmp_path: Path) -> None:
    """DIR appears at one moment; the gateway that was started ends by itself."""
    config, scratch = installation(tmp_path), tmp_path / "t"
    scratch.mkdir()
    words = command(*on_page("export", tmp_path / "made"), "--config", config)
    running = await asyncio.create_subprocess_exec(*words, env={"TMPDIR": str(scratch)})
    started = await eventually(lambda: gateways_below(scratch))
    running.kill()
    await running.wait()
    await eventually(lambda: not gateways_below(scratch))

    assert 1 == len(started)
    assert not (tmp_path / "made").exists()


def gateways_below(folder: Path) -> list[int]:
    """Return the processes of this machine that run with settings below *folder*."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (process / "cmdline").read_bytes().split(b"\0")
            if b"run" in words and any(word.startswith(bytes(folder)) for word in words):
                found.append(int(process.name))
    return found


async def test_what_a_killed_export_left_behind_is_removed_by_the_next(tmp_path: Path) -> None:
    """Of the same folder, and where nobody writes into it; whatever else lies there stays."""
    folder = tmp_path / "made"
    left, busy = (Path(mkdtemp(prefix=".made.", dir=tmp_path)) for _ in range(2))
    (left / "messages").mkdir()
    others = [tmp_path / name for name in (".made.txt", ".made.by-hand", ".mad.abcdefgh")]
    for each in others:
        each.mkdir(0o700)
    held = os.open(busy, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    half, gone = export_module._begun(folder)
    os.close(held)

    assert ([left], False) == (list(gone), left.exists())
    assert all(each.exists() for each in (busy, half, *others))


async def test_the_folder_of_a_run_that_was_killed_is_removed_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Among the temporary folders, whichever DIR it was for; unless it runs."""
    temporary = tmp_path / "t"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    left, busy = (Path(mkdtemp(prefix="bars-gateway-export-")) for _ in range(2))
    (left / "sandbox").mkdir()
    other = Path(mkdtemp(prefix="bars-gateway-demo-"))
    with export_module._locked(busy):
        _, gone = export_module._begun(tmp_path / "made")

    assert [left] == list(gone)
    assert sorted((busy, other)) == sorted(temporary.iterdir())


async def test_an_export_that_is_told_to_stop_leaves_nothing(tmp_path: Path) -> None:
    """Neither a folder that is half full, nor a gateway that runs on."""
    config, scratch = installation(tmp_path), tmp_path / "t"
    scratch.mkdir()
    before = sorted(tmp_path.iterdir())
    words = command(*on_page("export", tmp_path / "made"), "--config", config)
    running = await asyncio.create_subprocess_exec(
        *words, env={"TMPDIR": str(scratch)}, stderr=subprocess.PIPE
    )
    await eventually(lambda: gateways_below(scratch))
    running.terminate()
    _, said = await running.communicate()

    assert (1, b"Stopped: nothing was exported.\n") == (running.returncode, said)
    assert before == sorted(tmp_path.iterdir())
    assert [] == list(scratch.iterdir())
    await eventually(lambda: not gateways_below(scratch))
