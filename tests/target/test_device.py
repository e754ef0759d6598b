import pytest

from target.device import Card, describe, find_card, fit
from target.errors import TargetError
from target.evaluate import load_target

GIB = 1 << 30


@pytest.fixture(scope="module")
def gpu():
    return load_target("gpu")


@pytest.mark.parametrize(
    ("gigabytes", "depth", "micro_tokens", "batch_rows"),
    [
        (80, 8, 131_072, 16),
        (40, 6, 32_768, 8),
        (24, 6, 32_768, 8),
        (16, 4, 16_384, 4),
        (12, 4, 16_384, 4),
        (8, 4, 8_192, 2),
        (6, 4, 8_192, 2),
    ],
)
def test_a_card_gets_the_settings_of_the_largest_that_is_no_larger(gpu, gigabytes, depth, micro_tokens, batch_rows):
    fitted, said = describe(gpu, Card("Some Card", gigabytes * GIB))

    constants = fitted.seed_program().constants
    assert constants["DEPTH"] == depth
    assert constants["MICRO_TOKENS"] == micro_tokens
    assert fitted.scoring.batch_rows == batch_rows
    assert said.startswith("Some Card, ")
    assert ("DEPTH=" in said) == (depth != 8)
    assert ("scoring.batch_rows=" in said) == (batch_rows != 16)


def test_every_card_takes_whole_passes_and_whole_rows(gpu):
    for gigabytes in gpu.cards:
        program = gpu.fitted(gigabytes * GIB).seed_program()
        assert program.constants["BATCH_TOKENS"] % program.constants["MICRO_TOKENS"] == 0
        assert program.constants["MICRO_TOKENS"] % gpu.sequence_tokens == 0


def test_a_machine_without_a_gpu_is_told_what_to_do(gpu, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")

    with pytest.raises(TargetError, match=r"target gpu needs a GPU, and torch .* finds none; .* use target=tiny"):
        fit(gpu)


def test_torch_that_does_not_answer_is_told(monkeypatch, tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError('half installed')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    with pytest.raises(TargetError, match="torch could not be asked"):
        find_card("gpu")


def test_a_cpu_is_taken_as_it_is():
    tiny = load_target("tiny")

    assert fit(tiny) == (tiny, None)


def test_the_text_that_would_keep_the_compiler_from_its_imports_is_refused():
    with pytest.raises(TargetError, match="corpus=packages withholds sympy"):
        load_target("gpu", ["corpus.name=packages"])


def test_a_card_with_other_settings_than_there_are_is_refused():
    with pytest.raises(TargetError, match=r"target\.cards must map gigabytes .*batch_row"):
        load_target("gpu", ["cards.24.batch_row=3"])
