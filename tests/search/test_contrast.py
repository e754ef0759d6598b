from __future__ import annotations

from dataclasses import replace

import pytest

from operators.trial import Status, Trial
from search.acceptance import doubt, doubt_about_seeds
from tests.search.builders import make_evaluation, make_trial


def with_contrast(number: int, runs: dict[int, tuple[float, float | None]]) -> Trial:
    """Return a trial with a (val_bpb, contrast) for each seed."""
    evaluations = tuple(
        replace(make_evaluation(value, seed=seed), probes={} if contrast is None else {"d5_contrast_bpb": contrast})
        for seed, (value, contrast) in runs.items()
    )
    return replace(make_trial(number, status=Status.PENDING), evaluations=evaluations)


NOISE_BPB = 0.01
CHAMPION = with_contrast(0, {1: (2.40, 0.19), 2: (2.42, 0.20)})


@pytest.mark.parametrize("contrast", [0.19, 0.18, 0.25])
def test_a_gain_that_is_seen_on_both_texts_is_not_doubted(contrast: float) -> None:
    assert doubt(with_contrast(1, {1: (2.30, contrast)}), CHAMPION, NOISE_BPB) == ""


def test_a_gain_on_the_validation_text_alone_is_told_with_its_size() -> None:
    said = doubt(with_contrast(1, {1: (2.35, 0.145)}), CHAMPION, NOISE_BPB)

    assert "of 0.0500 bpb gained on the validation text only 0.0050 are" in said


def test_a_shift_within_the_noise_is_not_doubted_however_small_the_gain() -> None:
    assert doubt(with_contrast(1, {1: (2.399, 0.185)}), CHAMPION, NOISE_BPB) == ""


def test_only_seeds_on_which_both_were_measured_count() -> None:
    assert doubt(with_contrast(1, {1: (2.30, None), 3: (2.30, 0.0)}), CHAMPION, NOISE_BPB) == ""
    assert doubt(with_contrast(1, {2: (2.30, 0.0), 3: (2.30, 0.3)}), CHAMPION, NOISE_BPB)


@pytest.mark.parametrize(
    ("hashes", "said"),
    [
        ({1: "a", 2: "b", 3: "c"}, ""),
        ({1: "a"}, ""),
        ({1: None, 2: None}, ""),
        ({1: "a", 2: "b", 7: "a"}, "the seeds 1, 7 gave the same weights"),
    ],
)
def test_equal_weights_on_different_seeds_are_told(hashes: dict[int, str | None], said: str) -> None:
    runs = tuple(replace(make_evaluation(2.3, seed=seed), weights_sha256=sha256) for seed, sha256 in hashes.items())

    found = doubt_about_seeds(replace(make_trial(1, status=Status.PENDING), evaluations=runs))

    assert said in found
    assert bool(said) is bool(found)


def test_a_training_that_was_killed_and_done_again_counts_twice() -> None:
    runs = (make_evaluation(2.3, seed=1), replace(make_evaluation(2.3, seed=2), tries=2, score_tries=2))
    untrained = replace(make_evaluation(2.3, seed=3), trained=False, tries=2)

    assert replace(make_trial(1, status=Status.PENDING), evaluations=(*runs, untrained)).trainings == 3
