"""What a search may move of programs as people write them, and what it must leave: what the score is measured with."""

from __future__ import annotations

import pytest

from operators.constants import ConstantsOperator
from operators.population import Population
from operators.trial import Mutation, Proposal, Status, Trial
from target.program import Program
from target.program.constants import NONE, Constant, parse_constants, replace_constants

MEASURE, SPLIT, LIMIT = "how the score is measured", "how the data are split", "a limit"
DATA, HARDWARE, PRINTED = "a property of the data", "a figure of the hardware", "what is printed"
MARKED = "a comment says not to change it"


def staying(source: str) -> dict[str, str]:
    """Return why the constants of a program stay, without those that may move."""
    return {name: constant.stays for name, constant in parse_constants(source).items() if constant.stays}


def knob_of(line: str) -> tuple[float | None, float | None, str | None]:
    (constant,) = parse_constants(line).values()
    return constant.knob.low, constant.knob.high, constant.knob.scale


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ("FEE_RATE COMMISSION SLIPPAGE_BPS TRADE_COST COST_BPS INITIAL_CAPITAL START_CASH RISK_FREE_RATE", MEASURE),
        ("BARS_PER_YEAR TRADING_DAYS ANNUALIZATION FORECAST_STEPS PRED_LEN HORIZON LABEL_HORIZON", MEASURE),
        ("VALIDATE_EVERY VALID_SIZE HOLDOUT_MONTHS OOS_WINDOW NUM_RUNS CV_REPEATS N_BOOTSTRAP SCORE_WEIGHT", MEASURE),
        ("TRAIN_RATIO TRAIN_FRAC TRAIN_SIZE TRAIN_DAYS DATA_SPLIT N_SPLITS CV_FOLDS EMBARGO_BARS", SPLIT),
        ("MAX_TIME TIME_LIMIT_S TRAIN_TIME WALLCLOCK_CAP STARTUP_EXCLUDE_STEPS UNTIMED_STEPS TARGET_LOSS", LIMIT),
        ("MAX_EP_STEPS EPISODE_LENGTH MAX_STEPS_PER_EPISODE MASK_RATIO MASKING_PROB", MEASURE),
        ("GOAL_REWARD REWARD_SCALE STEP_PENALTY", MEASURE),
        ("VOCAB_SIZE INPUT_DIM N_FEATURES ACTION_DIM CACHE_VERSION NCLASSES MIN_FREQ N_USERS MIN_RATING", DATA),
        ("PAD_IDX SOS_TOKEN EOS IGNORE_INDEX IMG_ROWS TARGET_SCALE LOG_TARGET OUTLIER_Z SCALE_MAX", DATA),
        ("NUM_WORKERS N_JOBS GPU GPU_ID PIN_MEMORY PREFETCH_FACTOR", HARDWARE),
        ("LOAD_MODEL RESUME", "where the training begins"),
        ("GENERATE_LENGTH SAMPLE_EVERY PLOT_INTERVAL PREVIEW_COUNT", PRINTED),
        ("RANDOM_STATE", "a seed"),
    ],
)
def test_what_a_score_depends_on_stays_by_its_name(names: str, reason: str) -> None:
    source = "".join(f"{name} = 5\n" for name in names.split()) + f"use({names.replace(' ', ', ')}, LR)\nLR = 0.1\n"

    assert staying(source) == dict.fromkeys(names.split(), reason)


def test_names_that_only_sound_alike_may_move() -> None:
    names = (
        "TRAIN_BATCH_SIZE, PRETRAIN_FRACTION, MIN_SAMPLES_SPLIT, Z_SCORE_ENTRY, LAYER_REPEATS, CASH_BUFFER, "
        "COST_WEIGHT, TOP_K_FEATURES, DEVICE_BATCH_SIZE, GPU_CHUNK, LORA_RANK, PLAN_HORIZON, STATE_DIM, SAMPLE_STEPS, "
        "NUM_EPISODES, TIME_MASK_RATIO, CROP_PAD, CROP_SIZE, MIN_FREQ_HZ, TARGET_ENTROPY_SCALE, TARGET_UPDATE_STEPS, "
        "REWARD_DISCOUNT_GAMMA, GRADIENT_PENALTY"
    )
    source = "".join(f"{name} = 5\n" for name in names.split(", ")) + f"use({names})\n"

    assert staying(source) == {}


