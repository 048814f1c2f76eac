"""
What a program can do where it runs, one line for each thing: `NAME: allowed` or `NAME: refused …`.

    python3 forbidden.py

It is run under the unit's own rules, as its user and as root, and under none. What is refused
inside has to be allowed outside, else it was not the unit that refused it. Python's own library is
enough.
"""

import contextlib
import ctypes
import errno
import mmap
import os
import platform
import resource
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

SHARED = "/var/spool/bars-gateway/probes"  # open to all, and the unit lets it be written to
OLD_PROGRAM, BECOMES_ROOT = "/usr/local/bin/of-32-bits", "/usr/local/bin/becomes-root"
LIBC = ctypes.CDLL(None, use_errno=True)
# Of x86_64 alone: the machine that is tried is one.
_CALLS = {"ptrace": 101, "syslog": 103, "personality": 135, "mount": 165, "sethostname": 170}
_CALLS |= {"init_module": 175, "keyctl": 250, "unshare": 272, "bpf": 321, "settime": 227}
_CALLS |= {"setpriority": 141, "chroot": 161, "add_key": 248}
_CLONE_NEWUSER, _NO_RANDOM = 0x10000000, 0x0040000


def call(name: str, *arguments: object) -> int:
    """Make a system call; raise OSError as the kernel says."""
    found = int(LIBC.syscall(_CALLS[name], *arguments))
    if found == -1:
        code = ctypes.get_errno()
        raise OSError(code, errno.errorcode.get(code, str(code)))
    return found


def in_a_child(work: Callable[[], object]) -> None:
    """Do it in a process of its own; raise OSError with what that raised, or how it was killed."""
    pid = os.fork()
    if pid == 0:
        try:
            work()
        except OSError as error:
            os._exit(error.errno or 255)
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status):
        raise OSError(0, f"killed by {signal.Signals(os.WTERMSIG(status)).name}")
    if code := os.WEXITSTATUS(status):
        raise OSError(code, errno.errorcode.get(code, str(code)))


def write(folder: str) -> None:
    """Make a file."""
    with tempfile.NamedTemporaryFile(dir=folder):
        pass


def old_program() -> None:
    """Run a program of 32 bits."""
    if code := subprocess.run([OLD_PROGRAM], check=False).returncode:
        raise OSError(0, f"it ended as {code}")


def written_program(where: str) -> None:
    """Run a program that it has written."""
    with tempfile.TemporaryDirectory(dir=where) as folder:
        subprocess.run([shutil.copy("/usr/bin/true", folder)], check=True)


def set_group_bit() -> None:
    """Make a file whose program would run as another group."""
    with tempfile.NamedTemporaryFile(dir=SHARED) as file:
        Path(file.name).chmod(0o2700)


def executable_memory() -> None:
    """Ask for memory that can be written and run."""
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()


def become_root() -> None:
    """Run a program that carries root's set-user-ID bit."""
    done = subprocess.run([BECOMES_ROOT, "-u"], check=True, capture_output=True)
    if done.stdout.strip() != b"0":
        raise OSError(errno.EPERM, "it is run as who it was")


def many_tasks() -> None:
    """Have 300 threads."""
    go_on = threading.Event()
    begun = []
    try:
        for _ in range(300):
            begun.append(threading.Thread(target=go_on.wait))
            begun[-1].start()
    except RuntimeError as error:
        begun.pop()
        raise OSError(errno.EAGAIN, f"after {len(begun)}: {error}") from None
    finally:
        go_on.set()
        for each in begun:
            each.join()


def dump_core() -> None:
    """Be allowed to leave a core dump."""
    if resource.getrlimit(resource.RLIMIT_CORE)[1] == 0:
        raise OSError(errno.EPERM, "the limit is 0")


def many_files() -> None:
    """Be allowed 5,000 open files."""
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (5000, 5000))
    except ValueError as error:  # beyond the limit that it was given
        raise OSError(errno.EPERM, str(error)) from None


def shared_mounts() -> None:
    """Be where others see a mount that is made: in a slave's namespace nothing goes back."""
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    roots = [line for line in mounts if line.split()[4] == "/"]
    if all(" master:" in line or " shared:" not in line for line in roots):
        raise OSError(errno.EPERM, "what is mounted here stays here")


