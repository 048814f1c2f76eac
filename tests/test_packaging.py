"""The packages that are handed out (D-debian): what can be seen of them without building them."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import debian
import pytest
import sbom
from pages import quoted

from bars_gateway.epr import contract
from bars_gateway.onboarding.doctor.checks import unit_in

ROOT = Path(__file__).parent.parent
PACKAGING = ROOT / "packaging"
DEBIAN = PACKAGING / "debian"
MAINTAINER_SCRIPTS = ("postinst", "postrm", "preinst", "prerm")
SCRIPTS = tuple(
    "deb deb-again deb-earlier deb-facts.sh deb-test deb-test-within deb-upgrade-within".split()
    + "fresh fresh-within matrix release suites.sh twice vm-image vm-prepare".split()
)


def ran(*command: str | Path) -> tuple[int, str]:
    """Return a command's exit code and everything that it says."""
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("name", MAINTAINER_SCRIPTS)
def test_a_maintainer_script_is_one_that_dash_can_read(name: str) -> None:
    """A slip in one leaves a package that can neither be installed nor removed."""
    assert (0, "") == ran("sh", "-n", DEBIAN / name)
    assert "set -e\n" in (DEBIAN / name).read_text("utf-8")


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_that_builds_is_one_that_bash_can_read(name: str) -> None:
    """They run outside the suite."""
    assert (0, "") == ran("bash", "-n", PACKAGING / name)


@pytest.mark.needs("shellcheck")
@pytest.mark.parametrize("name", [*(f"debian/{each}" for each in MAINTAINER_SCRIPTS), *SCRIPTS])
def test_a_script_has_none_of_the_known_traps(name: str) -> None:
    """They run as root, some of them on the operator's machine: shellcheck finds nothing."""
    assert (0, "") == ran(
        "shellcheck", "--severity=warning", "--external-sources", PACKAGING / name
    )


def a_clone(folder: Path) -> tuple[str, ...]:
    """Make one of a project that has had two releases, with a package of each; return its git."""
    git = ("git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@example.org")
    shutil.copytree(PACKAGING, folder / "packaging")
    assert (0, "") == ran(*git, "init", "-q")
    for version in ("0.9.0", "0.10.0"):
        kept = folder / "tests" / "upgrades" / version / "kept.json"
        package = folder / "build" / "earlier" / f"v{version}" / "dist" / f"{version}+deb12_all.deb"
        for file in (kept, package):
            file.parent.mkdir(parents=True)
            file.touch()
        assert (0, "") == ran(*git, "add", kept)
        assert (0, "") == ran(*git, "commit", "-q", "-m", f"release: {version}")
    return git


def earlier_packages(folder: Path, *last: str) -> list[str]:
    """Return the versions whose packages deb-earlier names, as it orders them; or its complaint."""
    code, said = ran("bash", folder / "packaging" / "deb-earlier", "bookworm", *last)
    assert code == 0
    return [Path(line).name.removesuffix("+deb12_all.deb") for line in said.splitlines()]


def test_an_upgrade_begins_with_each_release_in_a_clone_without_tags(tmp_path: Path) -> None:
    """The commit that made it says so, and whoever fetched no tags tries as much."""
    git = a_clone(tmp_path)
    assert (0, "") == ran(*git, "commit", "-q", "--allow-empty", "-m", "docs: say more")

    assert ["0.9.0", "0.10.0"] == earlier_packages(tmp_path)
    assert ["0.10.0"] == earlier_packages(tmp_path, "1")


def test_an_upgrade_begins_with_the_commit_that_has_the_tag(tmp_path: Path) -> None:
    """This one is the release itself by its words, and the tag says that it came before."""
    git = a_clone(tmp_path)
    assert ["0.9.0"] == earlier_packages(tmp_path)
    assert (0, "") == ran(*git, "tag", "v0.10.0", "HEAD^")

    assert ["0.9.0", "0.10.0"] == earlier_packages(tmp_path)


def test_where_nothing_was_released_it_is_said_aloud_that_no_upgrade_was_tried(
    tmp_path: Path,
) -> None:
    """And the rest of the trial counts."""
    git = a_clone(tmp_path)
    assert (0, "") == ran(*git, "checkout", "-q", "HEAD^")

    (told,) = earlier_packages(tmp_path)

    assert "NO UPGRADE WAS TRIED" in told