def test_what_splits_the_data_stays_whatever_its_name() -> None:
    source = (
        "PART = 0.25\nWAYS = 4\nRATE = 0.1\nDIMS = 64\na, b = train_test_split(rows, test_size=PART)\n"
        "for fold in StratifiedKFold(n_splits=WAYS).split(a):\n    q, k = fit(fold, RATE).split(DIMS, dim=2)\n"
    )

    assert staying(source) == {"PART": SPLIT, "WAYS": SPLIT}


def test_what_is_compared_with_a_clock_or_decides_what_it_counts_stays() -> None:
    source = (
        "CAP = 300\nPATIENCE = 3\nFIRST = 2\nRATE = 0.1\nwhile time.perf_counter() - start < CAP * 60:\n"
        "    if step >= FIRST:\n        used_seconds += dt\n    if bad > PATIENCE or elapsed > CAP:\n        break\n"
        "    train(RATE)\n"
    )

    assert staying(source) == {"CAP": LIMIT, "FIRST": LIMIT}


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("print(f'Recall@{N}: {recall(rank(N)):.3f}')", MEASURE),
        ("def validate(m):\n    return hits(np.argsort(-m(x))[:, ::-1][:N])\nserve(N)", MEASURE),
        ("def evaluate(m):\n    best = scores.topk(N)[1]\nserve(N)", MEASURE),
        ("def evaluate(m):\n    return mean(hit(recs[:N]))\nserve(N)", MEASURE),
        ("key = 'hit@' + str(N)\nserve(N)", MEASURE),
        ("tf = T.Compose([T.Resize((N, N)), T.ToTensor()])\nnet = ViT(N)", DATA),
        ("image = cv2.resize(image, (N, N))", DATA),
        ("val = image_dataset_from_directory(path, image_size=(N, N), batch_size=BATCH)", DATA),
        ("env = gym.make('Pong', frameskip=N)", MEASURE),
        ("env = make_env('Pong', N)", MEASURE),
        ("env = AtariPreprocessing(env, frame_skip=N)", MEASURE),
        ("for _ in range(N):\n    obs, r, done, _ = env.step(int(action))\n    total += r", MEASURE),
        ("class FlappyEnv(gym.Env):\n    def step(self, a):\n        return a * N", MEASURE),
        ("class Shaped(gym.RewardWrapper):\n    def reward(self, r):\n        return r / N", MEASURE),
        ("if N:\n    m.fit(x, y, eval_set=[(xv, yv)])\nelse:\n    m.fit(x, y)", MEASURE),
        ("m.fit(x, y, eval_set=[(xv, yv)] if N else None)", MEASURE),
        ("def evaluate(m):\n    return mean(m(rows[i : i + N]) for i in range(0, 99, N))\nfit(N)", ""),
        ("def evaluate(m):\n    return m(rows[:, -N:], tokens[:N])\nnet = GPT(N)", ""),
        ("print(f'depth {N}: loss@end {loss}')\nnet = GPT(N)", ""),
        ("generate(idx, top_k=N)\nlogits, at = gate.topk(N)\nexperts(at)", ""),
        ("val = image_dataset_from_directory(path, batch_size=N)\nnet = ViT(image_size=N)", ""),
        ("for _ in range(N):\n    action = agent.act(obs)\n    obs, r, done, _ = env.step(action)", ""),
        ("for _ in range(N):\n    obs, r, done, _ = env.step(env.action_space.sample())", ""),
        ("for _ in range(N):\n    obs, r, done, _ = env.step(agent.act(obs))", ""),
        ("envs = SyncVectorEnv([make_one for _ in range(N)])\nenv = FrameStack(env, N)\nagent = DQNAgent(env, N)", ""),
        ("m.fit(x, y, eval_set=[(xv, yv)], early_stopping_rounds=N)", ""),
        ("class NetWrapper(nn.Module):\n    def forward(self, x):\n        return N * x", ""),
        ("if N:\n    m.fit(x, y)", ""),
        ("if N > 3:\n    m.fit(x, y, validation_data=(xv, yv))", ""),
    ],
)
def test_what_sets_the_conditions_of_a_score_stays_by_its_use(source: str, reason: str) -> None:
    assert staying(f"N = 5\nLR, DEPTH, BATCH = 0.1, 3, 8\nuse(LR, DEPTH, BATCH)\n{source}\n") == (
        {"N": reason} if reason else {}
    )


