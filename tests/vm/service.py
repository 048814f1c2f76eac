"""
What systemd makes of the package and its unit, in a machine of its own; each fact is printed.

    install ─► init ─► start ─► reload ─► credentials ─► hardening ─► a process that stands still
            ─► stop under load ─► the same disk, for power_cuts
"""

import asyncio
import re
import shutil
import struct
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from facts import Facts
from forbidden import BECOMES_ROOT, OLD_PROGRAM, probes
from machine import Machine
from scene import NATIONAL, Scene, go_through, scene, shown_at

MOST_EXPOSED = 1.3
UNIT = "bars-gateway.service"
INIT = (
    f"--environment local --sandbox {NATIONAL} --ods-code ZX901 --name trust"
    " --service 2000000101 --api-key trust-sandbox-api-key --fqdn gateway.trust.example"
    " --listen 0.0.0.0:8443 --key-bits 2048 --epr socket"
)
_READY = "curl -s -o /dev/null -w %{http_code} http://127.0.0.1:8480/readyz"
_PYTHON = "/opt/bars-gateway/bin/python"
# Root is root already, sees the processes of root, and may not write what is another's.
_AS_ITS_USER = ("may", "NoNewPrivileges", "ProtectProc")
_PREPARED = (
    "systemctl daemon-reload; mkdir -p /srv/open /var/spool/bars-gateway/probes /home/epr;"
    " chmod 1777 /srv/open /var/spool/bars-gateway/probes; echo 1 >/home/epr/open;"
    " chmod 755 /home/epr; chmod 2751 /var/spool/bars-gateway; echo 1 >/tmp/open;"
    f" install -m 4755 /usr/bin/id {BECOMES_ROOT}; chmod 755 {OLD_PROGRAM};"
    f" {_PYTHON} -c 'import ctypes; print(ctypes.CDLL(None).shmget(0x62617273, 4096, 0o1666))'"
)
_KEY = "Trust-LOCAL-1.pem"
_CREDENTIAL = f"/run/credentials/{UNIT}/{_KEY}"


async def shown(machine: Machine, *properties: str) -> dict[str, str]:
    """Return what systemd says of the unit."""
    names = ",".join(properties)
    done = await machine.run(f"systemctl show {UNIT} -p {names}")
    return dict(line.split("=", 1) for line in done.said.splitlines())


async def is_ready(machine: Machine) -> bool:
    """Tell whether it says that it is ready."""
    return (await machine.run(_READY)).said == "200"


async def installed(scene: Scene, facts: Facts, package: str = "this") -> None:
    """Install that package, and give it what it needs to start."""
    said = await facts.ran(
        "Debian runs, with systemd as its first process",
        ". /etc/os-release;"
        ' echo "$PRETTY_NAME, kernel $(uname -r), $(systemctl --version | head -n 1)"',
    )
    facts.note(said)
    await facts.ran(
        "the package installs, without a network", f"dpkg --install /root/trial/{package}.deb", 1200
    )
    await scene.furnish()
    await facts.ran("init writes settings, keys and folders", f"bars-gateway init {INIT}", 600)
    await registered(scene)


async def registered(scene: Scene) -> None:
    """Let the national side know its key, and give it a certificate."""
    jwks = (await scene.machine.run("cat /etc/bars-gateway/keys/*.jwks.json")).said
    (scene.national / "gateways" / "trust" / "jwks.json").write_text(jwks, "utf-8")
    await put_certificate(scene, "server")


async def put_certificate(scene: Scene, stem: str) -> None:
    """Put a certificate and its key where the settings name them, as an operator would."""
    folder, at = scene.national / "gateways" / "trust", "/etc/bars-gateway/tls"
    await scene.machine.put(
        {
            "/root/new/key.pem": (folder / f"{stem}.key").read_bytes(),
            "/root/new/certificate.pem": (folder / f"{stem}.pem").read_bytes(),
        }
    )
    done = await scene.machine.run(
        f"install -o bars-gateway -m 600 /root/new/key.pem {at}/key.pem &&"
        f" install -o bars-gateway -m 644 /root/new/certificate.pem {at}/certificate.pem"
    )
    assert done.code == 0, done.said