def checked(folder: Path, broken: str) -> tuple[int, bool]:
    """
    Let .ci/run check a commit whose `make` fails at *broken*; return how it ends, and its word.

    Its python3 is one that has nothing, as that of a machine without python3-dev has no Python.h.
    """
    git = ("git", "-C", folder, "-c", "user.name=a", "-c", "user.email=a@example.org")
    (folder / ".ci").mkdir()
    (folder / ".ci" / "tools").touch()
    (folder / ".gitignore").write_text("build\n", "utf-8")
    (folder / "Makefile").write_text(f"%:\n\t@test $@ != '{broken}'\n", "utf-8")
    (folder / "bin").mkdir()
    (folder / "bin" / "python3").symlink_to("/bin/false")
    run = folder / ".ci" / "run"
    run.write_bytes((ROOT / ".ci" / "run").read_bytes())
    for step in (("init", "-q"), ("add", "."), ("commit", "-q", "-m", "one")):
        assert (0, "") == ran(*git, *step)
    typed = f"cd {folder} && {quoted('CONTRIBUTING.md', 'bash .ci/run')}"
    code, _ = ran("env", f"PATH={folder}/bin:{os.environ['PATH']}", "bash", "-c", typed)
    _, commit = ran(*git, "rev-parse", "HEAD")
    passed = folder / "build" / "passed"
    return code, passed.exists() and passed.read_text("utf-8") == commit


def test_a_commit_has_passed_when_every_part_has(tmp_path: Path) -> None:
    """`make release-check` asks for that word."""
    assert (0, True) == checked(tmp_path, "")


@pytest.mark.parametrize("part", ["compiled", "docs", "test"])
def test_a_commit_with_a_part_that_fails_has_not_passed(tmp_path: Path, part: str) -> None:
    """Nor one with a part that could not be tried: that fails, too."""
    assert (2, False) == checked(tmp_path, part)


def test_a_purge_asks_about_every_folder_that_has_records() -> None:
    """Those of units and settings, and where upgrades put their copies; the page names each."""
    script = (DEBIAN / "postrm").read_text("utf-8")
    page = (ROOT / "docs" / "installing.md").read_text("utf-8")
    (kept,) = re.findall(r'^KEPT="(.*)"$', script, re.MULTILINE)
    unit = (ROOT / "systemd" / "bars-gateway.service").read_text("utf-8")
    (state,) = re.findall(r"^StateDirectory=(.*)$", unit, re.MULTILINE)
    (spool,) = re.findall(r"^ReadWritePaths=-(.*)$", unit, re.MULTILINE)
    (copies,) = re.findall(
        r"^BACKUP_DIR=(.*)$", (DEBIAN / "bars-gateway.default").read_text("utf-8"), re.MULTILINE
    )
    expected = {"/etc/bars-gateway", f"/var/lib/{state}", spool, copies}

    assert expected == {folder for folder in kept.split() if "*" not in folder}
    assert [] == [folder for folder in sorted(expected) if f"`{folder}`" not in page]


def test_a_link_on_a_page_of_the_package_leads_to_what_is_in_it(tmp_path: Path) -> None:
    """Pictures of the console, which a browser takes, are on the site alone: their words stay."""
    script = (PACKAGING / "deb").read_text("utf-8")
    (lays_out,) = re.findall(r"^lay_out_pages\(\) \{\n.*?^\}", script, re.DOTALL | re.MULTILINE)
    typed = f"set -eu; bin={ROOT}/.venv/bin; cd {ROOT}\n{lays_out}\nlay_out_pages {tmp_path}"
    assert (0, "") == ran("bash", "-c", typed)
    shipped = [tmp_path / name for name in (DEBIAN / "bars-gateway.docs").read_text().split()]
    there = {file for each in shipped for file in (each, *each.rglob("*"))}
    links = [
        (page, target)
        for page in sorted(each for each in there if each.suffix == ".md")
        for target in re.findall(r"\]\(([^)#\s]+)", page.read_text("utf-8"))
        if not target.startswith("https://")
    ]

    assert (tmp_path / "docs" / "http.md", "openapi.json") in links
    assert [] == [each for each in links if (each[0].parent / each[1]).resolve() not in there]
    assert "the most harmful first.)" in (tmp_path / "docs" / "console.md").read_text("utf-8")
    socket = json.loads((tmp_path / "docs" / "openapi.json").read_text("utf-8"))
    assert contract.described() == socket, "it is as open as what the socket itself answers"


