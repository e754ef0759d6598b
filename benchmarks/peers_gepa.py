"""One search of GEPA, for `peers.py`: this file is run by a Python that has GEPA.

python peers_gepa.py TRAINING_URL MODEL_URL TRAININGS SEED, in a folder with program.py. Leaves best.json.
"""

from __future__ import annotations

import json
import sys
import urllib.request
from pathlib import Path

from gepa.optimize_anything import EngineConfig, GEPAConfig, ReflectionConfig, optimize_anything


def main() -> None:
    """Search, and write the best program with its score."""
    training_url, model_url, trainings, seed = sys.argv[1:]

    def score(candidate: str) -> float:
        request = urllib.request.Request(training_url, data=candidate.encode())
        with urllib.request.urlopen(request) as answer:
            return float(json.load(answer))

    result = optimize_anything(
        seed_candidate=Path("program.py").read_text(encoding="utf-8"),
        evaluator=score,
        objective="Raise the score of this program.",
        config=GEPAConfig(
            engine=EngineConfig(max_metric_calls=int(trainings), seed=int(seed), max_workers=1),
            reflection=ReflectionConfig(reflection_lm="openai/scripted", reflection_lm_kwargs={"api_base": model_url}),
        ),
    )
    best = {"source": result.best_candidate, "score": max(result.val_aggregate_scores)}
    Path("best.json").write_text(json.dumps(best), encoding="utf-8")


if __name__ == "__main__":
    main()
