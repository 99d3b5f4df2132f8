"""Runs a program in a sandbox that forbids io_uring, as containers often do. Usage: without_io_uring.py PROGRAM ARG..."""

import ctypes
import errno
import os
import struct
import sys

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
IO_URING_SETUP = 425  # the same number on every architecture
ALLOW, ERRNO = 0x7FFF0000, 0x00050000


def instruction(code, jump_true, jump_false, value):
    return struct.pack("HBBI", code, jump_true, jump_false, value)


program = b"".join(
    [
        instruction(0x20, 0, 0, 0),  # load the system call's number
        instruction(0x15, 0, 1, IO_URING_SETUP),  # io_uring_setup?
        instruction(0x06, 0, 0, ERRNO | errno.EPERM),
        instruction(0x06, 0, 0, ALLOW),
    ]
)


class Filter(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


libc = ctypes.CDLL(None, use_errno=True)
rules = Filter(len(program) // 8, program)
if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
    sys.exit("no_new_privs is refused: " + os.strerror(ctypes.get_errno()))
if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(rules), 0, 0) != 0:
    sys.exit("seccomp is refused: " + os.strerror(ctypes.get_errno()))
os.execv(sys.argv[1], sys.argv[1:])