def test_an_upgrade_begins_with_what_its_settings_say() -> None:
    """An installation without that file upgrades as one that has it unchanged."""
    settings = (DEBIAN / "bars-gateway.default").read_text("utf-8")
    defaults = re.findall(r"^[A-Z_]+=.*$", settings, re.MULTILINE)
    script = (DEBIAN / "preinst").read_text("utf-8").splitlines()

    assert 3 == len(defaults)
    assert [] == [line for line in defaults if line not in script]


def looked_at(folder: Path, store: str, backup: str) -> tuple[int, str]:
    """Let `preinst` look at a gateway with that `[store]`, before the upgrade of its package."""
    settings = folder / "gateway.toml"
    settings.write_text(
        f'environment = "int"\nstate_dir = "{folder}"\n[store]\n{store}\n'
        '[inbound]\nallowed_client_names = ["proxy.example.nhs.uk"]\n'
        '[providers.example-trust]\nods_code = "RAE"\nname = "Example NHS Trust"\n'
        'services = ["https://fhir.nhs.uk/Id/dos-service-id|2000099999"]\nkey_id = "int-1"\n'
        f'api_key = "key"\nprivate_key_file = "{folder}/int-1.pem"\nspool_dir = "{folder}"\n',
        "utf-8",
    )
    parts, _ = (DEBIAN / "preinst").read_text("utf-8").split('if [ "$1" = upgrade ]')
    parts = parts.replace("/opt/bars-gateway/bin/python", sys.executable)
    looks = f"""as_gateway() {{ "$@"; }}; BACKUP={backup}; look_at "$0" 1.0.0"""
    return ran("sh", "-c", f"{parts}\n{looks}", settings)


