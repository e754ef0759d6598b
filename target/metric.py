"""The metric of a target: the ledger minimizes every score under the name val_bpb; users read the target's own."""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

_USUAL: Final = "val_bpb"
_FILE: Final = "train.py"
_DECIMALS: Final = ((100.0, 4), (10_000.0, 2))  # of numbers below a size; larger ones have one
_LEAST_DECIMALS: Final = 1
_HEADING: Final = re.compile(r"(.*\S) \((higher|lower) is better\)", re.IGNORECASE)


_WORD: Final = re.compile(r"[a-z]+\d*")
LOWER_NAMES: Final = frozenset(
    (
        *("loss", "losses", "bpb", "bpc", "bpt", "nll", "ppl", "perplexity", "err", "error", "errors", "mse", "rmse"),
        *("mae", "mape", "wer", "cer", "fid", "latency", "regret"),
    )
)
"""Parts of names of metrics that are never maximized."""
HIGHER_NAMES: Final = frozenset(
    (
        *(
            "acc",
            "accuracy",
            "auc",
            "auroc",
            "auprc",
            "f1",
            "recall",
            "r2",
            "iou",
            "miou",
            "dice",
            "map",
            "bleu",
            "rouge",
        ),
        *(
            "ndcg",
            "mrr",
            "reward",
            "rewards",
            "return",
            "returns",
            "sharpe",
            "sortino",
            "psnr",
            "ssim",
            "elo",
            "cindex",
        ),
        *("winrate", "pnl", "profit", "throughput"),
    )
)
"""Parts of names of metrics that are never minimized."""


def usual_direction(name: str) -> str | None:
    """Return `minimize` or `maximize` if the name of a metric says which scores are better; None if it does not."""
    words = set(_WORD.findall(name.lower()))
    lower, higher = bool(words & LOWER_NAMES), bool(words & HIGHER_NAMES)
    return None if lower == higher else "maximize" if higher else "minimize"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """What a target measures, and of what.

    Attributes:
        name: Its name.
        is_maximized: Whether higher is better; then scores in the ledger have the opposite sign.
        file: What programs are called.
    """

    name: str = _USUAL
    is_maximized: bool = False
    file: str = _FILE

    def value(self, score: float) -> float:
        """Return a score of the ledger in the target's own direction; its own inverse, and for differences too."""
        return 0.0 - score if self.is_maximized else score  # not -score: 0 stays 0

    def values(self, scores: Iterable[float]) -> list[float]:
        """Return scores of the ledger in the target's own direction."""
        return [self.value(float(score)) for score in scores]

    @property
    def is_usual(self) -> bool:
        """Whether it is bits per byte of validation text, which Graft itself measures."""
        return self.name == _USUAL

    def key(self, taken: Container[str]) -> str:
        """Return its name in a table or record whose other columns have the names `taken`."""
        return f"target_{self.name}" if self.name in taken else self.name

    @property
    def file_name(self) -> str:
        """What programs are called, without a folder."""
        return PurePosixPath(self.file).name

    @property
    def improve(self) -> str:
        """What a change is to do with it: `lower` or `raise`."""
        return "raise" if self.is_maximized else "lower"

    @property
    def better(self) -> str:
        """Which direction is better: `lower is better` or `higher is better`."""
        return "higher is better" if self.is_maximized else "lower is better"

    @property
    def direction(self) -> str:
        """What a search does with it, as a target's settings say it: `minimize` or `maximize`."""
        return "maximize" if self.is_maximized else "minimize"

    @property
    def doubt(self) -> str | None:
        """Why its direction is doubtful: its name says the opposite; None if it does not."""
        usual = usual_direction(self.name)
        if usual in (None, self.direction):
            return None
        better = "higher" if usual == "maximize" else "lower"
        return f"{better} {self.name} is usually better, but target.direction={self.direction}"

    @property
    def heading(self) -> str:
        """Its name and direction, for a table that others read: `accuracy (higher is better)`; `val_bpb` is known."""
        return self.name if self.is_usual and not self.is_maximized else f"{self.name} ({self.better})"

    def ends(self, interval: tuple[float, float]) -> tuple[float, float]:
        """Return an interval of scores of the ledger in the target's own direction, the smaller end first."""
        low, high = sorted(map(self.value, interval))
        return low, high

    def text(self, score: float) -> str:
        """Return a score of the ledger as text, in the target's own direction; whole numbers without decimals."""
        value = self.value(score)
        if not self.is_usual and value == round(value):
            return f"{value:.0f}"
        return f"{value:.{self._decimals(value)}f}"

    def delta_text(self, amount: float, score: float) -> str:
        """Return a difference of scores with its sign, in the target's own direction.

        Args:
            amount: The difference, as the ledger has it.
            score: One of the two scores: it decides the number of decimals.
        """
        return f"{self.value(amount):+.{self._decimals(score)}f}"

    def size_text(self, size: float, score: float) -> str:
        """Return a gain or an error, which has no direction, with the decimals of a score."""
        return f"{size:.{self._decimals(score)}f}"

    def _decimals(self, value: float) -> int:
        return next((decimals for below, decimals in _DECIMALS if abs(value) < below), _LEAST_DECIMALS)


VAL_BPB: Final = Metric()


def read_heading(heading: str) -> Metric | None:
    """Return the metric that `Metric.heading` names; None for a text without a direction."""
    found = _HEADING.fullmatch(heading)
    return Metric(name=found[1], is_maximized=found[2].lower() == "higher") if found else None


def metric_of(described: Mapping[str, Any]) -> Metric:
    """Return the metric that a target describes, or that an environment.json has."""
    found = described.get("metric")
    if not isinstance(found, Mapping):
        return VAL_BPB
    return Metric(
        name=str(found.get("name", VAL_BPB.name)),
        is_maximized=found.get("direction") == "maximize",
        file=str(described.get("file", _FILE)),
    )
