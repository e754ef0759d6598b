"""Marks the tests of `pytest -m fast`, which one runs while editing: they train nothing and take about a minute."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(variable, "1")  # before torch and numpy: threads of tests side by side wait for each other

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # the many processes of the tests read compiled modules, as a user's do
sys.dont_write_bytecode = False

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in the background of a shell: children inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile(
    "same",
    deadline=None,  # an example takes longer on a busy machine, and so does making it
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=True,  # a change is refused for what it breaks, and not because this run drew what no other has drawn
)
settings.register_profile(
    "explore", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=2000, print_blob=True
)
settings.load_profile("same")  # pytest --hypothesis-profile=explore looks for new examples

FAST = {
    "": ("layers", "rooms"),
    "cases": ("replies",),
    "contracts": ("acceptance", "strategy"),
    "operators": (
        *("constants", "crossover", "direct", "edit", "edit_values", "hostile_text", "mix", "population", "prompt"),
        *("reasoning", "repair", "retry", "scores", "selection", "statement", "switch", "token_limits"),
    ),
    "search": (
        *("acceptance", "arguments", "budget", "construct", "contrast", "exchanges", "journal", "lineage_strategies"),
        *("graft", "lock", "mistakes", "names", "results", "rundir", "simulate", "statistics", "strategies", "sweep"),
        *("busy", "metric"),
    ),
    "target": (
        *("cards", "constants", "contract", "cores", "draft", "feedback", "movable", "probes", "program", "reads"),
        *("saved_weights", "space", "syntax"),
    ),
}
"""Test modules by directory. A new one joins if it takes a second or two."""

SLOW = frozenset(
    {
        "test_a_command_is_the_same_module_and_what_hides_it_is_not_imported",
        "test_a_comma_on_the_command_line_keeps_its_remedy",
        "test_a_conf_of_ones_own_in_the_working_directory_is_not_imported",
        "test_a_path_in_the_home_is_that_of_the_user",
        "test_a_reply_of_a_megabyte_of_marks_is_refused",
        "test_a_search_on_a_disk_without_locks_says_what_outputs_needs",
        "test_a_search_with_such_a_name_leaves_nothing",
        "test_a_sweep_over_long_settings_runs_and_resumes",
        "test_another_sweep_does_not_go_on_in_the_folders_of_the_first",
        "test_commands_that_are_printed_can_be_pasted_where_outputs_has_a_space",
        "test_no_program_text_is_an_error_of_ours",
        "test_programs_of_many_lines_are_compared_at_once",
        "test_what_is_least_important_gives_way_first",
    }
)
"""Their tests that start a search, or take several seconds: `pytest -m fast` leaves them out."""

MODULES = frozenset(
    Path(__file__).parent / directory / f"test_{name}.py" for directory, names in FAST.items() for name in names
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path in MODULES and item.name.partition("[")[0] not in SLOW:
            item.add_marker("fast")
