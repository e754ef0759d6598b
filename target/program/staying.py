"""Which constants without a knob comment stay, by their names: what the score is measured with is no variable."""

from __future__ import annotations

from typing import Final, NamedTuple

from target.program.inferred import words_of


class _Rule(NamedTuple):
    """Constants that stay: their names have one of some words, one of others beside it, and none of a third kind.

    `beside` and `without` are empty if they do not matter. A name of one word also has the word ONLY.
    """

    reason: str
    some: frozenset[str]
    beside: frozenset[str] = frozenset()
    without: frozenset[str] = frozenset()


def _rule(reason: str, some: str, beside: str = "", without: str = "") -> _Rule:
    return _Rule(reason, *(frozenset(words.split()) for words in (some, beside, without)))


SEED: Final = "a seed"
HARDWARE: Final = "a figure of the hardware"
MEASURE: Final = "how the score is measured"
SPLIT: Final = "how the data are split"
DATA: Final = "a property of the data"
LIMIT: Final = "a limit"
PRINTED: Final = "what is printed"
_BEGINNING: Final = "where the training begins"
_SPANS: Final = "LEN LENGTH STEPS MINUTES HOURS DAYS WEEKS MONTHS BARS PERIODS WINDOW"
_RULES: Final = (
    _rule(SEED, "SEED SEEDS"),
    _rule(SEED, "STATE", beside="RANDOM RNG"),
    _rule(HARDWARE, "FLOPS TFLOPS GFLOPS WORKERS THREADS JOBS GPUS CPUS NGPU NGPUS"),
    _rule(HARDWARE, "PIN PREFETCH PERSISTENT", without="PROB"),
    _rule(HARDWARE, "GPU CUDA DEVICE", beside="ONLY ID INDEX N NUM COUNT"),
    _rule(_BEGINNING, "RESUME RESTORE PRETRAINED"),
    _rule(_BEGINNING, "LOAD", beside="ONLY MODEL CHECKPOINT CKPT WEIGHTS STATE"),
    _rule(PRINTED, "DEBUG VERBOSE GENERATE PREVIEW"),
    _rule(
        PRINTED,
        "LOG LOGGING PRINT SAVE CHECKPOINT CKPT REPORT DISPLAY PLOT RENDER",
        beside="EVERY INTERVAL FREQ FREQUENCY PERIOD STEPS ITERS",
    ),
    _rule(PRINTED, "NEW", beside="TOKENS"),  # of a text that shows what was learned
    _rule(PRINTED, "SAMPLE", beside="EVERY INTERVAL FREQ FREQUENCY"),
    _rule(MEASURE, "EVAL EVALS EVALUATE EVALUATION VAL VALS VALID VALIDATE VALIDATION TEST TESTS HOLDOUT OOS BACKTEST"),
    _rule(MEASURE, "METRIC METRICS BENCHMARK RUNS TRIALS BOOTSTRAP BOOTSTRAPS PERMUTATIONS RANDOMIZATIONS"),
    _rule(MEASURE, "SCORE SCORING", without="Z"),
    _rule(MEASURE, "REPEATS REPETITIONS", without="LAYER LAYERS BLOCK BLOCKS"),
    _rule(MEASURE, "FEE FEES COMMISSION COMMISSIONS SLIPPAGE"),
    _rule(MEASURE, "COST COSTS", beside="ONLY TRANSACTION TRANS TX TRADE TRADING TURNOVER BPS"),
    _rule(MEASURE, "CAPITAL CASH EQUITY BALANCE", beside="INITIAL INIT START STARTING"),
    _rule(MEASURE, "FREE", beside="RISK"),
    _rule(MEASURE, "EPISODE EP", beside="STEPS TIMESTEPS LEN LENGTH"),  # of an episode, whose return is the score
    _rule(MEASURE, "REWARD REWARDS", without="GAMMA DISCOUNT DISCOUNTED MODEL LR NORM"),
    _rule(
        MEASURE, "PENALTY", beside="STEP DONE DEATH COLLISION CRASH WALL LIVING FALL"
    ),  # of an environment, as a reward
    _rule(MEASURE, "MASK MASKING", beside="RATIO PROB PROBABILITY FRAC FRACTION", without="AUG AUGMENT TIME FREQ"),
    _rule(MEASURE, "ANNUALIZATION ANNUALISATION"),
    _rule(MEASURE, "DAYS PERIODS BARS HOURS", beside="YEAR ANNUM TRADING"),
    _rule(MEASURE, "HORIZON HORIZONS", without="PLAN PLANNING ROLLOUT"),
    _rule(MEASURE, "FORECAST PRED PREDICTION FORWARD", beside=_SPANS),
    _rule(MEASURE, "SEQ SEQUENCE CONTEXT", beside="LEN LENGTH SIZE", without="TRAIN TRAINING"),  # of evaluations too
    _rule(MEASURE, "LEN LENGTH", beside="MAX", without="TRAIN TRAINING QUEUE BUFFER MEMORY REPLAY HISTORY PATH"),
    _rule(MEASURE, "FRAME FRAMES", beside="ACTION SKIP REPEAT"),
    _rule(SPLIT, "SPLIT SPLITS", without="MIN MAX SAMPLES GAIN"),
    _rule(SPLIT, "FOLD FOLDS KFOLD KFOLDS EMBARGO PURGE"),
    _rule(DATA, "CLASSES NCLASSES VERSION OUTLIER OUTLIERS"),
    _rule(DATA, "CLASS LABELS FEATURES USERS ITEMS", beside="N NUM"),
    _rule(DATA, "INTERACTIONS RATING RATINGS", beside="MIN"),
    _rule(DATA, "VOCAB VOCABULARY", beside="ONLY SIZE N NUM"),
    _rule(DATA, "INPUT INPUTS OUTPUT OUTPUTS OBS ACTION", beside="DIM DIMS SIZE CHANNELS FEATURES"),
    _rule(DATA, "IMG IMAGE", beside="HEIGHT WIDTH ROWS COLS CHANNELS H W SIZE RES RESOLUTION"),
    _rule(DATA, "RESOLUTION ACTIONS", beside="ONLY N NUM"),
    _rule(DATA, "DATASET DATASETS CORPUS TOKENIZER"),
    _rule(DATA, "PAD UNK SOS BOS EOS CLS SEP MASK IGNORE BLANK OOV", beside="ID IDX INDEX TOKEN TOK LABEL"),
    _rule(DATA, "SOS BOS EOS UNK", beside="ONLY"),
    _rule(DATA, "FREQ", beside="MIN", without="HZ MEL FFT"),  # of words in the vocabulary
    _rule(DATA, "SCALE", beside="MIN MAX", without="CROP AUG JITTER ZOOM RESIZE LR LOSS GRAD LOGIT LOG"),
    _rule(DATA, "TARGET TARGETS LABEL LABELS Y", beside="SCALE LOG LOG1P STD MEAN TRANSFORM", without="ENTROPY KL VOL"),
    _rule(LIMIT, "BUDGET SECONDS SECS MINUTES HOURS TIMEOUT DEADLINE WALLCLOCK RUNTIME DURATION"),
    _rule(LIMIT, "TIME", beside="LIMIT MAX TOTAL TRAIN TRAINING WALL", without="STEP STEPS"),
    _rule(LIMIT, "EXCLUDE EXCLUDED STARTUP UNTIMED"),
    _rule(LIMIT, "LIMIT", without="ONLY GRAD GRADIENT CLIP NORM LOGIT"),
    _rule(LIMIT, "TARGET", beside="LOSS ACC ACCURACY PERPLEXITY BPB"),
)
"""Reasons not to change constants. A constant that stays can be set free by its comment, and a search says that it
stays; one that should not have moved makes a score that means nothing, and nothing says so. So doubt is a reason."""
_OF_TRAIN: Final = frozenset({"TRAIN", "TRAINING", "DATA", "DATASET", "SET", "N", "NUM", "DEFAULT"})
_PART: Final = frozenset(
    {"RATIO", "FRAC", "FRACTION", "SPLIT", "SIZE", "PCT", "PERCENT", "PORTION", "PROPORTION", "SHARE", "START", "END"}
    | {"DAYS", "MONTHS", "YEARS"}
)


def why_it_stays(name: str) -> str:
    """Return why a constant with this name should not change; empty if it may."""
    words = words_of(name)
    if words & {"TRAIN", "TRAINING"} and words & _PART and words <= _OF_TRAIN | _PART:
        return SPLIT  # TRAIN_RATIO, and not TRAIN_BATCH_SIZE
    if len(words) == 1:
        words = words | {"ONLY"}
    for reason, some, beside, without in _RULES:
        if words & some and (not beside or words & beside) and not words & without:
            return reason
    return ""
