"""
A program under what systemd's RestrictSUIDSGID= forbids: `no_set_id.py PROGRAM ARGUMENT…`.

The kernel refuses, with EPERM, to set a set-user-ID or set-group-ID bit, whoever asks: by chmod,
fchmod and fchmodat, and by making a folder that has one. The filter stays with the program, and
with all that it starts.
"""

import ctypes
import os
import platform
import struct
import sys

# By machine: the numbers of the calls, and which argument is the mode.
_CALLS = {
    "x86_64": {90: 1, 91: 1, 268: 2, 83: 1, 258: 2},
    "aarch64": {52: 1, 53: 2, 34: 2},
}
_LOAD, _EQUALS, _HAS_ANY, _RETURN = 0x20, 0x15, 0x45, 0x06
_ALLOW, _REFUSE = 0x7FFF0000, 0x00050000 | 1  # EPERM
_SET_IDS = 0o6000
_NO_NEW_PRIVILEGES, _SECCOMP, _FILTER = 38, 22, 2


def _step(code: int, value: int, yes: int = 0, no: int = 0) -> bytes:
    """Return one instruction: it goes on so many steps further where it is so, or is not."""
    return struct.pack("HBBI", code, yes, no, value)


def _filter() -> bytes:
    steps = []
    for number, argument in _CALLS[platform.machine()].items():
        steps += [
            _step(_LOAD, 0),
            _step(_EQUALS, number, no=4),
            _step(_LOAD, 16 + 8 * argument),
            _step(_HAS_ANY, _SET_IDS, no=1),
            _step(_RETURN, _REFUSE),
            _step(_RETURN, _ALLOW),
        ]
    return b"".join([*steps, _step(_RETURN, _ALLOW)])


def forbid() -> None:
    """Let the kernel refuse the bits from now on."""
    steps = ctypes.create_string_buffer(_filter())
    count = len(steps.raw) // 8
    program = struct.pack("HP", count, ctypes.addressof(steps))
    libc = ctypes.CDLL(None, use_errno=True)
    for words in ((_NO_NEW_PRIVILEGES, 1, 0, 0, 0), (_SECCOMP, _FILTER, program, 0, 0)):
        if libc.prctl(*words):
            sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    forbid()
    os.execvp(sys.argv[1], sys.argv[1:])
