"""Confines the decoding process as far as the system allows without root.

Limits on memory, CPU time and file size (setrlimit) hold everywhere. On Linux, Landlock takes away
every file but the code that is read while decoding, and a network namespace takes away the network;
where namespaces are not allowed, Landlock refuses TCP. What is in force is reported by name.
Sources: landlock(7), unshare(2), prctl(2); numbers of system calls are the same on all machines.
"""

from __future__ import annotations

import ctypes
import os
import resource
import struct
import sys
from collections.abc import Iterable
from pathlib import Path

PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 4, 38
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
ABI_VERSION = 1  # flag of CREATE_RULESET
PATH_BENEATH = 1
READ_FILE, READ_DIR, EXECUTE = 1 << 2, 1 << 3, 1 << 0
FILE_RIGHTS = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
"""All rights on files that a version of Landlock knows."""
TCP_FROM = 4
BIND_TCP, CONNECT_TCP = 1 << 0, 1 << 1
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
DESCRIPTORS_MAX = 64


def confine(memory_bytes: int) -> list[str]:
    """Give up all that decoding does not need, for good. Returns what is in force: ``memory``,
    ``files``, ``network``, ``no new privileges``."""
    in_force = ["memory"]
    _limit(resource.RLIMIT_AS, memory_bytes)
    _limit(resource.RLIMIT_FSIZE, 0)
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_NOFILE, DESCRIPTORS_MAX)
    if not sys.platform.startswith("linux"):
        return in_force
    hide()
    libc = ctypes.CDLL(None, use_errno=True)
    has_namespace = libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return in_force
    in_force.append("no new privileges")
    version = _landlock(libc, _code())
    if version:
        in_force.append("files")
    if has_namespace or version >= TCP_FROM:
        in_force.append("network")
    return in_force


def hide() -> None:
    """Let no process of this user look into this one, nor steer it."""
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def limit_cpu(seconds: float) -> None:
    """Let the system kill this process if it uses ``seconds`` more of CPU time."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    soft = int(used.ru_utime + used.ru_stime + seconds) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def _limit(which: int, most: int) -> None:
    hard = resource.getrlimit(which)[1]
    value = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(which, (value, value))


def _code() -> Iterable[str]:
    """Folders with code and libraries, which may be loaded on first use."""
    folders = {sys.prefix, sys.base_prefix, "/usr", "/lib", "/lib64", *sys.path}
    return sorted(folder for folder in folders if folder and Path(folder).exists())


def _landlock(libc: ctypes.CDLL, readable: Iterable[str]) -> int:
    """Refuse all files but reading below ``readable``, and TCP. Returns the version of Landlock, 0
    if the system has none."""
    version = int(libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), ABI_VERSION))
    if version < 1:
        return 0
    files = FILE_RIGHTS[max(known for known in FILE_RIGHTS if known <= version)]
    network = BIND_TCP | CONNECT_TCP if version >= TCP_FROM else 0
    handled = struct.pack("QQ", files, network)[: 16 if network else 8]
    ruleset = int(libc.syscall(CREATE_RULESET, handled, ctypes.c_size_t(len(handled)), 0))
    if ruleset < 0:
        return 0
    try:
        for folder in readable:
            _allow(libc, ruleset, folder)
        return version if libc.syscall(RESTRICT_SELF, ruleset, 0) == 0 else 0
    finally:
        os.close(ruleset)


def _allow(libc: ctypes.CDLL, ruleset: int, folder: str) -> None:
    rights = READ_FILE | READ_DIR | EXECUTE if Path(folder).is_dir() else READ_FILE
    descriptor = os.open(folder, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = struct.pack("=Qi", rights, descriptor)
        libc.syscall(ADD_RULE, ruleset, PATH_BENEATH, rule, 0)
    finally:
        os.close(descriptor)