EVALUATED = """\
ROWS, SOFT, RATE, WIDTH, BATCH = 400, 0.5, 0.1, 64, 32
def evaluate(net, batch):
    return sum(net(row) > SOFT for row in rows[:ROWS]) / ROWS
print("accuracy:", evaluate(fit(build(WIDTH), RATE, BATCH), BATCH))
"""


def test_what_only_an_evaluation_reads_stays() -> None:
    assert staying(EVALUATED) == {"ROWS": MEASURE, "SOFT": MEASURE}, "and not what is handed on to the training"


@pytest.mark.parametrize(("line", "reason"), [("MAX_DEPTH = -1", NONE), ("LIMIT = -1.0", ""), ("LIMIT = -2", "")])
def test_minus_one_often_means_none(line: str, reason: str) -> None:
    assert [each.stays for each in parse_constants(line).values()] == [reason]


LOSSES = """\
ROWS, RATE, WIDTH, KL, STEPS, LOW, HIGH, SMOOTH, BATCH, TEACH = 400, 0.1, 64, 0.5, 500, 1e-4, 0.02, 0.1, 32, 0.3
betas = torch.linspace(LOW, HIGH, 9)
model = build_model(WIDTH)
def noised(x):
    return x * betas
def get_batch():
    return rows[:BATCH]
def vae_loss(x):
    return error(model(noised(x)), get_batch()) + KL * divergence(x, STEPS)
def distillation_loss(x):
    return TEACH * vae_loss(x)
criterion = nn.CrossEntropyLoss(label_smoothing=SMOOTH)
fit(distillation_loss, criterion, RATE, ROWS)
HELD_OUT
"""


@pytest.mark.parametrize(
    "held_out",
    [
        "with torch.no_grad():\n    total += vae_loss(x) + criterion(x)",
        "def test():\n    return vae_loss(x) + criterion(x)",
        "@torch.inference_mode()\ndef last():\n    return vae_loss(x) + criterion(x)",
        "val_loss = vae_loss(x) + criterion(x)",
        "print(f'step {step}, val: {vae_loss(x) + criterion(x)}')",
    ],
)
def test_what_is_in_a_loss_that_an_evaluation_shares_stays(held_out: str) -> None:
    kept = dict.fromkeys(("KL", "STEPS", "LOW", "HIGH", "SMOOTH"), MEASURE)

    assert staying(LOSSES.replace("HELD_OUT", held_out)) == kept, "and not the sizes of its model, or of its batches"
    assert staying(LOSSES.replace("HELD_OUT", "total = vae_loss(x) + criterion(x)")) == {}


def test_what_is_in_the_loss_of_a_forward_stays_unless_it_is_for_training_only() -> None:
    source = (
        "Z, AUX, WIDTH, CAP, RATE = 1e-4, 0.1, 64, 15.0, 0.1\nclass GPT(Module):\n    def forward(self, x, y):\n"
        "        logits = CAP * self.head(x, WIDTH)\n        loss = F.cross_entropy(logits, y) + Z * logits.square()\n"
        "        if self.training:\n            loss += AUX * self.balance\n        return loss\nfit(GPT(), RATE)\n"
    )

    assert staying(source) == {"Z": MEASURE}
    assert staying(source.replace("loss = ", "return ")) == {"Z": MEASURE}


def test_the_model_as_a_function_of_its_parameters_is_no_part_of_a_loss() -> None:
    source = (
        "WIDTH, DROPOUT, KL, RATE, SCALE = 64, 0.1, 0.5, 0.1, 2\n"
        "def gpt(params, x):\n    return x @ params[:WIDTH] * DROPOUT\nparams = draw(SCALE)\n"
        "def loss_fn(params, x):\n    return gpt(params, x) + KL\nval_loss = loss_fn(fit(RATE), x)\n"
    )

    assert staying(source) == {"KL": MEASURE}


