"""
Lets an EPR and the gateway meet on a network share, of NFS and of SMB, in a machine of its own.

    an EPR, in the folder itself ─► /export/… ◄─ nfsd, smbd ◄─ the kernel's client ◄─ the gateway

    messages both ways ─► the server is away for a minute ─► kill -9 ─► each is there, once

    python tests/vm/shares.py FOLDER

`make vm PARTS="image shares"` makes the disk with the servers on it. A second gateway is tried from
a mount of its own, as from another machine.
"""

import asyncio
import io
import shutil
import sys
import tarfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import service
from facts import Facts
from messages import RECEIVER, SENDER, referral
from scene import Scene, go_through, scene
from service import UNIT, copy, installed, is_ready

_SPOOL, _OTHER, _PYTHON = (
    "/var/spool/bars-gateway/trust",
    "/srv/other",
    "/opt/bars-gateway/bin/python",
)
_NFS = "/export/nfs 127.0.0.0/8(rw,sync,no_subtree_check,insecure)\n"
_SMB = """[global]
server role = standalone server
interfaces = lo
bind interfaces only = yes
disable netbios = yes
[export]
path = /export/smb
read only = no
"""
# To a server of NFS 4 one machine is one client: it may hand that one the locks of a file (a write
# delegation, since Linux 6.6), and then hears of none. By another name, and at another address of
# the server, it is another machine.
_ANOTHER = "echo another >/sys/fs/nfs/net/nfs_client/identifier"
_SECOND = f"""import pathlib, sys
from bars_gateway.config.spool_folder import SpoolOwner
from bars_gateway.epr.folders import SpoolRoot
SpoolRoot(pathlib.Path("{_OTHER}"), SpoolOwner(provider="trust", ods_code="ZX901"))
"""
_PREPARED = (
    "systemctl disable --now nmbd samba-ad-dc; useradd -r files;"
    " mkdir -p /export/nfs /export/smb /srv/other /srv/bodies && exportfs -ra &&"
    " systemctl restart nfs-server smbd && printf 'secret\\nsecret\\n' | smbpasswd -s -a files"
)
_MESSAGES = 12


@dataclass(frozen=True)
class Share:
    """One kind of share: how it is mounted, whose the EPR is at its server, and what that is."""

    name: str
    export: str
    mount: str  # by which a `mount` begins; where it goes comes last
    server: str
    epr: str
    made: str


_OPTIONS = (
    "vers=3.1.1,nosharesock,username=files,password=secret"
    ",uid=bars-gateway,gid=bars-gateway-epr,dir_mode=02770,file_mode=0660"
)
_INSTALL = "install -d -o bars-gateway -g bars-gateway-epr -m 2750"
SHARES = [
    Share(
        f"NFS {version}",
        export := f"/export/nfs/{version}",
        f"mount -t nfs -o vers={version},nosharecache 127.0.0.1:{export}",
        "nfs-server",
        "epr",
        f"{_INSTALL} {export}",
    )
    for version in ("4.2", "3")
] + [
    Share(
        "SMB 3.1.1",
        "/export/smb/trust",
        f"mount -t cifs -o {_OPTIONS} //127.0.0.1/export/trust",
        "smbd",
        "files",
        "install -d -o files -g files -m 2770 /export/smb/trust",
    )
]


@dataclass
class Heard:
    """What the EPR at the server was told, line by line."""

    receipts: dict[str, str] = field(default_factory=dict)  # X-Request-Id by name
    told: Counter[tuple[str, str]] = field(default_factory=Counter)  # kind, X-Request-Id

    def read(self, said: str) -> None:
        """Take it down."""
        for line in said.splitlines():
            kind, name, request_id = line.split()
            if kind == "receipt":
                self.receipts[name] = request_id
            else:
                self.told[kind, request_id] += 1


async def prepared(scene: Scene, facts: Facts) -> None:
    """Install the gateway, and the servers' settings."""
    await installed(scene, facts)
    here = Path(__file__).parent
    await scene.machine.put(
        {
            "/etc/exports": _NFS.encode(),
            "/etc/samba/smb.conf": _SMB.encode(),
            "/srv/second.py": _SECOND.encode(),
            "/srv/epr_at_server.py": (here / "epr_at_server.py").read_bytes(),
        }
    )
    await facts.ran("the servers of NFS and SMB run", _PREPARED, 300)


