"""System calls by name: those that trainings make, and those that no candidate may make.

The calls of trainings were recorded with `strace`: for the seed program, 25 honest architectures of the tests, and
programs that use numpy, threads, asyncio, the profiler and TorchScript, from the moment when their filter was in force.
Each group has the recorded calls and their siblings, which are other versions of a call that another libc uses.

Numbers are those of x86-64 and aarch64, None where an architecture has no such call. Source: the kernel's
`syscall_64.tbl` and `include/uapi/asm-generic/unistd.h`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

Numbers = tuple[int | None, int | None]  # x86-64, aarch64

# by the reason why a training needs them
LISTED: Final[Mapping[str, Mapping[str, Numbers]]] = {
    "files": {  # files: their names, contents and places
        "read": (0, 63), "write": (1, 64), "readv": (19, 65), "writev": (20, 66), "pread64": (17, 67),
        "pwrite64": (18, 68), "preadv": (295, 69), "pwritev": (296, 70), "preadv2": (327, 286),
        "pwritev2": (328, 287), "lseek": (8, 62), "open": (2, None), "openat": (257, 56), "openat2": (437, 437),
        "creat": (85, None), "close": (3, 57), "close_range": (436, 436), "stat": (4, None), "lstat": (6, None),
        "fstat": (5, 80), "newfstatat": (262, 79), "statx": (332, 291), "access": (21, None), "faccessat": (269, 48),
        "faccessat2": (439, 439), "readlink": (89, None), "readlinkat": (267, 78), "getdents64": (217, 61),
        "getdents": (78, None), "truncate": (76, 45), "ftruncate": (77, 46), "fallocate": (285, 47),
        "rename": (82, None), "renameat": (264, 38), "renameat2": (316, 276), "mkdir": (83, None),
        "mkdirat": (258, 34), "rmdir": (84, None), "unlink": (87, None), "unlinkat": (263, 35), "link": (86, None),
        "linkat": (265, 37), "symlink": (88, None), "symlinkat": (266, 36), "getcwd": (79, 17), "chdir": (80, 49),
        "fchdir": (81, 50), "umask": (95, 166), "flock": (73, 32), "fsync": (74, 82), "fdatasync": (75, 83),
        "sync_file_range": (277, 84), "statfs": (137, 43), "fstatfs": (138, 44), "sendfile": (40, 71),
        "copy_file_range": (326, 285), "dup": (32, 23), "dup2": (33, None), "dup3": (292, 24), "pipe": (22, None),
        "pipe2": (293, 59), "splice": (275, 76),
    },
    "memory": {  # memory of the process itself; madvise has a rule of its own
        "mmap": (9, 222), "munmap": (11, 215), "mprotect": (10, 226), "mremap": (25, 216), "msync": (26, 227),
        "brk": (12, 214), "mbind": (237, 235), "set_mempolicy": (238, 237), "get_mempolicy": (239, 236),
        "membarrier": (324, 283), "rseq": (334, 293),
    },
    "threads": {  # threads and what they wait for
        "futex": (202, 98), "futex_waitv": (449, 449), "set_robust_list": (273, 99), "get_robust_list": (274, 100),
        "set_tid_address": (218, 96), "gettid": (186, 178), "sched_yield": (24, 124), "sched_getaffinity": (204, 123),
        "sched_getparam": (143, 121), "sched_getscheduler": (145, 120), "sched_get_priority_max": (146, 125),
        "sched_get_priority_min": (147, 126), "getcpu": (309, 168), "exit": (60, 93), "exit_group": (231, 94),
        "arch_prctl": (158, None),
    },
    "signals": {  # signals within the process
        "rt_sigaction": (13, 134), "rt_sigprocmask": (14, 135), "rt_sigreturn": (15, 139),
        "rt_sigpending": (127, 136), "rt_sigtimedwait": (128, 137), "rt_sigsuspend": (130, 133),
        "sigaltstack": (131, 132), "restart_syscall": (219, 128), "pause": (34, None),
    },
    "time": {  # clocks and timers
        "clock_gettime": (228, 113), "clock_getres": (229, 114), "clock_nanosleep": (230, 115),
        "nanosleep": (35, 101), "gettimeofday": (96, 169), "time": (201, None), "times": (100, 153),
        "alarm": (37, None), "setitimer": (38, 103), "getitimer": (36, 102), "timer_create": (222, 107),
        "timer_settime": (223, 110), "timer_gettime": (224, 108), "timer_getoverrun": (225, 109),
        "timer_delete": (226, 111), "timerfd_create": (283, 85), "timerfd_settime": (286, 86),
        "timerfd_gettime": (287, 87),
    },
    "waiting": {  # waiting for descriptors, which asyncio does too
        "poll": (7, None), "ppoll": (271, 73), "select": (23, None), "pselect6": (270, 72),
        "epoll_create": (213, None), "epoll_create1": (291, 20), "epoll_ctl": (233, 21), "epoll_wait": (232, None),
        "epoll_pwait": (281, 22), "epoll_pwait2": (441, 441), "eventfd": (284, None), "eventfd2": (290, 19),
        "signalfd4": (289, 74),
    },
    "pairs": {  # a pair of sockets, with which a server answers the scorer
        "recvfrom": (45, 207), "getsockopt": (55, 209), "getsockname": (51, 204), "getpeername": (52, 205),
        "shutdown": (48, 210),
    },
    "oneself": {  # questions of a process about itself and the machine
        "getpid": (39, 172), "getppid": (110, 173), "getuid": (102, 174), "geteuid": (107, 175), "getgid": (104, 176),
        "getegid": (108, 177), "getgroups": (115, 158), "getresuid": (118, 148), "getresgid": (120, 150),
        "getpgrp": (111, None), "getpgid": (121, 155), "getsid": (124, 156), "uname": (63, 160), "sysinfo": (99, 179),
        "getrlimit": (97, 163), "getrusage": (98, 165), "getrandom": (318, 278), "getpriority": (140, 141),
        "wait4": (61, 260), "waitid": (247, 95),
    },
    "with a rule": {  # allowed only with arguments that the filter can check
        "madvise": (28, 233), "sched_setaffinity": (203, 122), "fcntl": (72, 25), "ioctl": (16, 29),
        "prctl": (157, 167), "prlimit64": (302, 261), "clone": (56, 220), "socketpair": (53, 199),
        "sendto": (44, 206), "tgkill": (234, 131), "tkill": (200, 130), "kill": (62, 129),
    },
}  # fmt: skip

# calls to start processes, for compilers, where a target allows it
PROCESSES: Final[Mapping[str, Numbers]] = {
        "fork": (57, None), "vfork": (58, None), "execve": (59, 221), "execveat": (322, 281), "setpgid": (109, 154),
        "setsid": (112, 157), "setrlimit": (160, 164), "kill": (62, 129),
}  # fmt: skip

# refused where the list above cannot be used: not all calls of GPU drivers and of commands are known
REFUSED: Final[Mapping[str, Numbers]] = {
    # the memory and descriptors of other processes
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "kcmp": (312, 272),
    "pidfd_getfd": (438, 438), "process_madvise": (440, 440), "process_mrelease": (448, 448),
    "migrate_pages": (256, 238), "move_pages": (279, 239),
    # mounts and namespaces
    "mount": (165, 40), "umount2": (166, 39), "pivot_root": (155, 41), "chroot": (161, 51), "setns": (308, 268),
    "unshare": (272, 97), "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430),
    "fsconfig": (431, 431), "fsmount": (432, 432), "fspick": (433, 433), "mount_setattr": (442, 442),
    "open_tree_attr": (467, 467), "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265),
    # owners and modes of files, which Landlock does not cover
    "chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452), "chown": (92, None),
    "fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54), "setxattr": (188, 5), "lsetxattr": (189, 6),
    "fsetxattr": (190, 7), "removexattr": (197, 14), "lremovexattr": (198, 15), "fremovexattr": (199, 16),
    "setxattrat": (463, 463), "removexattrat": (466, 466), "file_setattr": (469, 469),
    # large attack surfaces of the kernel
    "bpf": (321, 280), "perf_event_open": (298, 241), "userfaultfd": (323, 282), "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426), "io_uring_register": (427, 427), "add_key": (248, 217), "request_key": (249, 218),
    "keyctl": (250, 219), "fanotify_init": (300, 262),
    # System V and POSIX queues and memory, which outlive a process and are shared by all processes of a user
    "shmget": (29, 194), "shmat": (30, 196), "shmctl": (31, 195), "semget": (64, 190), "msgget": (68, 186),
    "mq_open": (240, 180), "mq_unlink": (241, 181),
    # memory that counts for no process, because it is in a file without a name
    "memfd_create": (319, 279), "memfd_secret": (447, 447),
    # channels to other processes: contents of the page cache, times of files, priorities
    "mincore": (27, 232), "fadvise64": (221, 223), "readahead": (187, 213), "cachestat": (451, 451),
    "utime": (132, None), "utimes": (235, None), "utimensat": (280, 88), "futimesat": (261, None),
    "setpriority": (141, 140), "ioprio_set": (251, 30),
    # the machine
    "init_module": (175, 105), "finit_module": (313, 273), "delete_module": (176, 106), "kexec_load": (246, 104),
    "kexec_file_load": (320, 294), "reboot": (169, 142), "swapon": (167, 224), "swapoff": (168, 225),
    "settimeofday": (164, 170), "clock_settime": (227, 112), "clock_adjtime": (305, 266), "adjtimex": (159, 171),
    "sethostname": (170, 161), "setdomainname": (171, 162), "syslog": (103, 116), "acct": (163, 89),
    "quotactl": (179, 60), "iopl": (172, None), "ioperm": (173, None),
}  # fmt: skip