async def started(scene: Scene, facts: Facts) -> None:
    """Start it, and see when `systemctl start` returns."""
    machine = scene.machine
    await facts.ran("it is enabled", f"systemctl enable {UNIT}")
    seen = await facts.ran(
        "systemctl start returns",
        f"systemctl start --no-block {UNIT}; for _ in $(seq 100); do"
        f" [ $(systemctl is-active {UNIT}) = inactive ] || break; sleep 0.1; done;"
        f" echo before: $(systemctl is-active {UNIT}) $({_READY});"
        f" systemctl start {UNIT} && echo after: $(systemctl is-active {UNIT}) $({_READY})",
        600,
    )
    before = "before: activating 000"
    facts.require(f"{before}: it is not ready", before in seen, seen)
    after = "after: active 200"
    facts.require(f"{after}: it is, and says so to systemd (Type=notify)", after in seen, seen)
    is_now = await shown(machine, "ActiveState", "Type", "StatusText", "User", "MemoryCurrent")
    facts.note(str(is_now))


async def reloaded(scene: Scene, facts: Facts) -> None:
    """Give it a new certificate while a connection is open."""
    tls, gateways = scene.as_proxy(), scene.national / "gateways"
    before = await asyncio.to_thread(shown_at, scene.receiving, tls)
    receivers = scene.sandbox.registry._receivers
    receivers.issue(gateways / "trust", "next", "trust.sandbox.local", "server", datetime.now(UTC))
    traffic = scene.traffic(1.0)
    async with traffic.sender.session() as session:
        await traffic.sender.send_one(session)
        await put_certificate(scene, "next")
        await facts.ran("systemctl reload takes a new certificate", f"systemctl reload {UNIT}")

        async def is_new() -> bool:
            return await asyncio.to_thread(shown_at, scene.receiving, tls) != before

        await facts.becomes("a new connection is shown it", is_new)
        await traffic.sender.send_one(session)
        facts.require(
            "the connection that was open goes on, with a message",
            traffic.sender.connections == 1,
            traffic.sender.connections,
        )


async def sends(scene: Scene, facts: Facts, fact: str) -> None:
    """Have it send one message, for which it needs its key: the token is signed with it."""
    traffic = scene.traffic(1.0)
    collecting = asyncio.create_task(traffic.epr.collect())
    await traffic.epr.submit_one()
    await traffic.all_told(300)
    collecting.cancel()
    facts.require(fact, not any(traffic.missing()) and not traffic.epr.oddities, traffic.epr)


