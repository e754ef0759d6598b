"""Settings that fit the cards, and how the machine is shared among trainings: stand-ins for the list of cards."""

import dataclasses

import pytest

from target.command.kind import CommandKind
from target.device import Card, ListedCard, allot, describe, fit, name_cards
from target.device.cores import usable_cores
from target.errors import TargetError
from target.evaluate import load_target
from target.trained import TrainedKind
from tests.cards import GB, H100, MIG, TWO_H100, pretend
from tests.checkouts import autoresearch_spec, make_checkout

GIB = 1 << 30


@pytest.fixture(scope="module")
def gpu():
    return load_target("gpu")


@pytest.mark.parametrize(
    ("gigabytes", "depth", "micro_tokens", "batch_rows"),
    [  # as torch reports them: error correction and the driver take a part of what the name of a card says
        (79.10, 9, 131_072, 16),  # H100 80GB
        (44.39, 9, 65_536, 16),  # L40S, A40
        (39.39, 9, 65_536, 16),  # A100 40GB
        (23.64, 6, 32_768, 8),  # RTX 4090
        (22.03, 6, 32_768, 8),  # L4, A10G
        (14.58, 4, 16_384, 4),  # T4
        (11.76, 4, 16_384, 4),  # RTX 3060
        (7.78, 4, 8_192, 2),  # RTX 3070
        (6, 4, 8_192, 2),
    ],
)
def test_a_card_gets_the_settings_of_the_largest_that_is_no_larger(gpu, gigabytes, depth, micro_tokens, batch_rows):
    fitted, said = describe(gpu, [Card("Some Card", int(gigabytes * GIB))])

    constants = fitted.seed_program().constants
    assert constants["DEPTH"] == depth
    assert constants["MICRO_TOKENS"] == micro_tokens
    assert fitted.scoring.batch_rows == batch_rows
    assert said.startswith("Some Card, ")
    assert ("DEPTH=" in said) == (depth != 9)
    assert ("scoring.batch_rows=" in said) == (batch_rows != 16)


def test_every_card_takes_whole_passes_and_whole_rows(gpu):
    for gigabytes in gpu.cards:
        program = gpu.fitted(gigabytes * GIB).seed_program()
        assert program.constants["BATCH_TOKENS"] % program.constants["MICRO_TOKENS"] == 0
        assert program.constants["MICRO_TOKENS"] % gpu.sequence_tokens == 0


def test_a_machine_without_a_gpu_is_told_what_to_do(gpu, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")

    with pytest.raises(
        TargetError, match=r"target gpu needs a GPU, and torch .* finds none \(Torch not .*\); .* use target=tiny"
    ):
        fit(gpu)


def test_a_cpu_is_taken_as_it_is():
    tiny = load_target("tiny")

    assert fit(tiny) == (tiny, None)


def test_a_card_with_other_settings_than_there_are_is_refused():
    with pytest.raises(TargetError, match=r"target\.cards must map gigabytes .*batch_row"):
        load_target("gpu", ["cards.24.batch_row=3"])


def test_a_search_on_unequal_cards_has_the_settings_of_the_smallest_and_says_so(gpu):
    fitted, said = describe(gpu, [Card("Large", 80 * GIB, "0"), Card("Small", 12 * GIB, "1")], slots=2)

    assert fitted == describe(gpu, [Card("Small", 12 * GIB)])[0]
    assert said.startswith(
        "Large, 86 GB and Small, 13 GB, one training at a time on each: for the smallest memory DEPTH=4"
    )
    assert said.endswith("name equal ones in CUDA_VISIBLE_DEVICES")


def test_a_search_has_the_same_settings_whatever_the_number_of_workers(gpu, monkeypatch, tmp_path):
    pretend(monkeypatch, tmp_path, MIG)

    assert fit(gpu, slots=1)[0] == fit(gpu, slots=4)[0] == gpu.fitted(5 * GB)


@pytest.mark.parametrize(
    ("cards", "slots", "expected"),
    [
        (1, None, "NVIDIA H100 80GB HBM3, 85 GB"),
        (1, 1, "NVIDIA H100 80GB HBM3, 85 GB"),
        (2, None, "2 x NVIDIA H100 80GB HBM3, 85 GB each"),
        (2, 2, "2 x NVIDIA H100 80GB HBM3, 85 GB each, one training at a time on each"),
        (2, 1, "2 x NVIDIA H100 80GB HBM3, 85 GB each, one training at a time on the first"),
        (4, 3, "4 x NVIDIA H100 80GB HBM3, 85 GB each, one training at a time on each of the first 3"),
    ],
)
def test_cards_are_named_with_what_runs_on_them(cards, slots, expected):
    assert name_cards([Card(H100, 85 * GB + number, str(number)) for number in range(cards)], slots=slots) == expected


def test_listed_cards_are_named_without_their_memory():
    assert name_cards([ListedCard(name=H100, id="0"), ListedCard(name=H100, id="1")]) == f"2 x {H100}"


def test_each_card_gets_one_training_and_a_share_of_the_cores(gpu, monkeypatch, tmp_path):
    pretend(monkeypatch, tmp_path, TWO_H100)
    shared = allot(TrainedKind(gpu), None)

    assert shared.slots == 2
    assert [shared.environment(slot) for slot in range(2)] == [
        {"CUDA_VISIBLE_DEVICES": "0"},
        {"CUDA_VISIBLE_DEVICES": "1"},
    ]
    assert shared.threads == max(1, min(gpu.threads, usable_cores() // 2))
    assert allot(TrainedKind(gpu), 1).threads == min(gpu.threads, usable_cores())


def test_more_trainings_than_cards_are_refused_with_the_reason(gpu, monkeypatch, tmp_path):
    pretend(monkeypatch, tmp_path, TWO_H100)
    reason = "about half the steps each, so their scores could not be compared"

    with pytest.raises(
        TargetError, match=rf"executor\.workers must be at most the number of GPUs, 2, got 3: .*{reason}"
    ):
        allot(TrainedKind(gpu), 3)
    with pytest.raises(TargetError, match=r"--slots must be at most .* give 2, or leave --slots out"):
        allot(TrainedKind(gpu), 3, setting="--slots")
    with pytest.raises(TargetError, match=r"executor\.workers must be at most the number of GPUs, 2, got 3"):
        allot(CommandKind(autoresearch_spec(make_checkout(tmp_path / "checkout"))), 3)


def test_a_cpu_has_as_many_trainings_as_cores_for_their_threads():
    tiny, cores = load_target("tiny"), usable_cores()

    assert (allot(TrainedKind(tiny), None).slots, allot(TrainedKind(tiny), None).threads) == (cores, 1)
    wide = dataclasses.replace(tiny, threads=2 * cores)
    assert (allot(TrainedKind(wide), None).slots, allot(TrainedKind(wide), None).threads) == (1, cores)
    more = allot(TrainedKind(tiny), 3 * cores)
    assert (more.slots, more.threads, more.environment(2)) == (3 * cores, 1, {})


def test_a_command_for_which_no_card_is_found_runs_alone_unless_told_otherwise(monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    spec = autoresearch_spec(make_checkout(tmp_path / "checkout"))

    assert (allot(CommandKind(spec), None).slots, allot(CommandKind(spec), None).environment(0)) == (1, {})
    assert allot(CommandKind(spec), 2).slots == 2


@pytest.mark.parametrize("workers", [0, -1])
def test_there_must_be_a_training(workers):
    with pytest.raises(TargetError, match=rf"executor\.workers must be at least 1, got {workers}; leave it out"):
        allot(TrainedKind(load_target("tiny")), workers)
