"""How the deciding number is found in the output of programs that were not written for Graft."""

from __future__ import annotations

import contextlib

import pytest

from target.command.reported import figures_of_pattern, number_of, read_log
from target.command.spec import CommandSpec
from target.errors import TargetError
from target.feedback import CandidateFailure
from target.metric import Metric
from tests.limits import within_cpu_seconds

LOGGING = "2026-11-28 05:07:51,013 INFO epoch 2: train_loss=2.41 val_loss=2.27 val_acc=0.1200\n"
KERAS = "67/67 [====] - 54s 805ms/step - loss: 0.0985 - accuracy: 0.9633 - val_loss: 0.1365 - val_accuracy: 0.9461\n"
TRAINER = "{'eval_loss': 0.35, 'eval_accuracy': 0.87, 'epoch': 3.0}\n{'train_runtime': 12.3}\n"
FOLDS = "Fold 1 acc: 0.81\nFold 2 acc: 0.79\nMean acc: 0.80\n"  # docs/targets.md says which number counts
BOOSTING = "[99]\ttrain's auc: 0.99\tvalid_0's auc: 0.8123\n"


LIGHTNING = """\
Epoch 2/2  ━━━━━━━━━ 23/23 0:00:01 • 0:00:00 22.03it/s v_num: 0 train_loss: 1.613
                                                               val_loss: 1.638
                                                               val_acc: 0.839
┃      Validate metric      ┃       DataLoader 0        ┃
│          val_acc          │    0.8388888835906982     │
│         val_loss          │    1.6375213861465454     │
"""  # 2.6.6: the end of its progress, which it wraps, and of trainer.validate()


def read(log: str, metric: str) -> float:
    figures = read_log(log, metric=metric).figures
    return number_of(figures, metric, place="the output", above=None, log=log)


@pytest.mark.parametrize(
    ("log", "metric", "expected"),
    [
        ("epoch 3: val_acc=0.8123\n", "val_acc", 0.8123),
        (LOGGING + "05:07:52 INFO done, best val_acc=0.1320\n", "val_acc", 0.12),
        ("epoch 1 loss=3 val_acc=0.5\nepoch 2 loss=2 val_acc=0.6\n", "val_acc", 0.6),
        ("loss=3, val_acc=0.5\nepoch 2 loss=2 val_acc=0.6\n", "val_acc", 0.6),
        ("[Epoch 3] train_loss: 0.5 val_acc: 81.23%\n", "val_acc", 81.23),
        ("val_acc: 0.7\nepoch 4 loss=1 val_acc=0.6\n", "val_acc", 0.7),
        ("2026 INFO val_acc=0.8 loss=1\n", "val_acc", 0.8),
        ("step:1390/1390 val_loss:3.2781 train_time:100ms step_avg:10ms\n", "val_loss", 3.2781),
        ("Best val Acc: 0.941176\n", "Best val Acc", 0.941176),
        (KERAS, "accuracy", 0.9633),
        (KERAS, "val_accuracy", 0.9461),
        (TRAINER, "eval_accuracy", 0.87),
        (TRAINER.replace("0.87", "'0.87'"), "eval_accuracy", 0.87),
        (BOOSTING, "valid_0's auc", 0.8123),
        ("epoch 1 val_acc=0.5 loss=1\nepoch 2 val_acc=nan loss=nan\n", "val_acc", None),
        ("epoch 1 loss=1 val_acc=0.81 -> 0.9\n", "val_acc", None),
        ("a: loss=1 val_acc=0.81 (0.9)\n", "val_acc", None),
        ("a: loss=1 val_acc=0.81±0.01\n", "val_acc", None),
        ("Train: loss=0.5 Valid: loss=0.7\n", "loss", None),
        ("best val_acc=0.9\nnew_val_acc=0.9 top/val_acc=0.9\n", "val_acc", None),
        ("Elapsed time: 2.45secs\n", "Elapsed time", None),
        ("step 5 | worth: 12,345 | lr: 0.1\n", "worth", 12345),
        ("step 5: worth=1,012,345.5 lr=0.1\n", "worth", 1_012_345.5),
        ("worth: $12,345.60\n", "worth", 12345.6),
        ("Final worth of all: -$12,345\n", "Final worth of all", -12345),
        ("betas: 0.9,0.999 acc=0.5,123\n", "acc", 0.5),
        ("a: n=1,2,3 acc=12,34 x=1\n", "acc", 12),
        ("{'loss': np.float64(0.51), 'acc': np.float64(0.9123)}\n", "acc", 0.9123),
        ("{'loss': tensor(0.51, device='cuda:0'), 'acc': tensor(-9e-3)}\n", "acc", -0.009),
        ("acc: Array(0.25, dtype=float32)\n", "acc", 0.25),
        ("acc: tensor([0.25, 0.5])\n", "acc", None),
        ("epoch 1 acc=0.2\n│  acc  │  0.8123000264  │\n", "acc", 0.8123000264),
        (LIGHTNING, "val_acc", 0.8388888835906982),
        ("| acc | 0.5 | 0.9 |\nacc: 0.8\n", "acc", 0.8),
        ("| name | value |\n| `acc` | 81.2% |\n| best acc | 0.9 |\n", "acc", 81.2),
        ("| acc | loss |\n| 0.9 | 0.1 |\n", "acc", 0.9),
        ("---\n|  epoch  |  acc  |  tta_acc  |\n---\n|   1  | 0.8 | 0.9 |\n|  eval | 0.81 | 0.92 |\n", "tta_acc", 0.92),
        ("| epoch | acc |\n|---|---|\n| 3 | 0.9 |\n| class | f1 |\n| 3 | 0.1 |\n", "acc", 0.9),
        ("| epoch | acc |\n| 1 | 2 | 3 |\n| 3 | 0.9 |\n", "acc", None),
        ("| epoch | acc |\n| 1 | 0.9 |\nmean | 3 | 0.1 |\n", "acc", 0.9),
        ("step 250: train loss 1.7, val loss 1.88\n", "val loss", 1.88),
        ("val loss 1.88, best val loss 1.7\n", "val loss", 1.88),
        ("val_acc            0.9125\nval_time           12\n", "val_acc", 0.9125),
        ("val_acc 0.9 -> 0.8\n", "val_acc", None),
        ("val_acc 2026-11-28\nval_acc 12 seconds\n", "val_acc", None),
        ("Test set: Average loss: 0.03, Accuracy: 9912/10000 (99%)\n", "Accuracy", 0.9912),
        ("score: 5/4\n", "score", None),
        ("global_step=60, episodic_return=[25.]\n", "episodic_return", 25.0),
        ("acc=[0.1, 0.2]\n", "acc", None),
        ("acc: 0.512 -> new best\n", "acc", 0.512),
        ("acc: 0.512 -> 0.6\n", "acc", None),
        ("acc: 0.5012 +/- 0.0123\n", "acc", 0.5012),
        (FOLDS, "acc", 0.79),
        (FOLDS, "Mean acc", 0.8),
        ("acc: 0.81, 0.79, 0.80\n", "acc", 0.81),
    ],
)
def test_the_metric_is_found_among_the_other_figures_of_a_line(log, metric, expected):
    if expected is None:
        with pytest.raises(CandidateFailure, match="metric: "):
            read(log, metric)
    else:
        assert read(log, metric) == expected