def keep_to_oneself() -> None:
    """Make a file as by default, which others may read."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "one"
        file.touch()
        if file.stat().st_mode & 0o077 == 0:
            raise OSError(errno.EPERM, oct(file.stat().st_mode & 0o777))


def gain_capabilities() -> None:
    """Be allowed a capability, if a program gave one."""
    found = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    if int(found["CapBnd"], 16) == 0:
        raise OSError(errno.EPERM, "none is in its bounds")


def shared_memory() -> None:
    """Find the memory that root shares outside, by its key."""
    if LIBC.shmget(0x62617273, 0, 0) == -1:
        raise OSError(ctypes.get_errno(), errno.errorcode[ctypes.get_errno()])


def session_keys() -> None:
    """Find, by its session, a key that lies in the keyring of its user."""
    call("add_key", b"user", b"bars-probe", b"1", 1, -4)
    call("keyctl", 10, -3, b"user", b"bars-probe", 0)


def real_time() -> None:
    """Run before everybody else."""
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


def probes() -> dict[str, Callable[[], object]]:
    """Return everything that is tried, by what it is called."""
    buffer = ctypes.create_string_buffer(4096)
    family = socket.AddressFamily
    now = struct.pack("ll", int(time.time()), 0)
    return {
        "may: write below the spool folders": lambda: write(SHARED),
        "may: write its state": lambda: write("/var/lib/bars-gateway"),
        "may: open a connection": lambda: socket.socket(family.AF_INET).close(),
        "ProtectSystem: write a folder of its own elsewhere": lambda: write("/srv/open"),
        "ProtectHome: see what is in /home": lambda: Path("/home/epr/open").read_bytes(),
        "PrivateTmp: see what others put into /tmp": lambda: Path("/tmp/open").read_bytes(),
        "PrivateMounts: make mounts that others see": shared_mounts,
        "PrivateDevices: see the disk": lambda: Path("/dev/vda").stat(),
        "ProtectProc: see the processes of others": lambda: Path("/proc/1/status").read_text(),
        "ProcSubset: see what the kernel says of the machine": lambda: Path("/proc/meminfo").stat(),
        "ProtectKernelTunables: change the kernel": lambda: (
            os.access("/sys/kernel", os.W_OK) or no(errno.EROFS)
        ),
        "ProtectControlGroups: change control groups": lambda: (
            os.access("/sys/fs/cgroup", os.W_OK) or no(errno.EROFS)
        ),
        "ProtectKernelLogs: read the kernel's log": lambda: call("syslog", 3, buffer, 4096),
        "ProtectKernelModules: load a module": lambda: but_for(
            errno.ENOEXEC, lambda: call("init_module", buffer, 4096, b"")
        ),
        "ProtectHostname: name the machine": lambda: call("sethostname", b"trial", 5),
        "ProtectClock: set the clock": lambda: call("settime", 0, now),
        "PrivateIPC: use memory that is shared outside": shared_memory,
        "KeyringMode: find keys of its user": session_keys,
        "LockPersonality: place programs where they can be found": lambda: in_a_child(
            lambda: call("personality", _NO_RANDOM)
        ),
        "MemoryDenyWriteExecute: run what it writes": executable_memory,
        "RestrictAddressFamilies: talk to the kernel by netlink": lambda: socket.socket(
            family.AF_NETLINK, socket.SOCK_RAW
        ).close(),
        "RestrictAddressFamilies: read what passes on the wire": lambda: socket.socket(
            family.AF_PACKET, socket.SOCK_RAW
        ).close(),
        "RestrictNamespaces: be root in a namespace": lambda: in_a_child(
            lambda: call("unshare", _CLONE_NEWUSER)
        ),
        "RestrictRealtime: run before everybody else": lambda: in_a_child(real_time),
        "SystemCallArchitectures: run a program of 32 bits": old_program,
        "NoExecPaths: run a program from a spool folder": lambda: written_program(SHARED),
        "NoExecPaths: run one from its state": lambda: written_program("/var/lib/bars-gateway"),
        "NoExecPaths: run one from /tmp": lambda: written_program("/tmp"),
        "RestrictSUIDSGID: let a program run as another group": set_group_bit,
        "SystemCallFilter: read another process": lambda: in_a_child(
            lambda: call("ptrace", 0, 0, 0, 0)
        ),
        "SystemCallFilter: mount": lambda: but_for(
            errno.ENOENT, lambda: call("mount", b"none", b"/no/such", b"tmpfs", 0, None)
        ),
        "SystemCallFilter: change its root": lambda: in_a_child(lambda: call("chroot", b"/")),
        "SystemCallFilter: load a program into the kernel": lambda: but_for(
            errno.EINVAL, lambda: call("bpf", 99, buffer, 0)
        ),
        "SystemCallFilter: come before others": lambda: in_a_child(
            lambda: call("setpriority", 0, 0, -5)
        ),
        "NoNewPrivileges: become root by a program": become_root,
        "CapabilityBoundingSet: gain a capability": gain_capabilities,
        "LimitCORE: leave a core dump": dump_core,
        "LimitNOFILE: have 5,000 files open": lambda: in_a_child(many_files),
        "TasksMax: have 300 threads": many_tasks,
        "UMask: make files that others may read": keep_to_oneself,
    }


def no(code: int) -> None:
    """Raise what the kernel would."""
    raise OSError(code, errno.errorcode[code])


def but_for(code: int, work: Callable[[], object]) -> None:
    """Do it; that it comes so far as to fail by *code* shows that it is allowed."""
    try:
        work()
    except OSError as error:
        if error.errno != code:
            raise


def main() -> None:
    """Try everything, and say how it went."""
    for name, work in probes().items():
        try:
            work()
        except OSError as error:
            said = errno.errorcode.get(error.errno or 0, "") or error.strerror
            print(f"{name}: refused ({said})", flush=True)
        else:
            print(f"{name}: allowed", flush=True)


if __name__ == "__main__":
    with contextlib.suppress(BrokenPipeError):
        assert platform.machine() == "x86_64"
        main()
