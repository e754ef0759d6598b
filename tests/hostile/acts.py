# ruff: noqa: E501 -- lines of programs
"""Acts of hostile programs: what a candidate tries once its code runs. Each returns lines of Python, drawn at random.

`tests/hostile/grammar.py` places them in a program.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

_EDGES: Final = (
    0,
    1,
    2,
    3,
    4,
    5,
    7,
    8,
    16,
    64,
    255,
    4095,
    4096,
    65_536,
    -1,
    -2,
    -100,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**63 - 1,
    -(2**63),
)
_SIGNALS: Final = (*range(65), 70, 127, -1)


def _system_calls(rng: random.Random) -> str:
    """Any call by number, with words, numbers of descriptors, and pointers to memory and to a path of its own."""

    def word() -> str:
        kind = rng.random()
        if kind < 0.35:
            return str(rng.choice(_EDGES))
        if kind < 0.5:
            return str(rng.randrange(14))
        if kind < 0.6:
            return str(rng.getrandbits(64) - 2**63)
        return rng.choice(["MEMORY", "MEMORY", "MEMORY + 8", "PATH", "os.getpid()", "FD"])

    def number() -> int:
        kind = rng.random()
        return (
            rng.randrange(470)
            if kind < 0.9
            else rng.choice([rng.randrange(470) | 0x4000_0000, rng.randrange(470, 600), -1, 2**31 - 1])
        )

    calls = "\n".join(
        f"call({number()}, {', '.join(word() for _ in range(rng.randint(0, 6)))})" for _ in range(rng.randint(8, 40))
    )
    return f"""import ctypes