@pytest.mark.parametrize(
    ("log", "metric", "told"),
    [
        (FOLDS, "acc", "acc has 2 values in the output; the last counts: 0.79. If another one is the result, set "),
        (FOLDS, "Mean acc", ""),
        ("acc: 0.81, 0.79, 0.80\n", "acc", "acc has 3 values in the output; the first in its line counts: 0.81. "),
        (
            "acc: 1, 3\nacc: 0.8, 0.7\n",
            "acc",
            "4 values in the output; the first in the last line that has it counts: ",
        ),
        ("acc: 0.5 | acc: 0.7\n", "acc", "acc has 2 values in the output; the first in its line counts: 0.5. "),
        ("step 1 | acc: 0.5 | acc: 0.7\n", "acc", "acc has 2 values in the output; the last counts: 0.7. "),
        (
            "acc: 0.7\nn=1 acc=0.6\n",
            "acc",
            "has 2 values in the output; the last that has a line to itself counts: 0.7. ",
        ),
        (
            "| epoch | acc |\n| 1 | 0.8 |\n| 2 | 0.9 |\n",
            "acc",
            "acc has 2 values in the output; the last counts: 0.9. ",
        ),
        ("val acc 0.5\nval acc 0.6\n", "val acc", "val acc has 2 values in the output; the last counts: 0.6. "),
        ("acc: 3/10\nacc: 4/10\n", "acc", "acc has 2 values in the output; the last counts: 4/10. "),
        ("epoch 3 acc=0.9\nacc: 90e-2\nacc: n/a\n", "acc", ""),
        ("best acc: 0.9\nacc: 0.5\nloss: 3\n", "acc", ""),
    ],
)
def test_which_of_several_values_counts_is_told(log, metric, told):
    choice = read_log(log, metric=metric).choice(metric)

    assert told in choice
    assert bool(choice) == bool(told)
    assert not told or choice.endswith("target.metric_pattern to a regular expression with one group, for the number")


def test_a_line_that_has_the_name_but_no_clear_number_is_shown_with_what_to_do():
    with pytest.raises(CandidateFailure) as caught:
        read(" * Acc@1 76.130 Acc@5 92.862\nsaved the model\n", "acc@1")

    assert caught.value.detail == (
        "metric: no 'acc@1' in the output; the last line with that name: '* Acc@1 76.130 Acc@5 92.862'; if it has the "
        "result: set target.metric_pattern to a regular expression with one group, for the number"
    )