async def handed_over(scene: Scene, share: Share) -> None:
    """Let an EPR begin at the server, with messages of its own."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for number in range(_MESSAGES):
            body = referral(sender=SENDER, receiver=RECEIVER)
            entry = tarfile.TarInfo(f"{number:04d}.json")
            entry.size, entry.mode = len(body), 0o644
            tar.addfile(entry, io.BytesIO(body))
    await scene.machine.put({"/srv/bodies.tgz": packed.getvalue()})
    unit = f"--unit epr --uid={share.epr} -p StandardOutput=truncate:/srv/told"
    done = await scene.machine.run(
        "rm -f /srv/bodies/* && tar -C /srv/bodies -xzf /srv/bodies.tgz && systemd-run --quiet"
        f" {unit} python3 /srv/epr_at_server.py /srv/bodies {share.export} 6"
    )
    assert done.code == 0, done.said


async def second_is_refused(facts: Facts, share: Share) -> None:
    """Try to open the folder once more, by another mount."""
    mount = share.mount
    if "vers=4" in mount:
        mount = f"{_ANOTHER} && {mount.replace('127.0.0.1', '127.0.0.2')}"
    second = f"runuser -u bars-gateway -- {_PYTHON} -B /srv/second.py 2>&1"
    said = await facts.ran(
        "a second gateway begins from a mount of its own",
        f"{mount} {_OTHER} && {{ {second} | tail -n 1; umount {_OTHER}; }}",
    )
    facts.require("and is refused", said.startswith("bars_gateway.errors.FolderInUse"), said)


async def used(scene: Scene, facts: Facts, share: Share) -> None:
    """Go through all of it on one share."""
    machine, before = scene.machine, scene.at_far_side()
    begun = f"{share.made} && {share.mount} {_SPOOL} && systemctl start {UNIT}"
    await facts.ran(f"{share.name}: the gateway starts on it", begun, 600)
    sender = scene.traffic(2.0).sender
    await handed_over(scene, share)
    sending = asyncio.create_task(sender.send())
    await second_is_refused(facts, share)
    away = f"systemctl stop {share.server}; sleep 60"
    await facts.ran("its server is away for a minute", away, 300)
    received = len(sender.acknowledged)
    await facts.ran("and is there again", f"systemctl start {share.server}")
    facts.require(f"{received} messages were received by then", received > 1)
    await facts.ran("the gateway is killed", f"systemctl kill -s KILL {UNIT}")
    await facts.becomes("and ready again, by itself", lambda: is_ready(machine), 600)
    await second_is_refused(facts, share)
    sender.enough = True
    await sending

    async def has_ended() -> bool:
        return (await machine.run("systemctl is-active epr")).code != 0

    await facts.becomes("the EPR has the outcome of all that it handed over", has_ended, 900)
    heard = Heard()

    async def told() -> bool:
        looked = f"cat /srv/told; ls {share.export}/inbox/new | grep -c message"
        heard.receipts.clear(), heard.told.clear()
        *lines, left = (await machine.run(looked)).said.splitlines()
        heard.read("\n".join(lines))
        messages = sum(n for (kind, _), n in heard.told.items() if kind == "message")
        return messages + int(left) >= len(sender.acknowledged)

    await facts.becomes("and each that came in lies there, or was taken", told)
    there = scene.at_far_side() - before
    facts.require(
        f"each of {_MESSAGES} was taken, and is at the far side, once",
        len(heard.receipts) == _MESSAGES and there == Counter(heard.receipts.values()),
        (heard, there),
    )
    await facts.ran("it stops", f"systemctl stop {UNIT} && umount {_SPOOL}", 120)


async def tried(made: Scene, facts: Facts) -> None:
    """Go through each kind of share, in a machine that is off."""
    facts.note(f"the machine is there after {await made.machine.start():.0f} s")
    await prepared(made, facts)
    for share in SHARES:
        await used(made, facts, share)
    await made.machine.stop()


async def main(boot: Path) -> None:
    """Try each kind of share."""
    folder = boot / "shares"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    image = folder / "disk.img"
    await asyncio.to_thread(copy, boot / "disk.img", image)
    service.INIT = service.INIT.replace("--epr socket", "--epr folder")
    await go_through(scene(boot, image, folder, national=folder / "national"), tried)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