class Upgrade:
    """`preinst` on a machine of its own, whose services are the names in a file."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.stopped = folder, folder / "stopped"
        for name in ("systemd", "bin", "etc"):
            (folder / name).mkdir()
        os.mkfifo(folder / "copying")
        self._put("program", "")
        self._put(
            "systemctl",
            f"""case $1 in
        list-units) cat {folder}/active ;;
        stop) : >{folder}/active ;;
        start) shift; echo "$@" >>{folder}/started ;; esac""",
        )
        self._put("install", f"echo >{folder}/copying; exec sleep 60")  # then a copy would be made
        script = (DEBIAN / "preinst").read_text("utf-8")
        for path, own in {
            "/opt/bars-gateway/bin/bars-gateway": "bin/program",
            "/run/bars-gateway.stopped": "stopped",
            "/run/systemd/system": "systemd",
            "/etc/bars-gateway/*": "etc/*",
            "/etc/default/bars-gateway": "default",
        }.items():
            script = script.replace(path, f"{folder}/{own}")
        self._put("preinst", script)

    def _put(self, name: str, text: str) -> None:
        file = self.folder / "bin" / name
        file.write_text(text if text.startswith("#!") else f"#!/bin/sh\n{text}\n", "utf-8")
        file.chmod(0o755)

    def running(self, *units: str) -> None:
        (self.folder / "active").write_text("".join(f"{unit} loaded active\n" for unit in units))

    def killed(self, by: signal.Signals) -> None:
        """Begin, and end all of it while the copy is made."""
        path = f"{self.folder}/bin:{os.environ['PATH']}"
        command = [self.folder / "bin" / "preinst", "upgrade", "1.0.0"]
        with subprocess.Popen(command, env={"PATH": path}, start_new_session=True) as process:
            (self.folder / "copying").read_bytes()
            os.killpg(process.pid, by)


@pytest.fixture
def upgrade(tmp_path: Path) -> Upgrade:
    return Upgrade(tmp_path)


def test_an_upgrade_whose_terminal_goes_away_starts_what_it_has_stopped(upgrade: Upgrade) -> None:
    """A connection breaks off while a large database is copied, and nothing is sent any more."""
    upgrade.running("bars-gateway.service")
    upgrade.killed(signal.SIGHUP)

    assert "bars-gateway.service" in (upgrade.folder / "started").read_text()
    assert not upgrade.stopped.exists()


def test_an_upgrade_after_one_that_was_killed_still_knows_what_that_has_stopped(
    upgrade: Upgrade,
) -> None:
    """Nothing runs by then: what stands in the list alone says what is to be started at the end."""
    upgrade.running("bars-gateway.service", "bars-gateway@north.service")
    upgrade.killed(signal.SIGKILL)
    upgrade.running()
    upgrade.killed(signal.SIGKILL)

    assert ["bars-gateway.service", "bars-gateway@north.service"] == (
        upgrade.stopped.read_text().splitlines()
    )


def test_the_package_says_how_a_server_is_backed_up_before_an_upgrade(tmp_path: Path) -> None:
    """It has no copy to go back to, and cannot make one."""
    code, said = looked_at(
        tmp_path,
        'url = "postgresql://db.example/bars?sslmode=verify-full&sslrootcert=/ca.pem"',
        "yes",
    )

    assert 1 == code
    assert "names a database server" in said
    assert "pg_dump" in said
    assert "BACKUP=no" in said


@pytest.mark.parametrize(
    "store", ['url = "postgresql://db.example/bars?sslmode=verify-full&sslrootcert=/ca.pem"', ""]
)
def test_an_upgrade_without_a_backup_goes_on(tmp_path: Path, store: str) -> None:
    """Whoever says that there is one elsewhere is believed; a file that is not there needs none."""
    assert (0, "") == looked_at(tmp_path, store, "no")


def test_the_lock_of_the_package_has_what_a_gateway_runs_with(tmp_path: Path) -> None:
    """With the hashes of requirements.lock; nothing that only builds it, and its own wheel."""
    wheel = tmp_path / "a.whl"
    wheel.write_bytes(b"")
    lines = "\n".join(debian.lock(wheel))
    names = set(re.findall(r"^([a-z0-9._-]+)==", lines, re.MULTILINE))
    whole = {each.name: each.hashes for each in sbom.locked()}

    assert {"aiohttp", "uvloop", sbom.NAME} <= names
    assert not names & {"hatchling", "pip", "pytest"}
    assert [] == [
        digest
        for name in sorted(names - {sbom.NAME})
        for digest in whole[name]
        if digest not in lines
    ]


def test_the_licence_of_each_part_can_be_read_in_the_package() -> None:
    """Each has its text beside it, or is a part of a package that has."""
    without = {each.name for each in debian.runs_with() if not debian.texts_of(each.name)}

    assert set() == without


def test_the_manual_tells_of_every_command(tmp_path: Path) -> None:
    """One page for each, printed from the code, and every line of it plain text to man."""
    manual, settings = DEBIAN / "manual.py", ROOT / "config" / "bars-gateway.toml"
    code, said = ran(ROOT / ".venv" / "bin" / "python", manual, tmp_path, settings)
    pages = {page.name for page in tmp_path.iterdir()}
    instructions = {
        line.split()[0]
        for page in tmp_path.iterdir()
        for line in page.read_text("utf-8").splitlines()
        if line.startswith((".", "'"))
    }

    assert (0, "") == (code, said)
    assert {"bars-gateway.1", "bars-gateway-backup.1", "bars-gateway.toml.5"} <= pages
    assert {".TH", ".SH", ".SS", ".B", ".BR", ".TP", ".PP", ".nf", ".fi"} == instructions


def test_a_wheel_built_twice_has_the_same_bytes(tmp_path: Path) -> None:
    """From two folders, under two umasks: whoever builds a release can compare."""
    found = []
    for umask in (0o022, 0o077):
        folder = tmp_path / str(umask)
        before = os.umask(umask)
        try:
            code, said = ran(
                ROOT / ".venv/bin/python", "-m", "hatchling", "build", "-t", "wheel", "-d", folder
            )
        finally:
            os.umask(before)
        assert 0 == code, said
        found += [file.read_bytes() for file in folder.iterdir()]

    assert 2 == len(found)
    assert found[0] == found[1]


def test_the_unit_of_the_operator_is_looked_at_before_that_of_the_package(tmp_path: Path) -> None:
    """As systemd does; where there is none, the first place is named."""
    own, package = tmp_path / "etc", tmp_path / "usr"
    package.mkdir()
    (package / "bars-gateway.service").touch()
    of_the_package = unit_in(str(own), str(package))
    own.mkdir()
    (own / "bars-gateway.service").touch()

    assert package == of_the_package.parent
    assert own == unit_in(str(own), str(package)).parent
    assert own == unit_in(str(own)).parent
