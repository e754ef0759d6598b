from __future__ import annotations

import csv
import gzip
import math
import random
import statistics

import pytest

from target.errors import TargetError
from target.evaluation import Outcome
from target.simulated.recorded import measured_spread, read_recordings
from target.simulated.surrogate import fit_surrogate
from target.simulated.surrogate_target import SurrogateOracle, surrogate_target

FAMILIES = ("gp", "forest", "blend")


def truth(lr: float, depth: int) -> float:
    return 0.98 + 0.02 * math.log(lr / 0.02) ** 2 + 0.001 * (depth - 8) ** 2


def write_record(path, *, rows: int = 150) -> None:
    rng = random.Random(0)
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(
            [
                "method",
                "LR",
                "DEPTH",
                "KIND",
                "DEVICE",
                "TOTAL",
                "outcome",
                "val_bpb",
                "train_seconds",
                "peak_memory_gb",
            ]
        )
        for index in range(rows):
            first = index % 50 == 0  # three methods, all begin with the same configuration, trained three times
            lr, depth = (
                (0.05, 6) if first else (math.exp(rng.uniform(math.log(0.001), math.log(0.5))), rng.randint(2, 16))
            )
            device, total = (64, 128) if first else (2 ** rng.randint(5, 7), 2 ** rng.choice((5, 5, 6, 7)))
            kind = "a" if first else rng.choice("ab")
            method = f"m{index * 3 // rows}"
            constants = [method, repr(lr), depth, kind, device, max(device, total)]
            if depth > 12:
                table.writerow([*constants, "out_of_memory", "", 30.0, ""])
                continue
            for _ in range(3 if first or index % 10 == 5 else 1):
                value = truth(lr, depth) + rng.gauss(0, 3e-4)
                table.writerow([*constants, "ok", value, 300.0, depth * 2.0])


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    path = tmp_path_factory.mktemp("record") / "trials.csv"
    write_record(path)
    return path


@pytest.mark.parametrize("family", FAMILIES)
def test_it_predicts_what_it_was_not_shown(recorded, family) -> None:
    surrogate = fit_surrogate(read_recordings(recorded), family)
    rng = random.Random(1)
    errors = []
    for _ in range(40):
        lr, depth = math.exp(rng.uniform(math.log(0.005), math.log(0.1))), rng.randint(4, 10)
        found = surrogate.predict({"LR": lr, "DEPTH": depth, "KIND": "a", "DEVICE": 64, "TOTAL": 128})
        errors.append(abs(found.score - truth(lr, depth)))
        assert found.fail_probability < 0.5
        assert found.memory_bytes == pytest.approx(depth * 2e9, rel=0.2)

    assert statistics.median(errors) < 0.006
    assert surrogate.predict({"LR": 0.02, "DEPTH": 16, "KIND": "a", "DEVICE": 64, "TOTAL": 128}).fail_probability > 0.5


def test_the_record_gives_the_seed_program_with_its_ranges(recorded) -> None:
    program = read_recordings(recorded).program

    assert program.constants == {"LR": 0.05, "DEPTH": 6, "KIND": "a", "DEVICE": 64, "TOTAL": 128}
    assert "DEPTH = 6  # knob: 2..16 int" in program.source
    assert "DEVICE = 64  # knob: 32..128 pow2" in program.source
    assert "KIND = 'a'  # knob: a | b" in program.source


def test_noise_is_that_of_the_repeats(recorded) -> None:
    record = read_recordings(recorded)
    oracle = SurrogateOracle(fit_surrogate(record, "forest"))
    values = [oracle.evaluate(record.program, seed).score for seed in range(200)]

    assert 1e-4 < measured_spread(record.rows).floor < 6e-4
    assert statistics.fmean(values) == pytest.approx(oracle.truth(record.program), abs=2e-4)
    assert oracle.evaluate(record.program, 7) == oracle.evaluate(record.program, 7)


def test_a_program_that_does_not_fit_never_does(recorded) -> None:
    record = read_recordings(recorded)
    oracle = SurrogateOracle(fit_surrogate(record, "forest"))
    program = record.program.with_constants({"DEPTH": 16})
    runs = [oracle.evaluate(program, seed) for seed in range(5)]

    assert {run.outcome for run in runs} == {Outcome.OUT_OF_MEMORY}
    assert {run.train_seconds for run in runs} == {30.0}
    assert oracle.truth(program) is None


def test_a_combination_that_the_record_corrects_is_read_as_the_corrected_one(recorded) -> None:
    surrogate = fit_surrogate(read_recordings(recorded), "forest")
    below, at = ({"LR": 0.02, "DEPTH": 8, "KIND": "a", "DEVICE": 128, "TOTAL": total} for total in (32, 128))

    assert surrogate.predict(below) == surrogate.predict(at)


def test_the_cache_gives_the_same_model(recorded, tmp_path) -> None:
    record = read_recordings(recorded)
    first, again = (fit_surrogate(record, "blend", tmp_path) for _ in range(2))

    assert first.predict(record.program.constants) == again.predict(record.program.constants)
    assert len(list(tmp_path.iterdir())) == 6  # score, failure and memory of both families


def test_compressed_or_not_is_the_same_record(recorded, tmp_path) -> None:
    packed = tmp_path / "trials.csv.gz"
    packed.write_bytes(gzip.compress(recorded.read_bytes()))

    assert [row.constants for row in read_recordings(packed).rows] == [
        row.constants for row in read_recordings(recorded).rows
    ]


def test_bad_input_is_named(tmp_path) -> None:
    few = tmp_path / "few.csv"
    write_record(few, rows=9)
    with pytest.raises(TargetError, match="a surrogate needs 30"):
        read_recordings(few)
    table = tmp_path / "table.csv"
    for text, said in [
        ("depth,val_bpb\n4,1.0\n", "UPPER_CASE .* its first line has: depth, val_bpb"),
        ("depth,outcome,val_bpb,train_seconds\n4,ok,1.0,3\n", "UPPER_CASE"),
        ("", "its first line has: nothing"),
        ("DEPTH,outcome,val_bpb,train_seconds\n4,OOM,,3\n", "one of ok, pruned, .*got 'OOM'"),
    ]:
        table.write_text(text)
        with pytest.raises(TargetError, match=said):
            read_recordings(table)
    with pytest.raises(TargetError, match=r"target\.trials must name recorded trainings"):
        surrogate_target(name="surrogate", trials=None, model="gp", slots=1)
    with pytest.raises(TargetError, match="there is no"):
        surrogate_target(name="surrogate", trials=str(tmp_path / "none.csv"), model="gp", slots=1)
    with pytest.raises(TargetError, match="blend, gp or forest"):
        fit_surrogate(read_recordings_of(tmp_path), "tree")


def read_recordings_of(folder):
    write_record(folder / "good.csv")
    return read_recordings(folder / "good.csv")
