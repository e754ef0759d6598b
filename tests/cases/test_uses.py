"""What a search must leave of programs as people write them, because of where a constant goes, whatever its name."""

from __future__ import annotations

import pytest

from target.program.constants import parse_constants, replace_constants

MEASURE, DATA, PRINTED = "how the score is measured", "a property of the data", "what is printed"
HARDWARE, CASE = "a figure of the hardware", "it picks a case"


def staying(source: str) -> dict[str, str]:
    return {name.partition("[")[0]: each.stays for name, each in parse_constants(source).items() if each.stays}


BASE = "N = 5\nLR, DEPTH, ROWS = 0.1, 3, 8\nuse(LR, DEPTH, ROWS)\n"
TRAINED = "for x in train:\n    loss = net(x)\n    loss.backward()\n"


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        # the data of an evaluation
        ("x_test = windows(rows, N)\nx_train = windows(more, N)", MEASURE),
        ("x_test = load(path)[:N, 3].float()\nx_train = x_test", MEASURE),
        ("def cut(a):\n    return [a[i] for i in range(len(a) - N)]\ntrain, x_val = cut(a), cut(b)", MEASURE),
        ("data_config = Namespace(mask=N)\ntrain_raw, valid_raw = load(path, data_config)", MEASURE),
        ("val_env = create_env(N)\nenv = create_env(N)", MEASURE),
        ("train, x_val = load(AUG)\nAUG = 3\nmodel = build(N)\nx_val = model.encode(x_val, N)", MEASURE),
        ("x_val = PCA(N).fit(x_train).transform(x_val)", ""),
        ("pca = PCA(N)\nx_val = pca.transform(x_val)", ""),
        ("val_loader = DataLoader(val_set, batch_size=N)\nloader = DataLoader(train_set, batch_size=N)", ""),
        ("val_loss = criterion(model(x), N)\nfit(N)", ""),
        ("run_config = dict(lr=N)\nval_set = load(run_config)\nmodel = build(run_config)", ""),
        # what an evaluation counts and chooses, although the training reads it too
        ("score = evaluate(model, rows, size=N)\nfit(N)", MEASURE),
        ("def show(n=N):\n    net.eval()\n    with torch.no_grad():\n        y = x[:n]\n        f(y)\nh(N)", MEASURE),
        ("def bits(net):\n    net.eval()\n    with torch.no_grad():\n        return net(x).view(N)", MEASURE),
        ("@torch.no_grad()\ndef drawn():\n    net.eval()\n    for t in range(N):\n        z = f(z)\nfit(N)", MEASURE),
        ("net.eval()\nwith torch.no_grad():\n    y = net.bound(x, N)", MEASURE),
        ("for x in test_loader:\n    y = net.bound(x, N)", MEASURE),
        ("for i, x in enumerate(val_loader):\n    if i >= N:\n        break\nfit(N)", MEASURE),
        ("def estimate_loss():\n    net.eval()\n    with torch.no_grad():\n        return net(draw('val'))\n"
         "def draw(part):\n    return randint(len(data[part]) - N)\ntable = Embedding(N)", MEASURE),
        ("val_loader = DataLoader(rows, batch_size=N)\nfor x, y in val_loader:\n    total += dice(net(x), y)", MEASURE),
        ("val_loader = DataLoader(rows, batch_size=N)\nfor x, y in val_loader:\n    total += error(net(x), y)", ""),
        ("def evaluate(net):\n    if train:\n        for i in range(N):\n            f(i)\nfit(N)", ""),
        ("def evaluate(net):\n    return net(torch.zeros(N, 1), Cell(N))\nnet = LSTM(N)", ""),
        ("net.eval()\nwith torch.no_grad():\n    for t in range(N):\n        obs = envs.step(net(obs))\nstore(N)", ""),
        ("with torch.no_grad():\n    y = r + N * target(x).max()\nloss.backward()", ""),
        ("def __init__(self):\n    self.target.eval()\n    self.memory = deque(maxlen=N)", ""),
        ("@torch.no_grad()\ndef gains():\n    for t in reversed(range(N)):\n        a[t] = a[t + 1]\nstore(N)", ""),
        # what is called what it is where it goes
        ("loader = DataLoader(rows, num_workers=N)", HARDWARE),
        ("net = build(num_classes=N)", DATA),
        ("learn(env, n_eval_episodes=N)", MEASURE),
        ("env = TradingEnv(rows, window=N)", MEASURE),
        ("OBS_DIM = N * COLUMNS\nCOLUMNS = 4\nnet = Policy(OBS_DIM)", DATA),
        ("net = LSTM(input_size=N)", ""),
        # an index, a case, an amount of data, a scale of the inputs
        ("y = row[N] - table[:, N, 0]", DATA),
        ("rows = small if N == 1 else large\nif N == 2:\n    rows = other", CASE),
        ("x_train = x_train[:N]", DATA),
        ("tf = Compose([ToTensor(), Normalize(N, 0.5)])", DATA),
        ("def scaled(x):\n    return (x - N) / STD\nSTD = 2.0", DATA),
        ("score = 10 * (N == 5)", ""),
        ("y = head(h[:, :N])", ""),
        ("eps -= (FIRST - N) / STEPS\nFIRST = 0.1\nSTEPS = 300", ""),
        ("if step > N:\n    learn(x)", ""),
        # loops: an episode, several trainings, a cadence
        ("for _ in range(ROWS):\n    s = env.reset()\n    for t in range(N):\n        s = env.step(act(s))", MEASURE),
        ("for run in range(N):\n    model = PPO(env)\n    model.learn(ROWS)\n    scores.append(score(model))", MEASURE),
        ("if step % N == 0:\n    gc.collect()", PRINTED),
        ("if (epoch + 1) % N == 0:\n    path = f'{epoch}.pt'\n    torch.save(net.state_dict(), path)", PRINTED),
        ("s = env.reset()\nfor t in range(N):\n    s = env.step(act(s))", ""),
        ("for epoch in range(N):\n    loader = DataLoader(rows)\n    train_epoch(loader)", ""),
        ("for epoch in range(N):\n    scaler.scale(loss).backward()\n    scaler.step(optimizer)", ""),
        ("if step % N == 0:\n    target.load_state_dict(net.state_dict())", ""),
        ("if epoch % N == 0:\n    print(lr)\n    lr *= 0.5", ""),
        # a loss that is the only score
        (f"{TRAINED}    total = 0\nloss = error(x) + N * penalty(x)\n", MEASURE),
        ("train(args(kl_weight=N))", MEASURE),
        (f"{TRAINED}    total = 0\nloss = error(x) + N * penalty(x)\nprint(evaluate(net))", ""),
        (f"env.reset()\n{TRAINED}    total = 0\nloss = error(x) + N * entropy(x)\n", ""),
        ("model = Booster(min_child_weight=N)", ""),
    ],
)  # fmt: skip
def test_a_constant_stays_where_another_value_changes_what_is_measured(source: str, reason: str) -> None:
    assert staying(BASE + source + "\n").get("N", "") == reason
    assert "N" not in staying(BASE.replace("N = 5", "N = 5  # knob: 1..9") + source + "\n")