def test_arguments_of_metrics_and_of_made_data_stay_and_those_of_predictions_move() -> None:
    source = (
        "BETA, ROWS, NOISE, CUT, NEAR, RATE = 2, 1000, 0.1, 0.4, 20, 0.1\n"
        "x, y = make_moons(n_samples=ROWS, noise=NOISE)\np = fit(x, RATE)\n"
        "def knn_accuracy(bank):\n    return bank.topk(NEAR)\n"
        "print(fbeta_score(y, p > CUT, beta=BETA), knn_accuracy(p), mean_average_precision(p, iou_threshold=IOU))\n"
        "IOU = 0.5\ndef ndcg_at_k(rank):\n    return rank < TOP\nTOP = 10\n"
    )

    assert staying(source) == {
        "BETA": MEASURE,
        "ROWS": DATA,
        "NOISE": DATA,
        "NEAR": MEASURE,
        "IOU": MEASURE,
        "TOP": MEASURE,
    }


def test_where_the_evaluation_is_the_program_its_constants_move() -> None:
    assert staying(
        "RATE, WIDTH, STEPS = 0.1, 64, 9\ndef evaluate():\n    return fit(RATE, WIDTH)\nprint(evaluate(), STEPS)"
    ) == {"STEPS": "only scales what is printed"}


SECTIONS = """\
# ------------------------------------------------------------
# Constants (fixed, do not modify)
# ------------------------------------------------------------

CONTEXT = 256
# bytes
PIECES = 40

# ------------------------------------------------------------
# Hyperparameters (edit these)
# ------------------------------------------------------------

RATE = 0.1
ROWS = 32  # must match the loader
WIDTH = 64  # do not go below 8

# don't change: other people's results depend on it
ORDER = 3
BINS = 7

DEPTH = 2
# READ-ONLY

GRID = 5

# Model

HIDDEN = 6
use(CONTEXT, PIECES, RATE, ROWS, WIDTH, ORDER, BINS, DEPTH, GRID, HIDDEN)
"""


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_comments_that_say_not_to_change_something_are_kept(newline: str) -> None:
    assert staying(SECTIONS.replace("\n", newline)) == dict.fromkeys(
        ("CONTEXT", "PIECES", "ROWS", "ORDER", "BINS", "GRID"), MARKED
    )


@pytest.mark.parametrize(
    "text", ["# Fixed learning rate\n\nRATE = 0.1\n", "# tunable, never change two at once\n\nRATE = 0.1\n"]
)
def test_comments_that_say_something_else_mark_nothing(text: str) -> None:
    assert staying(f"{text}use(RATE)") == {}


def test_a_knob_comment_sets_free_what_would_stay() -> None:
    source = "FOLDS = 5  # knob: 2..10 int\nCAP = 3  # knob: 1..9 int; do not change\nuse(FOLDS, elapsed > CAP)"

    assert staying(source) == {}


@pytest.mark.parametrize(
    ("line", "value", "new", "changed"),
    [
        ("LR = float(os.environ.get('LR', 3e-4))", 3e-4, 0.5, "LR = float(os.environ.get('LR', 0.5))"),
        ('LR = float(os.getenv("LR", "3e-4"))  # rate', 3e-4, 0.5, 'LR = float(os.getenv("LR", "0.5"))  # rate'),
        ("WIDTH = int(os.environ.get('WIDTH', '64'))", 64, 128, "WIDTH = int(os.environ.get('WIDTH', '128'))"),
        ("WIDTH = int(os.environ.get('WIDTH', 2**6))", 64, 128, "WIDTH = int(os.environ.get('WIDTH', 2**7))"),
        ("MEMORY = int(1e6)", 1_000_000, 500, "MEMORY = int(500)"),
        ("EPS = np.float32(1e-8)", 1e-8, 1e-7, "EPS = np.float32(1e-07)"),
        ("RATE: Final[float] = 0.1", 0.1, 0.2, "RATE: Final[float] = 0.2"),
        ("ENCODERS = DECODERS = 6", 6, 7, "ENCODERS = DECODERS = 7"),
        ("if __name__ == '__main__':\n\tDEPTH = 3\r\n", 3, 4, "if __name__ == '__main__':\n\tDEPTH = 4\r\n"),
        ("LR = 0.1\nif 'LR' in os.environ:\n    LR = 3", 0.1, 0.2, "LR = 0.2\nif 'LR' in os.environ:\n    LR = 3"),
    ],
)
def test_the_literal_that_sets_a_value_is_what_changes(line: str, value: float, new: float, changed: str) -> None:
    ((name, constant),) = parse_constants(line).items()

    assert (constant.value, type(constant.value)) == (value, type(value))
    assert replace_constants(line, {name: new}) == changed


