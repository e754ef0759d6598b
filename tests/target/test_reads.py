from __future__ import annotations

import ast

import pytest

from target.program.reads import NOT_READ, ONLY_PRINTED, idle_names
from tests.limits import within_cpu_seconds

NAMES = ("DEPTH", "PEAK", "OLD")
TRAINED = "DEPTH, PEAK, OLD = 8, 312e12, 3\ntrain(DEPTH)\n"


@pytest.mark.parametrize(
    "line",
    [
        "print(PEAK)",
        "print(f'peak {PEAK:.1e}', flush=True)",
        "mfu = 100 * speed / dt / PEAK\nprint(f'mfu {mfu:.1f} %')",
        "mfu = 100 * speed / PEAK if dt > 0 else 0\nprint('mfu %.1f' % mfu)",
        "mfu = round(speed / PEAK, 3)\nprint('mfu {}'.format(mfu))",
        "mfu: float = speed / PEAK\nlogger.info('mfu %s', mfu)",
        "mfu = speed / PEAK\nwandb.log({'mfu': mfu, 'step': step})",
        "total = 0\ntotal += speed / PEAK\ntotal = total * 2\nprint(total)",
        "def report(dt):\n    share = speed / dt / PEAK\n    print0(f'{share}')",
    ],
)
def test_what_only_scales_a_printed_figure_is_told_apart(line: str) -> None:
    assert idle_names(ast.parse(TRAINED + line), NAMES) == {"PEAK": ONLY_PRINTED, "OLD": NOT_READ}


@pytest.mark.parametrize(
    "line",
    [
        "x = f(PEAK)\nprint(x)",
        "if speed > PEAK:\n    print('fast')",
        "print(loss - PEAK)",
        "def scaled(x):\n    return x / PEAK",
        "class Config:\n    rate = 2 * PEAK",
        "lr = 0.1 * PEAK\nprint(lr)\noptimizer(lr)",
        "group['lr'] = PEAK * 2",
        "a = PEAK * 2\nb = a / 3\nc = b * 4\nstep(c)",
        "def f(x=PEAK):\n    print(x)",
        "assert 0 <= PEAK <= 1",
        "loss = math.log(PEAK)\nprint(loss)",
        "getattr(config, 'PEAK')",
    ],
)
def test_what_goes_anywhere_else_matters(line: str) -> None:
    assert idle_names(ast.parse(TRAINED + line), NAMES) == {"OLD": NOT_READ}


@pytest.mark.parametrize("line", ["config = globals()", "exec(text)", "{k: eval(k) for k in names}"])
def test_where_names_are_looked_up_every_constant_may_matter(line: str) -> None:
    assert idle_names(ast.parse(TRAINED + line), NAMES) == {}


@pytest.mark.parametrize("call", ["vars(args)", "vars(opt).items()"])
def test_a_program_that_lists_its_arguments_looks_up_no_constant(call: str) -> None:
    assert "OLD" in idle_names(ast.parse(f"{TRAINED}log({call})"), NAMES)


@pytest.mark.parametrize("call", ["vars()", "vars(module)", "vars", "f(vars, args)"])
def test_other_uses_of_vars_may_look_up_any(call: str) -> None:
    assert idle_names(ast.parse(f"{TRAINED}log({call})"), NAMES) == {}


def test_constants_that_nothing_here_reads_are_for_another_file() -> None:
    assert idle_names(ast.parse("DEPTH = 8\nPEAK = 2 * DEPTH\nOLD = 1"), NAMES) == {}


def test_where_nothing_but_figures_is_made_the_figures_are_the_matter() -> None:
    assert idle_names(ast.parse("print('score', DEPTH * 3 / PEAK)"), NAMES) == {"OLD": NOT_READ}


def test_a_long_chain_of_figures_is_followed_in_linear_time() -> None:
    chain = "x0 = PEAK\n" + "".join(f"x{n + 1} = x{n} * 2\n" for n in range(20_000))
    tree = ast.parse(TRAINED + chain + "train(x20000)")

    assert within_cpu_seconds(20, lambda: idle_names(tree, NAMES)) is None
    assert idle_names(tree, NAMES) == {"OLD": NOT_READ}