def test_lists_that_name_things_and_values_of_several_trainings_stay_and_widths_move() -> None:
    source = (
        "ANGLES, WIDTHS, RATES, GAPS = [0, 1, 2], [64, 32, 8], [0.1, 0.2], (1, 2, 4)\nfor a in ANGLES:\n    load(a)\n"
        "for w in WIDTHS:\n    layers.append(Linear(w))\nfor rate in RATES:\n    history = train(rate)\nuse(GAPS)\n"
    )

    assert staying(source) == {"ANGLES": DATA, "RATES": MEASURE}


def test_a_size_of_batches_moves_unless_an_evaluation_takes_a_fixed_number_of_them() -> None:
    source = "BATCH = 4\nfit(BATCH)\nval = evaluate(model, rows, batch_size=BATCH{})\n"

    assert staying(source.format("")) == {}
    assert staying(source.format(", num_batches=25")) == {"BATCH": MEASURE}


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ("MAX_SEQ_LEN SEQUENCE_LENGTH CONTEXT_SIZE MAX_LEN FRAME_SKIP", MEASURE),
        ("IMG_SIZE IMAGE_RESOLUTION ACTIONS NUM_ACTIONS DATASET_ID TOKENIZER_KIND", DATA),
        ("LIMIT_ROWS", "a limit"),
        ("PRETRAINED", "where the training begins"),
        ("MAX_NEW_TOKENS", PRINTED),
        ("TRAIN_SEQ_LEN TOTAL_TIME_STEPS QUEUE_LEN GRAD_LIMIT MAX_QUEUE_LEN", ""),
    ],
)
def test_plain_terms_say_what_flow_does_not(names: str, reason: str) -> None:
    source = "".join(f"{name} = 5\n" for name in names.split()) + f"use({names.replace(' ', ', ')}, LR)\nLR = 0.1\n"

    assert staying(source) == (dict.fromkeys(names.split(), reason) if reason else {})


@pytest.mark.parametrize(
    ("line", "value", "changed"),
    [
        ("WIDTH = env_int('WIDTH', 64)", 64, "WIDTH = env_int('WIDTH', 128)"),
        ("WIDTH = _env_float('WIDTH', 0.5)", 0.5, "WIDTH = _env_float('WIDTH', 128)"),
        ("WIDTH = env_int('WIDTH')", None, ""),
        ("WIDTH = scale('WIDTH', 64)", None, ""),
        ("WIDTH = env_int(WIDTHS, 64)", None, ""),
    ],
)
def test_the_default_of_a_helper_for_the_environment_is_what_changes(
    line: str, value: float | None, changed: str
) -> None:
    constants = parse_constants(line)

    assert [each.value for each in constants.values()] == ([] if value is None else [value])
    assert not constants or replace_constants(line, {"WIDTH": 128}) == changed
