"""What a stuck search gains by looking further (`stuck.action=widen`) over going on as before.

    python benchmarks/stuck.py [--seeds 16] [--trials 40] [--hours 6] [--json FILE]
    python benchmarks/stuck.py --data FILE.csv.gz [--seeds 16] [--trials 40] [--hours 6] [--json FILE]

Without data, the target is the landscape, with an operator that changes constants or structure; with data, a model of
recorded five-minute trainings, with `constants`. Each search runs until it has had `--trials` verdicts without a keep,
for `--until` simulated hours at most. From there it goes on twice for `--hours`: as before, and with wider proposals.
So both have one past, and what differs is what being stuck does.

Columns are over the seeds whose search was stuck: how many that were, and after how many hours of training (median);
in which share of them there was another keep; how much the noise-free score of the champion fell, in 1e-3 bpb (mean);
and the mean of the paired differences, wider minus as before (below 0: widening gains more). Intervals are 95 %
bootstrap intervals of the mean.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))  # where `benchmarks` is, also if it is not the current directory

from benchmarks.simulated import parse_simulated, simulated_options
from benchmarks.strategies import STRATEGIES, configured, default_of, interval, load_oracle, make_operator, truth_of
from search.budget import Budget
from search.settings import Settings
from search.simulate import Simulation, simulate
from search.stuck import Action, StuckSettings

ARMS: Final = (Action.SAY, Action.WIDEN)


def main() -> None:
    """Run everything and print the table."""
    parser = simulated_options(__doc__)
    parser.add_argument("--trials", type=int, default=40, help="verdicts without a keep (default: %(default)s)")
    parser.add_argument("--hours", type=float, default=6.0, help="after that (default: %(default)s)")
    parser.add_argument("--until", type=float, default=24.0, help="latest hour of being stuck (default: %(default)s)")
    parser.add_argument("--rows", nargs="+", choices=STRATEGIES, default=STRATEGIES, help="only these")
    options = parse_simulated(parser)

    rows, began = list[dict[str, Any]](), time.monotonic()
    with multiprocessing.get_context("fork").Pool(options.jobs) as pool:
        for name in options.rows:
            found = pool.map(partial(run, options, name), range(options.seeds), chunksize=1)
            rows.append(row_of(name, [each for each in found if each]))
            print(f"{name} done after {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
            if options.json:
                options.json.write_text(
                    json.dumps({"target": options.target, "rows": rows}, indent=2) + "\n", encoding="utf-8"
                )
    then = f"stuck after {options.trials} verdicts, then {options.hours:g} h of training"
    print(f"{options.target}: {options.seeds} seeds, {then}")
    print_table(rows)


def run(options: argparse.Namespace, strategy: str, seed: int) -> dict[str, Any] | None:
    """Return the gains of the two ways to go on from where a search is stuck; None if it never was."""
    oracle, program = load_oracle(options.target, options.data, "gp")
    plain = configured("strategy", strategy, seed)

    def settings(action: Action) -> Settings:
        return Settings(
            name="benchmark",
            strategy_name=strategy,
            seed=seed,
            seed_program=program,
            strategy=StuckSettings(trials=options.trials, action=action).strategy(plain),
            operator=make_operator("constants" if options.data else "mixed"),
            extra_operators={"tune": configured("operator", "tune", seed)},
            acceptance=configured("acceptance", default_of("acceptance"), seed),
            budget=Budget(hours=options.until + options.hours),
            propose_ahead=0,
            max_failures=50,
        )

    past = simulate(settings(Action.STOP), oracle.evaluate, hours=options.until)
    if len(past.population.since_keep) < options.trials:
        return None
    begin = champion(past, oracle)
    found: dict[str, Any] = {"seed": seed, "hours": past.hours}
    for action in ARMS:
        end = simulate(settings(action), oracle.evaluate, hours=past.hours + options.hours, begun=past)
        is_kept = end.population.keeps > past.population.keeps
        found[action.value] = {"gain": 1e3 * (champion(end, oracle) - begin), "kept": is_kept}
    return found


def champion(found: Simulation, oracle: Any) -> float:
    """Return the noise-free value of the champion."""
    return truth_of(oracle, found.population.champion)


def row_of(name: str, found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return a row: shares and means over the searches, and the paired difference with its interval."""
    row: dict[str, Any] = {"name": name, "stuck": len(found), "searches": found}
    if not found:
        return row
    row["hours"] = float(np.median([each["hours"] for each in found]))
    gains = {action: np.array([each[action.value]["gain"] for each in found]) for action in ARMS}
    for action in ARMS:
        row[f"kept_{action.value}"] = float(np.mean([each[action.value]["kept"] for each in found]))
        row[f"gain_{action.value}"] = float(gains[action].mean())
    differences = gains[Action.WIDEN] - gains[Action.SAY]
    row["difference"] = float(differences.mean())
    drawn = np.random.default_rng(0).choice(differences, (2000, len(differences)))
    row["difference_interval"] = interval(drawn.mean(axis=1))
    return row


def print_table(rows: Sequence[dict[str, Any]]) -> None:
    """Print the rows in Markdown."""
    print("| strategy | stuck | after h | kept: as before | wider | gain, 1e-3: as before | wider | difference |")
    print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        cells = [f"`{row['name']}`", f"{row['stuck']}"]
        if row["stuck"]:
            low, high = row["difference_interval"]
            cells += [f"{row['hours']:.1f}", f"{row['kept_say']:.0%}", f"{row['kept_widen']:.0%}"]
            cells += [f"{row['gain_say']:+.2f}", f"{row['gain_widen']:+.2f}"]
            cells += [f"{row['difference']:+.2f} [{low:+.2f}, {high:+.2f}]"]
        print(f"| {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
