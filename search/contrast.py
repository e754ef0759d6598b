"""What is doubtful about a gain, told with the verdict.

Equal weights on different seeds: the program does not use the seed that it is given, and keeps the luck of one draw.

D5: is a gain on the validation text seen on text that nobody has trained on?

An honest gain is about as large on other text, so that the contrast, bpb(validation) - bpb(other), stays where it was.
A model that has seen the validation text, or remembers it from elsewhere, gains there only: its contrast falls. What is
found is told with the verdict and decides nothing, because an honest change may suit one of the texts better too.
"""

from __future__ import annotations

import statistics
from typing import Final

from operators.trial import Trial

_PROBE: Final = "d5_contrast_bpb"
_STANDARD_DEVIATIONS: Final = 3.0  # of a difference of two, that is about two


def doubt_about_seeds(trial: Trial) -> str:
    """Return what is doubtful about trainings of one program that end with the same weights on different seeds."""
    seeds: dict[str, set[int]] = {}
    for run in trial.evaluations:
        if run.weights_sha256:
            seeds.setdefault(run.weights_sha256, set()).add(run.seed)
    equal = next((sorted(those) for those in seeds.values() if len(those) > 1), None)
    if equal is None:
        return ""
    return (
        f"doubtful: the trainings on the seeds {', '.join(map(str, equal))} gave the same weights, so the program does "
        "not use its seed, and repeating it says nothing about its luck"
    )


def doubt(trial: Trial, champion: Trial, noise_bpb: float) -> str:
    """Return what is doubtful about a gain over the champion, in words; empty if nothing is or nothing is known.

    Args:
        trial: Who gained.
        champion: Over whom.
        noise_bpb: Standard deviation of the contrast between trainings of one program.
    """
    pairs = [
        (own, other)
        for own in trial.evaluations
        if (other := champion.measurement(own.seed)) and _PROBE in own.probes and _PROBE in other.probes
    ]
    if not pairs:
        return ""
    gain = statistics.fmean((other.val_bpb or 0.0) - (own.val_bpb or 0.0) for own, other in pairs)
    shift = statistics.fmean(own.probes[_PROBE] - other.probes[_PROBE] for own, other in pairs)
    if not -shift > max(gain / 2, _STANDARD_DEVIATIONS * noise_bpb):
        return ""
    return (
        f"doubtful: of {gain:.4f} bpb gained on the validation text only {gain + shift:.4f} are gained on other text; "
        "has the program seen the validation text?"
    )