async def with_credentials(scene: Scene, facts: Facts) -> None:
    """Hand the key over as a credential: first as it is, then encrypted."""
    machine, keys = scene.machine, "/etc/bars-gateway/keys"
    dropin = f"/etc/systemd/system/{UNIT}.d/key.conf"
    moved = (
        f"install -d -m 700 /root/keys && mv {keys}/{_KEY} /root/keys/ && chown root: /root/keys/*"
        f' && sed -i \'s|^private_key_file = .*{_KEY}"|private_key_file = "{_CREDENTIAL}"|\''
        " /etc/bars-gateway/bars-gateway.toml"
    )
    assert (await machine.run(moved)).code == 0
    plain = f"[Service]\nLoadCredential={_KEY}:/root/keys/{_KEY}\n"
    await machine.put({dropin: plain.encode()})
    again = f"systemctl daemon-reload && systemctl restart {UNIT}"
    await facts.ran("it starts with its key by LoadCredential=", again, 600)
    await sends(scene, facts, "and signs with it")
    done = await machine.run(f"stat -c '%a %U %s' {_CREDENTIAL}; ls -ld {keys} /root/keys/{_KEY}")
    facts.note(f"the key there: {done.said.splitlines()[0]}")
    for who in ("", "runuser -u bars-gateway -- "):
        command = f"{who}bars-gateway check"
        await facts.ran(f"`{command}` finds it there, and nothing wrong", command)
    assert (await machine.run(f"echo '# tried' >>{dropin}")).code == 0
    store = f"/etc/credstore.encrypted/{_KEY}"
    await facts.ran(
        "systemd-creds encrypts it with the machine's own key",
        f"mkdir -p -m 700 /etc/credstore.encrypted && systemd-creds setup && "
        f"systemd-creds encrypt --with-key=host --name={_KEY} /root/keys/{_KEY} {store} &&"
        f" ! grep -q PRIVATE {store} && mv /root/keys/{_KEY} /root/keys/aside",
    )
    encrypted = f"[Service]\nLoadCredentialEncrypted={_KEY}:{store}\n"
    await machine.put({dropin: encrypted.encode()})
    await facts.ran("it starts with its key by LoadCredentialEncrypted=", again, 600)
    await sends(scene, facts, "and signs with that")
    wrong = await machine.run(
        f"mv {store} {store}.x; systemd-creds encrypt --with-key=host --name=other /root/keys/aside"
        f" {store}; timeout 60 systemctl restart {UNIT}; echo $?; mv {store}.x {store};"
        f" journalctl -b -u {UNIT} -n 6 -o cat; systemctl restart {UNIT}",
        600,
    )
    facts.require("under another name it is refused", wrong.said.splitlines()[0] != "0", wrong.said)
    await facts.becomes("and starts again with the right one", lambda: is_ready(machine))


def hardened_copy(unit: str, program: str, *, root: bool) -> str:
    """Return the unit with another program to run, once."""
    text = re.sub(r"(?m)^(ExecReload|Restart|WatchdogSec|NotifyAccess|RestartSec)=.*\n", "", unit)
    text = re.sub(r"(?m)^Type=.*", "Type=oneshot", text)
    text = re.sub(r"(?m)^ExecStart=.*", f"ExecStart={program}", text)
    text = re.sub(r"(?m)^(RuntimeDirectory).*\n", "", text)
    if root:  # whose state it is stays as it is
        text = re.sub(
            r"(?m)^(StateDirectory.*|User=.*|Group=.*|SupplementaryGroups=.*)\n", "", text
        )
    return text


def old_program() -> bytes:
    """Return a program of 32 bits: exit(0) by int 0x80."""
    code = b"\xb8\x01\x00\x00\x00\x31\xdb\xcd\x80"
    base, head = 0x08048000, 52 + 32
    elf = b"\x7fELF\x01\x01\x01" + bytes(9)
    elf += struct.pack("<HHIIIIIHHHHHH", 2, 3, 1, base + head, 52, 0, 0, 52, 32, 1, 0, 0, 0)
    elf += struct.pack("<8I", 1, 0, base, base, head + len(code), head + len(code), 5, 4096)
    return elf + code


def answers(said: str) -> dict[str, str]:
    """Return what the probes printed, by what was tried."""
    return dict(line.rpartition(": ")[::2] for line in said.splitlines() if ": " in line)