libc = ctypes.CDLL(None, use_errno=True)
memory = ctypes.create_string_buffer(bytes.fromhex({rng.randbytes(64).hex()!r}) * 64)
path = ctypes.create_string_buffer(b'tmp/called')
FD = os.open('tmp/fd', os.O_RDWR | os.O_CREAT)
MEMORY, PATH = ctypes.addressof(memory), ctypes.addressof(path)
def call(number, *words):
    libc.syscall(ctypes.c_long(number), *map(ctypes.c_long, words))
{calls}"""


def _descriptors(rng: random.Random) -> str:
    """Whatever the harness left open: written to, read, cut, closed, exchanged."""
    deed = rng.choice(
        [
            f"os.write(fd, bytes.fromhex({rng.randbytes(rng.choice([1, 8, 200])).hex()!r}))",
            f"os.write(fd, {rng.choice([b'w', b'r', b'k', b'x', b'h', b'p', b'kkkkkkkk'])!r})",
            "os.ftruncate(fd, 0)",
            "os.set_blocking(fd, False); os.read(fd, 65536)",
            "__import__('fcntl').fcntl(fd, 1031, 4096)",
            "__import__('fcntl').fcntl(fd, 1033, 0xF)",
            "__import__('fcntl').flock(fd, 6)",
            "os.close(fd)",
            "os.dup2(2, fd)",
            "os.write(os.open(f'/proc/self/fd/{fd}', os.O_RDWR), b'kk')",
            "__import__('mmap').mmap(fd, 0)[:] = b'\\xff' * 4096",
            "__import__('socket').socket(fileno=fd).shutdown(2)",
        ]
    )
    first, step = rng.choice([(0, 1), (3, 1), (2, 1), (255, -1), (1, 1)])
    return f"for fd in range({first}, {256 if step > 0 else 2}, {step}):\n    try: {deed}\n    except (OSError, ValueError): pass"


_ODD_NAMES: Final = (
    b"a\nb",
    b"\x1b]0;owned\x07",
    b"\xff\xfe\xfa",
    b" ",
    b"-rf",
    "\u202egpj".encode(),
    b"\\",
    b"\r",
    b"d" * 255,
    b"%s%n",
    b"weights.pt\x80",
    b"..a",
)


def _odd_files(rng: random.Random) -> str:
    folder = rng.choice(["tmp", "out", "home", "."])
    name = rng.choice(_ODD_NAMES)
    deed = rng.choice(
        [
            "os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0))",
            "os.mkdir(path, 0); os.mkdir(path + b'2')",
            "os.mkfifo(path)",
            "os.symlink(path, path)",
            "os.symlink(b'/proc/self/root', path)",
            "os.symlink(b'..', path)",
            "os.link('train.py', path)",
            "os.truncate(os.open(path, os.O_CREAT | os.O_RDWR), 190_000_000)",
            "os.mkdir(path); os.chdir(path); os.rmdir(b'../' + path.split(b'/')[-1])",
            "os.umask(0o777); os.makedirs(path + b'/a/b')",
            "import socket; socket.socket(socket.AF_UNIX).bind(path)",
            "open(path, 'wb').write(bytes(1_000_000)); global held; held = open(path, 'rb'); os.unlink(path)",
            "os.rename(path.split(b'/')[0], path)",
            "os.setxattr(path.split(b'/')[0], b'user.x', b'x')",
            "os.mknod(path, 0o20666, 0x103)",
        ]
    )
    return f"path = {folder.encode() + b'/' + name!r}\n{deed}"


def _many_files(rng: random.Random) -> str:
    if rng.random() < 0.5:
        return f"for n in range({rng.choice([300, 3_000, 5_200])}): os.close(os.open(f'tmp/{{n}}', os.O_CREAT | os.O_WRONLY))"
    name, levels = (
        rng.choice(["d", "d" * 255, "\ud800".encode("utf-16", "surrogatepass").hex()]),
        rng.choice([50, 700, 1_500]),
    )
    return f"here = os.open('.', os.O_RDONLY)\nos.chdir('tmp')\nfor _ in range({levels}): os.mkdir({name!r}); os.chdir({name!r})\n{rng.choice(['os.fchdir(here)', 'pass'])}"


_READ: Final = (
    "out/curve.tsv",
    "out/epochs.txt",
    "out/weights.pt",
    "out/weights.pt",
    "out/weights.part",
    "run.json",
    "train.py",
    "prepare.py",
    "out",
    "tmp/train.py",
)
_BOMB: Final = "import pickle\nclass Bomb:\n    def __reduce__(self): return {call}\n"


def _files_of_ours(rng: random.Random) -> str:
    """In the place of a file that the harness reads: a folder, a link, a pipe, garbage."""
    path = rng.choice(_READ)
    away = f"path = {path!r}\ntry: os.unlink(path)\nexcept OSError: pass\n"
    content = rng.choice(
        [
            repr(rng.randbytes(300)),
            "b''",
            "b'PK\\x03\\x04' * 1000",
            "b'1\\t' * 200_000",
            "b'1e400\\t-1e400\\nnan\\tinf\\n1_0\\t0x10\\n' * 5000",
            "b'\\x1b[2J\\xff\\t9\\n' * 5000",
            "b'9' * 100_000",
            "('\\u0663\\t\\u0663\\n' * 1000).encode()",
            "b'-0.0\\t1e308\\n' * 100_000",
            "b'[' * 100_000",
        ]
    )
    deed = rng.choice(
        [
            "os.mkdir(path)",
            "os.mkdir(path, 0)",
            "os.symlink('/dev/zero', path)",
            "os.symlink('/etc/passwd', path)",
            "os.symlink(os.path.basename(path), path)",
            "os.symlink('../run.json', path)",
            "os.mkfifo(path)",
            "os.link('out/epochs.txt', path)",
            f"os.truncate(os.open(path, os.O_RDWR | os.O_CREAT), {rng.choice([1, 49_000_000, 51_000_000, 199_000_000])})",
            f"open(path, 'wb').write({content})",
            f"open(path, 'ab').write({content})",
            f"open(path, 'r+b').truncate({rng.choice([0, 1, 100, 5_000])})",
            f"file = open(path, 'r+b'); file.seek({rng.randrange(6000)}); file.write({rng.randbytes(9)!r})",
            "prepare.finish(model); os.rename('out/weights.pt', 'tmp/w'); os.symlink('../tmp/w', path)",
            "os.rename('out', 'tmp/out'); os.symlink('tmp/out', 'out')",
            "__import__('shutil').rmtree('out'); open('out', 'w')",
        ]
    )
    return away + deed


def _pids(rng: random.Random) -> str:
    return rng.choice(
        ["os.getpid()", "os.getpid()", "os.getppid()", "0", "-1", "1", "2", "-os.getpgrp()", "-os.getppid()"]
    )


def _signals(rng: random.Random) -> str:
    return rng.choice(
        [
            f"os.kill({_pids(rng)}, {rng.choice(_SIGNALS)})",
            f"os.killpg({rng.choice(['0', 'os.getpgrp()'])}, {rng.choice(_SIGNALS)})",
            "import signal; os.kill(os.getpid(), signal.SIGSTOP)",
            "import signal; signal.pthread_sigmask(signal.SIG_SETMASK, range(1, 65))",
            f"import signal, threading; signal.pthread_kill(threading.get_ident(), {rng.randrange(65)})",
            "import signal\nfor n in range(1, 65):\n    try: signal.signal(n, signal.SIG_IGN)\n    except (OSError, ValueError): pass",
            f"import signal; signal.pidfd_send_signal(os.pidfd_open({rng.choice(['os.getppid()', 'os.getpid()', '1'])}), {rng.randrange(65)})",
            f"import signal; signal.signal({rng.randrange(1, 31)}, lambda *_: os._exit(3)); signal.setitimer(signal.ITIMER_PROF, 0.01)",
        ]
    )  # fmt: skip


def _timers(rng: random.Random) -> str:
    return rng.choice(
        [
            f"import signal; signal.setitimer({rng.randrange(3)}, {rng.choice([0.001, 0.05, 1e-6])}, {rng.choice([0, 0.001])})",
            "import signal; signal.signal(14, lambda *_: 1 / 0); signal.setitimer(0, 0.01, 0.01)",
            "import faulthandler; faulthandler.dump_traceback_later(0.05, exit=True)",
            "import faulthandler; faulthandler.dump_traceback_later(0.01, repeat=True)",
            f"import resource; resource.setrlimit({rng.randrange(16)}, (0, 0))",
            f"import resource; resource.setrlimit({rng.randrange(16)}, ({rng.choice([0, 1, 100])}, {rng.choice([-1, 100])}))",
            "time.sleep(30)",
        ]
    )


_OTHER_WEIGHTS: Final = (
    "{n: t * float('nan') for n, t in state.items()}",
    "{n: t * 1e38 for n, t in state.items()}",
    "{n: torch.full_like(t, -float('inf')) for n, t in state.items()}",
    "{n: state['embed.weight'] for n in state}",
    "{n: t[..., :1].expand(t.shape) for n, t in state.items()}",
    "{n: t.t() if t.ndim == 2 else t for n, t in state.items()}",
    "{n: t.to(torch.complex64) for n, t in state.items()}",
    "{n: t.to(torch.float64) for n, t in state.items()}",
    "{n: t.to(torch.float8_e4m3fn) for n, t in state.items()}",
    "{n: t.to(torch.int8) for n, t in state.items()}",
    "{n: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8) for n, t in state.items()}",
    "{n: t.to_sparse() for n, t in state.items()}",
    "{n: t.to('meta') for n, t in state.items()}",
    "{'model': state, 'epoch': 3}",
    "{n: t.tolist() for n, t in state.items()}",
    "{n + '\\x1b[2J\\n\\u202e': t for n, t in state.items()}",
    "{n: t for n, t in list(state.items())[1:]}",
    "{n: t for n, t in state.items()} | {'x' * 100_000: torch.zeros(3)}",
    "{n: t for n, t in state.items()} | {1: torch.zeros(3)}",
    "{n: t[:0] for n, t in state.items()}",
    "{n: torch.as_strided(torch.zeros(8), t.shape, [0] * t.ndim) for n, t in state.items()}",
    "{n: torch.nested.nested_tensor([t, t]) for n, t in state.items()}",
    "{n: t.squeeze().unsqueeze(0) for n, t in state.items()}",
    "state | {'many': torch.zeros(10**7, dtype=torch.uint8)}",
    "list(state.values())",
    "torch.zeros(3)",
    "None",
    "model",
    "os",
)


def _weights(rng: random.Random) -> str:
    begin = "model = model or Net(prepare.vocab_size())\nstate = dict(model.state_dict())\n"
    kind = rng.random()
    if kind < 0.6:
        return f"{begin}torch.save({rng.choice(_OTHER_WEIGHTS)}, 'out/weights.pt')"
    if kind < 0.8:
        call = rng.choice(
            ["(os.system, ('echo STOLEN',))", "(print, ('STOLEN',))", "(bytearray, (10**12,))", "(eval, ('1/0',))"]
        )
        dump = rng.choice(
            [
                "torch.save(Bomb(), 'out/weights.pt')",
                "pickle.dump(Bomb(), open('out/weights.pt', 'wb'))",
                "torch.save({'embed.weight': Bomb()}, 'out/weights.pt')",
            ]
        )
        return _BOMB.format(call=call) + dump
    if kind < 0.9:
        return "import zipfile\nwith zipfile.ZipFile('out/weights.pt', 'w', zipfile.ZIP_DEFLATED) as archive:\n    archive.writestr('archive/data.pkl', bytes(40_000_000)); archive.writestr('archive/version', '3'); archive.writestr('../../x', 'y')"
    deed = rng.choice(
        [
            "del model.head",
            "model.head = None",
            "model.embed.weight.data = torch.zeros(3)",
            "model.state_dict = lambda: 1 / 0",
            "model.register_buffer('é\\n', torch.zeros(2))",
            "model.head.weight.data.fill_(float('nan'))",
            "model.__class__ = nn.Identity",
        ]
    )
    return f"{begin}{deed}\nprepare.finish(model)"


_OTHER_LOGITS: Final = (
    "logits[:, :-1]",
    "logits[..., :7]",
    "logits[0]",
    "logits.unsqueeze(0)",
    "logits * float('nan')",
    "logits + float('inf')",
    "logits * 1e38",
    "logits - 1e38 * (logits < logits.mean())",
    "logits - 3e38 * (torch.rand_like(logits) < 0.5)",
    "logits * 0",
    "logits.half()",
    "logits.double()",
    "logits.to(torch.complex64)",
    "logits > 0",
    "logits.long()",
    "logits.to_sparse()",
    "logits.to('meta')",
    "logits.expand(-1, -1, -1).transpose(0, 1).transpose(0, 1)",
    "torch.cat([logits, logits], -1)",
    "torch.cat([logits] * 400, -1)",
    "torch.rand_like(logits)",
    "logits + torch.rand(())",
    "logits.roll(1, 0)",
    "logits.roll(-1, 1)",
    "logits + (1e-3 if len(os.listdir('tmp')) else 0)",
    "logits.detach().numpy()",
    "logits.tolist()",
    "(logits, 1)",
    "{'logits': logits}",
    "None",
    "1 / 0",
    "exec('raise StopIteration')",
    "exec('raise KeyboardInterrupt')",
    "exec('raise SystemExit(0)')",
    "type('T', (torch.Tensor,), {'float': lambda self: 1 / 0})()",
    "type('Odd', (), {'__class__': torch.Tensor, 'ndim': 3, 'shape': logits.shape})()",
)


def _logits(rng: random.Random) -> str:
    return f"return {rng.choice(_OTHER_LOGITS)}"


_ODD_EXITS: Final = (
    "None",
    "0",
    "1",
    "255",
    "256",
    "-1",
    "10**30",
    "True",
    "3.7",
    "''",
    "'\\x1b[2J' * 300",
    "b'x'",
    "object()",
    "[SystemExit]",
    "type('E', (int,), {'__and__': lambda *_: 'x'})(3)",
    "type('S', (), {'__str__': lambda self: 1 / 0})()",
    "chr(0xd800)",
)


def _exits(rng: random.Random) -> str:
    return rng.choice(
        [
            f"os._exit({rng.choice([0, 0, 1, 2, 70, 127, 137, 255])})",
            f"raise SystemExit({rng.choice(_ODD_EXITS)})",
            f"raise SystemExit({rng.choice(_ODD_EXITS)})",
            "def again(): again()\nagain()",
            "import sys; sys.setrecursionlimit(10**9)\ndef again(): again()\nagain()",
            "import ctypes; ctypes.string_at(0)",
            "import ctypes; ctypes.memset(id(model), 0xff, 64); print(model)",
            "os.abort()",
            f"os.kill(os.getpid(), {rng.randrange(1, 65)})",
            "os.closerange(0, 256)",
            "os.close(2); os.close(1); raise RuntimeError('unheard')",
            f"os.execv('{rng.choice(['/bin/true', '/bin/false', '/bin/sleep', '/proc/self/exe', '/bin/nothing'])}', ['x', '9'])",
            "raise KeyboardInterrupt",
            "raise GeneratorExit",
            f"raise type('Odd', ({rng.choice(['Exception', 'BaseException', 'MemoryError', 'ModuleNotFoundError'])},), {{'__str__': lambda self: {rng.choice(['1 / 0', 'None', 'chr(0xd800)', 'chr(27) * 9999'])}}})()",
            "error = ValueError('a'); error.__cause__ = error; raise error",
            "raise ExceptionGroup('many\\x1b[31m', [ValueError(str(n)) for n in range(300)])",
            "raise ValueError('\\x1b]0;owned\\x07\\u202e\\ud800' * 1000)",
            "raise ValueError('x' * 5_000_000)",
            "from target.program.contract import ContractError; raise ContractError('\\x1b[2J\\u202e' * 1000)",
            "import ctypes; ctypes.CDLL(None).syscall(60, 0)",
        ]
    )  # fmt: skip


def _output(rng: random.Random) -> str:
    return rng.choice(
        [
            "print('\\x1b[2J\\x1b]0;owned\\x07\\u202e\\r' * 60_000)",
            f"os.write(2, bytes.fromhex({rng.randbytes(200).hex()!r}) * 500)",
            "os.write(1, b'\\xf0\\x9f' * 30_000)",
            "os.write(1, bytes(1_000_000))",
            "print('Traceback (most recent call last):\\n  File \"train.py\", line 9' + '9' * 5000 + ', in \\x1b[2J')",
            "print('ContractError: \\x1b[31m' + 'x' * 9000)",
            "print('STOLEN'[:0] + 'val_bpb: 0.0\\nMemoryError')",
            "import sys; sys.stdout = sys.stderr = None",
            "import sys; sys.stdout.close()",
            "for _ in range(200): print('x' * 100_000)",
        ]
    )


_ONCE: Final = "if not hasattr(os, 'hogged'):\n    os.hogged = True\n"  # the kernel has no limit of processes for root


def _hogs(rng: random.Random) -> str:
    return rng.choice(
        [
            "global hog; hog = bytearray(900_000_000)",
            "global hog; hog = torch.ones(10**9)",
            "while True: pass",
            "import threading\nfor _ in range(150): threading.Thread(target=time.sleep, args=(60,), daemon=True).start()",
            f"for _ in range({rng.choice([3, 40])}):\n    if os.fork() == 0: time.sleep(60)",
            _ONCE + "    for _ in range(4): os.fork()",
            _ONCE + "    while os.fork() == 0: pass\n    time.sleep(0.2)",
            "global fds; fds = [os.open('run.json', 0) for _ in range(990)]",
            "global fds; fds = [os.pipe() for _ in range(400)]",
            "os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))\nfor _ in range(20):\n    if os.fork() == 0:\n        while True: pass",
            "os.sched_setaffinity(0, {0}); os.nice(19)",
            "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0: time.sleep(60)\n    os._exit(0)",
            "if os.fork() == 0:\n    os.execv('/bin/sleep', ['sleep', '60'])",
            "torch.set_num_threads(16); torch.ones(1500, 1500) @ torch.ones(1500, 1500)",
            "' ' * 10**8 + 'x' * 10**8",
        ]
    )  # fmt: skip


def _python(rng: random.Random) -> str:
    """What the harness calls in the process of the candidate, replaced."""
    return rng.choice(
        [
            "os._exit = lambda status: None",
            "import sys; sys.exit = os.abort",
            "import traceback; traceback.print_exception = lambda *_: 1 / 0\nraise ValueError('unexplained')",
            "import sys; sys.modules.clear()",
            "import sys; sys.settrace(lambda *_: 1 / 0)",
            "import sys; sys.excepthook = 3; sys.unraisablehook = 3",
            "import builtins; builtins.print = builtins.isinstance = None",
            "torch.save = lambda *_: None",
            "torch.load = lambda *_, **__: {}",
            "torch.Tensor.float = lambda self: torch.zeros(3)",
            "torch.Tensor.copy_ = lambda self, other: self",
            "nn.Module.load_state_dict = lambda self, *_, **__: None",
            "nn.Module.eval = lambda self: None",
            "prepare.finish = prepare.report = lambda *_: None",
            "import socket; socket.socket.sendall = socket.socket.recv = lambda *_: b'f'",
            "import gc; [setattr(each, 'eval', None) for each in gc.get_objects() if isinstance(each, nn.Module)]",
            "import gc\nfor each in gc.get_objects():\n    if type(each) is dict and len(each) < 50: each.clear()",
            "import sys; sys.path[:] = []; sys.argv = None; os.environ.clear()",
            "os.environ['GRAFT_RUN'] = '/dev/zero'",
            "import threading; threading.active_count = lambda: 1 / 0",
            "torch.set_default_dtype(torch.float64); torch.set_default_device('meta')",
            "torch.set_grad_enabled(False); torch.use_deterministic_algorithms(True)",
            "torch.manual_seed = None",
        ]
    )


ACTS: Final[dict[str, Callable[[random.Random], str]]] = {
    "system calls": _system_calls,
    "descriptors": _descriptors,
    "odd files": _odd_files,
    "many files": _many_files,
    "files of ours": _files_of_ours,
    "signals": _signals,
    "timers": _timers,
    "weights": _weights,
    "logits": _logits,
    "exits": _exits,
    "output": _output,
    "hogs": _hogs,
    "python": _python,
}
WEIGHTS: Final = (4, 2, 2, 1, 3, 2, 1, 3, 2, 2, 1, 1, 2)
"""How often each act is drawn, in the order of `ACTS`."""