@pytest.mark.parametrize(
    ("log", "pattern", "expected"),
    [
        (" * Acc@1 75.0 Acc@5 92.0\n * Acc@1 76.1 Acc@5 92.8\n", r"Acc@1 ([\d.]+)", "76.1"),
        ("│       val_acc       │    0.8123   │\n", r"val_acc\s+│\s+([\d.]+)", "0.8123"),
        ("Elapsed time: 2.45secs\r\n", r"^Elapsed time: ([\d.]+)secs$", "2.45"),
        ("\x1b[32mval loss\x1b[0m 1.8857\n", "val loss ([0-9.]+)", "1.8857"),
        ("a 1 2 3\n", r"(\d)", "3"),
    ],
)
def test_a_pattern_finds_a_number_in_any_form(log, pattern, expected):
    assert figures_of_pattern(log, pattern)[-1] == expected


def test_a_pattern_that_never_ends_on_a_hostile_line_is_stopped_and_told():
    hostile = "epoch 1: acc 0.5\n" + "x" * 60 + "\n"

    with pytest.raises(CandidateFailure, match=r"metric_pattern=.* stopped after 0\.05 CPU seconds, at the text 'xxx"):
        figures_of_pattern(hostile, "(?:x|xx)+y([0-9])", seconds=0.05)


@pytest.mark.parametrize(
    ("pattern", "phrase"),
    [
        ("acc ([0-9.]+", "must be a regular expression, got 'acc .*missing"),
        ("acc [0-9.]+", "must have one group, for the number, .*got 0 groups"),
        ("(acc) ([0-9.]+)", "got 2 groups"),
    ],
)
def test_a_pattern_without_exactly_one_group_is_refused(tmp_path, pattern, phrase):
    settings = {"name": "x", "root": tmp_path, "file": "a.py", "command": "python a.py", "metric": "acc"}
    rest = {"direction": "maximize", "limit_seconds": 1, "device": "cpu", "threads": 1, "disk_bytes": 1}

    with pytest.raises(TargetError, match=phrase):
        CommandSpec.from_config({**settings, **rest, "metric_pattern": pattern})


def test_a_command_that_yaml_reads_as_a_boolean_is_refused(tmp_path):
    settings = {"name": "x", "root": tmp_path, "file": "a.py", "command": True, "metric": "acc", "device": "cpu"}

    with pytest.raises(TargetError, match=r"target\.command must be a text, got True"):
        CommandSpec.from_config(
            {**settings, "direction": "maximize", "limit_seconds": 1, "threads": 1, "disk_bytes": 1}
        )


@pytest.mark.parametrize(
    ("environment", "problem"),
    [
        ({"A": True}, r"target\.environment\.A must be text or a whole number, got True"),
        ({"VERSION": 1.1}, "got 1.1: write the text that is meant in quotes, as in '.target.environment={VERSION: "),
        (["A=1"], "must be a mapping of names to values"),
        ({"A": 1, "B": "1.10"}, ""),
    ],
)
def test_variables_are_text_or_numbers_that_have_one_form_as_text(tmp_path, environment, problem):
    settings = {"name": "x", "root": tmp_path, "file": "a.py", "command": "python a.py", "metric": "m", "device": "cpu"}
    rest = {"direction": "maximize", "limit_seconds": 1, "threads": 1, "disk_bytes": 1, "environment": environment}

    with pytest.raises(TargetError, match=problem) if problem else contextlib.nullcontext():
        assert CommandSpec.from_config({**settings, **rest}).environment == {"A": "1", "B": "1.10"}


def test_a_long_line_of_brackets_is_read_in_linear_time():
    line = "acc=tensor(0." + "1" * 9_000 + "," + "x(" * 400

    within_cpu_seconds(5, lambda: read_log(f"{line}\n" * 50, metric="acc"))


@pytest.mark.parametrize(
    ("name", "direction", "doubt"),
    [
        ("val_acc", "minimize", "higher val_acc is usually better, but target.direction=minimize"),
        ("Val AUC", "minimize", "higher Val AUC is usually better, but target.direction=minimize"),
        ("test_r2", "minimize", "higher test_r2 is usually better, but target.direction=minimize"),
        ("val_loss", "maximize", "lower val_loss is usually better, but target.direction=maximize"),
        ("val_acc", "maximize", None),
        ("val_bpb", "minimize", None),
        ("score", "minimize", None),
        ("reward_error", "minimize", None),
        ("account", "minimize", None),
    ],
)
def test_a_direction_that_the_name_of_the_metric_contradicts_is_doubted(name, direction, doubt):
    assert Metric(name=name, is_maximized=direction == "maximize").doubt == doubt