def test_a_name_of_several_in_one_line_is_a_constant_of_its_own() -> None:
    constants = parse_constants("LR, WIDTH = 0.1, 64\nA, B = 1\nC, D = f()\n*E, F = 1, 2\n")

    assert {name: each.value for name, each in constants.items() if name in {"LR", "WIDTH"}} == {"LR": 0.1, "WIDTH": 64}
    assert constants.keys() <= {"LR", "WIDTH", "F"}


@pytest.mark.parametrize(
    "line",
    [
        "X = int(a)",
        "X = int('x')",
        "X = float('nan')",
        "X = float(os.environ['X'])",
        "X = float(os.environ.get('X'))",
        "X = int(os.environ.get('X', n))",
        "X = other.int(3)",
        "X = max(3)",
        "X = int(3, 4)",
        "X = 1\nif debug:\n    X = 2",
        "X = int(1e400)",
    ],
)
def test_other_calls_and_values_that_are_set_again_are_none(line: str) -> None:
    assert parse_constants(line) == {}


@pytest.mark.parametrize(
    ("line", "knob"),
    [
        ("CUTMIX_END = 0.75", (0, 1, "share")),
        ("SUBSAMPLE = 0.8", (0.05, 1, "share")),
        ("FEATURE_FRACTION = 0.04", (0.01, 1, "share")),
        ("MAX_FEATURES = 0.5", (0.05, 1, "share")),
        ("MAX_FEATURES = 12", (None, None, None)),
        ("CONF_THRESH = 0.4", (0, 1, "share")),
        ("Z_THRESH = 0.4", (None, None, None)),
        ("EPSILON_MAX = 0.9", (0, 1, "share")),
        ("EPS = 1e-8", (None, None, None)),
        ("EPS = 0.5", (None, None, None)),
        ("SWA_START = 0.5", (0, 1, "share")),
        ("LR_END = 0.5", (None, None, None)),
        ("NOISE_START = 0.01", (None, None, None)),
        ("CLIP_EPS = 0.2", (0, 1, "share")),
        ("QUANTILE = 0.9", (0, 1, "share")),
        ("CLIP_PERCENTILE = 99.9", (0, 100, "linear")),
        ("GAE_LAMBDA = 0.95", (0, None, "average")),
        ("RIDGE_LAMBDA = 0.1", (None, None, None)),
        ("DISCOUNT = 0.99", (0, None, "average")),
    ],
)
def test_fractions_by_other_names_stay_fractions(
    line: str, knob: tuple[float | None, float | None, str | None]
) -> None:
    assert knob_of(line) == knob


def population(source: str) -> Population:
    mutation = Mutation(program=Program(source), operator="seed", description="")
    proposal = Proposal(parents=(), seed=0)
    return Population((Trial(number=0, proposal=proposal, mutation=mutation, status=Status.BASELINE, decided=0),))


@pytest.mark.parametrize(
    ("source", "small", "large"),
    [
        ("N_HEAD = 6\nN_EMBD = 384\nuse(N_HEAD, N_EMBD)", "N_HEAD", "N_EMBD"),
        ("D_MODEL = 128\nHEADS = 4\nD_FF = 300\nuse(HEADS, D_MODEL, D_FF)", "HEADS", "D_MODEL"),
        ("MICRO_BATCH = 96\nBATCH_TOKENS = 96 * 40\nuse(MICRO_BATCH, BATCH_TOKENS)", "MICRO_BATCH", "BATCH_TOKENS"),
    ],
)
def test_sizes_that_divide_each_other_do_so_after_a_step(source: str, small: str, large: str) -> None:
    people, operator, reached = population(source), ConstantsOperator(max_changes=1, step=0.5), set[object]()
    for seed in range(40):
        values = operator.mutate(Proposal(parents=(0,), seed=seed), people).program.constants
        reached |= {values[small], values[large]}
        assert float(values[large]) % float(values[small]) == 0
    assert len(reached) > 3, "and they move"


