"""Settings of a target: what is trained, for how long, on what, and how it is scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from target.errors import TargetError
from target.fits import misfit
from target.program import Program
from target.program.constants import Value, format_value, parse_constants
from target.program.reading import read_program
from target.words import command

Sandbox = Literal["auto", "strict", "off"]
_CARD_SLACK_BYTES = 1_000_000_000  # kept by the driver of the nominal memory
_MOST_HELD_OUT_PERCENT = 40
SEED_PROGRAM = Path(__file__).parent / "train.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class Corpus:
    """The source of the text and its tokenisation.

    Attributes:
        name: `packages`: the installed sources of sympy, networkx, mpmath, control and pysmt. `installed`: of more
            packages. `climbmix`: web text, downloaded. `files`: text of your own.
        vocab_size: Tokens of the BPE, the special token included.
        shards: Training shards of `climbmix`, 60 million tokens each.
        folder: The folder with the text of `files`: its .txt, .jsonl and .parquet files are read.
        column: The key or column under which .jsonl and .parquet files of `files` have their text.
        held_out_percent: Percentage of the documents of `files` for each of validation and holdout.
    """

    name: str
    vocab_size: int
    shards: int = 10
    folder: str | None = None
    column: str = "text"
    held_out_percent: int = 5

    def __post_init__(self) -> None:
        if self.vocab_size < 258:
            raise TargetError(
                f"corpus.vocab_size must be at least 258 (256 bytes, a merge, a special token), got {self.vocab_size}"
            )
        if self.shards < 1:
            raise TargetError(f"corpus.shards must be at least 1, got {self.shards}")
        if not 1 <= self.held_out_percent <= _MOST_HELD_OUT_PERCENT:
            raise TargetError(
                f"corpus.held_out_percent must be from 1 to {_MOST_HELD_OUT_PERCENT}, for each of validation and "
                f"holdout, got {self.held_out_percent}"
            )
        if self.folder:  # absolute: workers have another working directory
            object.__setattr__(self, "folder", str(Path(self.folder).expanduser().absolute()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoring:
    """How the trusted score is computed, and what the probes tolerate.

    Attributes:
        rows: Rows of `sequence_tokens` targets in the scored pass.
        batch_rows: Rows of one forward pass; every pass, probes included, has this shape.
        cuts: Number of cuts of the causality probe, which replaces the rest of a row; one per row if thorough.
        tolerance_nats: Largest accepted change of a log-probability that must not change.
        start_seconds: Limit for a model server to load the weights and build the model, by the clock of the target.
        pass_seconds: Further limit for each forward pass, on average over the passes it has answered.
    """

    rows: int
    batch_rows: int
    cuts: int
    tolerance_nats: float
    start_seconds: float
    pass_seconds: float

    def __post_init__(self) -> None:
        if self.batch_rows < 2 or self.rows < self.batch_rows or self.rows % self.batch_rows:
            raise TargetError(
                "scoring.rows must be a multiple of scoring.batch_rows, and scoring.batch_rows at least 2, "
                f"got {self.rows} and {self.batch_rows}"
            )
        for name in ("cuts", "tolerance_nats", "start_seconds", "pass_seconds"):
            if getattr(self, name) <= 0:
                raise TargetError(f"scoring.{name} must be positive, got {getattr(self, name)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSpec:
    """One target, as `conf/target/<name>.yaml` describes it.

    Attributes:
        name: Its name.
        corpus: Text and tokeniser.
        scoring: The trusted score.
        program: File with the program that the search begins with; None for `target/train.py` with `constants` applied.
        constants: Values for constants of `target/train.py`.
        cards: Settings for devices, by their least memory in GB: `constants` are added, `batch_rows` is that of the
            scoring.
        card_gb: Memory in GB of the GPUs of a cluster, for a search on a machine without one; None to ask torch here.
        device: The device for training.
        clock: What the budget counts: CPU seconds of the process tree, or wall-clock seconds.
        threads: CPU threads of one training.
        train_seconds: Training budget, by `clock`.
        startup_seconds: Fixed allowance on top, for start-up and compilation; the same for every program.
        finish_seconds: Time reserved at the end for saving the weights.
        stall_factor: A training or a model server is killed when the wall clock passes this multiple of its CPU limit
            (`clock=cpu` only), so that a sleeping candidate cannot hold a slot for ever.
        memory_bytes: Memory limit of the candidate (`device=cpu` only): for the address space of each of its processes
            beyond that of Python with torch, and for the memory of all of them together.
        disk_bytes: Limit for the size of all of the candidate's files together.
        weights_bytes: Largest file of weights, buffers included; the scorer holds a copy in memory.
        preflight_seconds: Limit, in CPU seconds, of the check before the training.
        sequence_tokens: Context length at scoring, T.
        processes: Whether a program may start other processes, as compilers do. It may always start threads.
        packages: Distributions that programs may import, with their dependencies, beside torch, numpy and their
            dependencies; None for all installed ones. Packages with held-out text are always withheld.
        sandbox: `strict` refuses to run when a layer of isolation is missing. `auto` uses the available layers. `off`
            keeps only what every evaluation needs: limits, and ending everything that a candidate starts.
    """

    name: str
    corpus: Corpus
    scoring: Scoring
    program: Path | None = None
    constants: Mapping[str, Value] = field(default_factory=dict)
    cards: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    card_gb: float | None = None
    device: Literal["cpu", "cuda"]
    clock: Literal["cpu", "wall"]
    threads: int
    train_seconds: float
    startup_seconds: float
    finish_seconds: float
    stall_factor: float
    memory_bytes: int
    disk_bytes: int
    weights_bytes: int
    preflight_seconds: float
    sequence_tokens: int
    processes: bool = True
    packages: tuple[str, ...] | None = None
    sandbox: Sandbox = "auto"

    def __post_init__(self) -> None:
        positive = ("threads", "train_seconds", "memory_bytes", "disk_bytes", "weights_bytes", "preflight_seconds")
        for name in (*positive, "sequence_tokens"):
            if getattr(self, name) <= 0:
                raise TargetError(f"target.{name} must be positive, got {getattr(self, name)}")
        if self.device not in ("cpu", "cuda") or self.clock not in ("cpu", "wall"):
            raise TargetError(
                f"target.device must be cpu or cuda and target.clock cpu or wall, got {self.device} and {self.clock}"
            )
        if self.card_gb is not None and not (self.device == "cuda" and self.card_gb > 0):
            raise TargetError(f"target.card_gb must be positive, and only for device=cuda, got {self.card_gb}")
        for gigabytes, card in self.cards.items():
            if not isinstance(gigabytes, int) or card.keys() - {"constants", "batch_rows"}:
                raise TargetError(
                    "target.cards must map gigabytes to constants and batch_rows, "
                    f"got {gigabytes!r} with {', '.join(map(str, card))}"
                )
        if not 0 <= self.finish_seconds < self.limit_seconds:
            raise TargetError(
                "target.finish_seconds must be at least 0 and below train_seconds + startup_seconds, "
                f"got {self.finish_seconds} of {self.limit_seconds}"
            )
        if self.sandbox not in get_args(Sandbox):
            raise TargetError(f"target.sandbox must be auto, strict or off, got {self.sandbox!r}")
        if self.stall_factor < 1:
            raise TargetError(f"target.stall_factor must be at least 1, got {self.stall_factor}")

    @property
    def limit_seconds(self) -> float:
        """Seconds from the start of the training process until it is killed, by `clock`."""
        return self.train_seconds + self.startup_seconds

    @property
    def limits(self) -> tuple[str, ...]:
        """Limits of a training, as sentences for the author of a program."""
        clock = "CPU seconds of the process and its children" if self.clock == "cpu" else "seconds of wall time"
        serving = "CPU seconds" if self.clock == "cpu" else "seconds"
        memory = f"Memory is limited to {self.memory_bytes / 1e9:.1f} GB beyond that of Python with torch."
        return (
            f"A training has {self.limit_seconds:g} {clock}, start-up included; prepare.seconds_left() counts them.",
            f"It runs on {self.device} with {self.threads} CPU thread{'s' * (self.threads > 1)}.",
            *((memory,) if self.device == "cpu" else ()),
            f"Scoring has rows of {self.sequence_tokens} tokens and a vocabulary of {self.corpus.vocab_size}. "
            f"There the model has {self.scoring.start_seconds:g} {serving} to be built, "
            f"and {self.scoring.pass_seconds:g} for each forward pass over {self.scoring.batch_rows} rows.",
        )

    def fitted(self, memory_bytes: int) -> TargetSpec:
        """Return the target for a device with so much memory: with the settings of the largest of `cards` that fits."""
        if not self.cards:
            return self
        no_larger = [gigabytes for gigabytes in self.cards if gigabytes * 1e9 <= memory_bytes + _CARD_SLACK_BYTES]
        card = self.cards[max(no_larger, default=min(self.cards))]
        return replace(
            self,
            constants={**self.constants, **card.get("constants", {})},
            scoring=replace(self.scoring, batch_rows=card.get("batch_rows", self.scoring.batch_rows)),
        )

    def seed_program(self) -> Program:
        """Return the program that a search begins with.

        Raises:
            TargetError: If the file cannot be read, or a constant of the target is not in it.
        """
        return self.read_program(self.program or SEED_PROGRAM)

    def read_program(self, path: Path) -> Program:
        """Read a program; `target/train.py` itself gets the constants of the target, any other file stays unchanged.

        Raises:
            TargetError: If the file cannot be read, or a constant of the target is not in it.
        """
        program = read_program(path)
        if path.resolve() != SEED_PROGRAM.resolve():
            return program
        try:
            return program.with_constants(self.constants)
        except (SyntaxError, ValueError) as error:
            raise TargetError(f"target.constants of {self.name} do not fit {path}: {error}") from error

    def other_constants(self, program: Program) -> dict[str, tuple[Value, Value]]:
        """Return the constants of the target that have another value in a program, with its value and the target's."""
        try:
            own = parse_constants(program.source)
        except (SyntaxError, ValueError):
            return {}
        both = {name: (own[name].value, value) for name, value in self.constants.items() if name in own}
        return {name: values for name, values in both.items() if values[0] != values[1]}

    def constants_text(self, path: Path, program: Program) -> str:
        """Return which constants of the target apply to a program and which do not; empty if there is nothing to say.

        Args:
            path: Its file.
            program: What `read_program` returned for it.
        """
        if not self.constants:
            return ""
        if path.resolve() == SEED_PROGRAM.resolve():
            applied = ", ".join(f"{name}={format_value(value)}" for name, value in self.constants.items())
            return f"constants of target {self.name}: {applied}"
        other = self.other_constants(program)
        kept = ", ".join(
            f"{name}={format_value(own)} (target {self.name}: {format_value(value)})"
            for name, (own, value) in other.items()
        )
        return f"{path} keeps its own constants: {kept}; {self.seed_hint()}" if other else ""

    def too_large(self, program: Program) -> str:
        """Return a hint about the constants of a program that are larger than the target's; empty if none is."""
        larger = ", ".join(
            f"{name}={format_value(own)} (target {self.name}: {format_value(value)})"
            for name, (own, value) in self.other_constants(program).items()
            if isinstance(own, int | float) and isinstance(value, int | float) and own > value
        )
        return f"{larger} may be too large; {self.seed_hint()}" if larger else ""

    def seed_hint(self) -> str:
        """Return the advice to begin with the program that has the constants of the target."""
        return f"`{command('target.seed', '--target', self.name)}` prints the seed program with those of the target"

    def to_json(self) -> dict[str, Any]:
        """Return the spec as plain JSON types, from which `from_config` builds an equal one."""
        plain = asdict(self)
        plain["program"] = None if self.program is None else str(self.program)
        plain["cards"] = {str(gigabytes): card for gigabytes, card in plain["cards"].items()}
        return plain

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> TargetSpec:
        """Build a spec from plain configuration, as loaded from YAML or returned by `to_json`.

        Raises:
            TargetError: If a key is missing, unknown, or its value does not fit.
        """
        plain = {**config}
        if missing := [name for name in ("corpus", "scoring") if not isinstance(plain.get(name), Mapping)]:
            raise TargetError(f"the configuration of a target that trains must have {' and '.join(missing)}")
        for prefix, made in (("corpus.", Corpus), ("scoring.", Scoring), ("", cls)):
            settings = plain[prefix[:-1]] if prefix else plain
            if wrong := misfit(made, settings):
                raise TargetError(f"target.{prefix}{wrong[0]} {wrong[1]}")
        try:
            plain["corpus"] = Corpus(**plain["corpus"])
            plain["packages"] = _names(plain.get("packages"))
            plain["scoring"] = Scoring(**plain["scoring"])
            plain["sandbox"] = plain.get("sandbox", "auto") or "off"  # YAML reads a bare off as false
            plain["cards"] = _cards(plain.get("cards") or {})
            plain["program"] = Path(plain["program"]).expanduser() if plain.get("program") else None
            return cls(**plain)
        except (KeyError, TypeError) as error:
            raise TargetError(f"the configuration of the target does not fit: {error}") from error


def _cards(config: Mapping[Any, Mapping[str, Any] | None]) -> dict[int, dict[str, Any]]:
    """Return `cards` with numbers as keys. JSON and command-line overrides turn them into text."""
    cards: dict[int, dict[str, Any]] = {}
    for key, card in config.items():
        try:
            gigabytes = int(str(key))
        except ValueError as error:
            raise TargetError(f"target.cards must map gigabytes, whole numbers, to settings, got {key!r}") from error
        changed = cards.setdefault(gigabytes, {})
        constants = {**changed.get("constants", {}), **(card or {}).get("constants", {})}
        changed.update({**(card or {}), **({"constants": constants} if constants else {})})
    return cards


def _names(packages: Any) -> tuple[str, ...] | None:
    """Return names of packages; a single name may be written without brackets."""
    if packages is None:
        return None
    names = (packages,) if isinstance(packages, str) else tuple(packages)
    if not all(isinstance(name, str) for name in names):
        raise TargetError(f"target.packages must be names of packages, got {packages!r}")
    return names