async def hardened(scene: Scene, facts: Facts) -> None:
    """Try from inside everything that the unit forbids."""
    machine = scene.machine
    said = await facts.ran(
        "systemd-analyze security", f"systemd-analyze security {UNIT} --no-pager"
    )
    counted = [" ".join(line.split()[1:]) for line in said.splitlines() if line.startswith("✗")]
    facts.note("what is counted: " + "; ".join(counted))
    exposure = float(re.findall(r"level for .*: ([0-9.]+)", said)[0])
    facts.require(f"exposure {exposure} of 10, at most {MOST_EXPOSED}", exposure <= MOST_EXPOSED)
    text = (await machine.run(f"cat /lib/systemd/system/{UNIT}")).said + "\n"
    program = f"{_PYTHON} -B /srv/forbidden.py"
    outside = f"[Service]\nType=oneshot\nKeyringMode=shared\nExecStart={program}\n"
    units = {
        "root-outside": outside,
        "user-outside": outside + "User=bars-gateway\n",
        "user-inside": hardened_copy(text, program, root=False),
        "root-inside": hardened_copy(text, program, root=True),
    }
    await machine.put({f"/run/systemd/system/{n}.service": t.encode() for n, t in units.items()})
    tries = Path(__file__).with_name("forbidden.py").read_bytes()
    await machine.put({"/srv/forbidden.py": tries, OLD_PROGRAM: old_program()})
    prepared = await machine.run(_PREPARED)
    assert prepared.code == 0, prepared.said
    seen = {}
    for name in units:
        done = await machine.run(
            f"systemctl start {name}; journalctl -b -u {name} -o cat --no-pager", 600
        )
        seen[name] = answers(done.said)
    not_so = {}
    for name in probes():
        rows = {run: found.get(name, "nothing") for run, found in seen.items()}
        free = "allowed" in {rows["root-outside"], rows["user-outside"]}
        inside = [rows["user-inside"]]
        if not name.startswith(_AS_ITS_USER):
            inside.append(rows["root-inside"])
        wanted = "allowed" if name.startswith("may") else "refused"
        if free and all(each.startswith(wanted) for each in inside):
            facts.note(f"{name}: {', as root '.join(inside)}")
        else:
            not_so[name] = rows
    await machine.run("chmod 2750 /var/spool/bars-gateway; rm -r /var/spool/bars-gateway/probes")
    facts.require("and each of it is allowed outside", not not_so, not_so)


async def stands_still(scene: Scene, facts: Facts) -> None:
    """Stop its process where it stands: systemd finds out, and starts another."""
    machine = scene.machine
    before = await shown(machine, "MainPID", "NRestarts")
    await facts.ran("its process is stopped by SIGSTOP", f"kill -STOP {before['MainPID']}")

    async def again() -> bool:
        now = await shown(machine, "MainPID", "NRestarts", "ActiveState")
        other = now["MainPID"] not in {"0", before["MainPID"]}
        return other and now["ActiveState"] == "active" and await is_ready(machine)

    await facts.becomes("the watchdog has another one ready", again, 600)
    log = await machine.run(f"journalctl -b -u {UNIT} -o short-monotonic -n 200 | grep systemd.1.:")
    facts.require("and says that it was the watchdog", "watchdog" in log.said.lower(), log.said)
    print(log.said)


async def stopped_under_load(scene: Scene, facts: Facts) -> None:
    """Stop it in the middle of traffic, and start it again: nothing is lost."""
    machine, traffic = scene.machine, scene.traffic(0.2)
    before = scene.at_far_side()  # what earlier steps have sent
    async with traffic.flowing(600):
        for _ in range(3):
            for _ in range(4):
                await traffic.flows()
            await facts.ran("systemctl stop under load returns", f"systemctl stop {UNIT}", 120)
            how = await shown(machine, "Result", "ExecMainCode", "ExecMainStatus")
            facts.require("it ended by itself", how["Result"] == "success", how)
            await facts.ran("and is started", f"systemctl start {UNIT}", 600)
    problems = await traffic.problems(lambda: scene.at_far_side() - before)
    facts.require(
        f"of {len(traffic.promised)} messages acknowledged, each is there once",
        not problems,
        "\n".join(problems),
    )


async def tried(made: Scene, facts: Facts) -> None:
    """Go through all of it, in a machine that is off."""
    facts.note(f"the machine is there after {await made.machine.start():.0f} s")
    await installed(made, facts)
    for step in (
        started,
        reloaded,
        with_credentials,
        hardened,
        stands_still,
        stopped_under_load,
    ):
        await step(made, facts)
    await made.machine.stop()
    facts.note("it shuts down")


async def main(boot: Path) -> None:
    """See everything; keep the disk as it is then, for power cuts."""
    folder, image = boot / "service", boot / "trial.img"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    await asyncio.to_thread(copy, boot / "disk.img", image)
    await go_through(scene(boot, image, folder), tried)
    image.replace(boot / "installed.img")


def copy(image: Path, to: Path) -> None:
    """Copy an image, with its holes."""
    subprocess.run(["cp", "--sparse=always", image, to], check=True)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