def test_the_size_of_a_head_or_a_crop_stays_even() -> None:
    constants = parse_constants(
        "HEADS = 12\nHEAD_DIM = 48\nCROP_SIZE = 224\nPATCH_SIZE = 28\nuse(HEADS, HEAD_DIM, CROP_SIZE)"
    )

    assert {name: each.knob.scale for name, each in constants.items() if not each.stays} == {
        "HEADS": "unit",
        "HEAD_DIM": "pow2",
        "CROP_SIZE": "pow2",
    }


def test_a_width_that_its_heads_do_not_divide_is_free() -> None:
    assert {
        name: each.knob.scale for name, each in parse_constants("HEADS = 5\nD_MODEL = 96\nuse(HEADS, D_MODEL)").items()
    } == {
        "HEADS": "unit",
        "D_MODEL": None,
    }


def test_a_constant_says_what_it_is_written_as() -> None:
    (constant,) = parse_constants("LR = float(os.getenv('LR', '0.1'))").values()

    assert isinstance(constant, Constant)
    assert constant.write(1e-3) == "'0.001'"


ELSEWHERE = """\
rate = 6e-4  # knob: 1e-5..1e-2 log
plan = {
    "opt": {"name": "sgd", "decay": 0.1},  # knob: 0..1
    "size": 64,  # knob: 16..256 pow2
    "a": 1, "b": 2,  # knob: 1..9
}
class Config:
    depth: int = 2  # knob: 1..9 unit
    drop = float(os.environ.get("DROP", "0.1"))  # knob: 0..0.5 linear
    kind: str = "relu"  # knob: relu | gelu
def main(width=32, *, heads=4):
    steps = 100  # knob: fixed
    fit(
        trees=100,  # knob: 10..500 log
        deep=True,  # knob: True | False
    )
parser.add_argument("-m", "--momentum", type=float, default=0.9)  # knob: 0..0.99 average
print("a # knob: 1..9", 3)
# knob: 1..9
"""


def test_a_knob_comment_makes_a_constant_of_the_only_value_with_a_name_in_its_line() -> None:
    constants = parse_constants(ELSEWHERE)

    assert {name: (each.value, each.knob.scale, each.stays) for name, each in constants.items()} == {
        "rate": (6e-4, "log", ""),
        "plan.size": (64, "pow2", ""),
        "Config.depth": (2, "unit", ""),
        "Config.drop": (0.1, "linear", ""),
        "Config.kind": ("relu", None, ""),
        "main.steps": (100, None, "fixed"),
        "fit.trees": (100, "log", ""),
        "fit.deep": (True, None, ""),
        "momentum": (0.9, "average", ""),
    }
    changed = replace_constants(ELSEWHERE, {"rate": 1e-3, "plan.size": 128, "Config.drop": 0.2, "momentum": 0.5})
    lines = zip(ELSEWHERE.splitlines(), changed.splitlines(), strict=True)
    assert [new.strip() for old, new in lines if old != new] == [
        "rate = 0.001  # knob: 1e-5..1e-2 log",
        '"size": 128,  # knob: 16..256 pow2',
        'drop = float(os.environ.get("DROP", "0.2"))  # knob: 0..0.5 linear',
        'parser.add_argument("-m", "--momentum", type=float, default=0.5)  # knob: 0..0.99 average',
    ]


def test_programs_that_differ_in_such_constants_have_one_skeleton_and_the_operators_move_them() -> None:
    people, operator = population(ELSEWHERE), ConstantsOperator(max_changes=2, step=0.5)
    made = [operator.mutate(Proposal(parents=(0,), seed=seed), people).program for seed in range(60)]

    assert {each.skeleton_id for each in made} == {Program(ELSEWHERE).skeleton_id}
    old = Program(ELSEWHERE).constants
    moved = {name for each in made for name, value in each.constants.items() if value != old[name]}
    assert moved == old.keys() - {"main.steps"}


def test_two_values_of_one_name_are_two_constants_and_an_unreadable_comment_is_named() -> None:
    assert list(parse_constants("f(lr=1)  # knob: 1..9\nf(lr=2)  # knob: 1..9\n")) == ["f.lr", "f.lr.2"]
    with pytest.raises(ValueError, match="line 1: the lower bound"):
        parse_constants("f(lr=1)  # knob: 9..1\n")
