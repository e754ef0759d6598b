import pytest

from target.program.contract import SOURCE_BYTES, ContractError, check_source
from target.spec import SEED_PROGRAM
from tests.target.candidates import HONEST, variant


@pytest.mark.parametrize("source", [HONEST, SEED_PROGRAM.read_text()], ids=["honest", "seed"])
def test_a_proper_program_passes(source):
    check_source(source)


@pytest.mark.parametrize(
    "signature", ["vocab_size, width=3", "vocab_size: int, *, depth=2", "*, vocab_size", "vocab_size, *rest, **more"]
)
def test_build_model_may_have_defaults(signature):
    check_source(variant(("build_model(vocab_size):", f"build_model({signature}):")))


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def build_model(vocab_size:\n", r"syntax: train\.py:1: .*never closed"),
        ("x = 1\0", "syntax: .*null bytes"),
        ("(" * 5_000 + ")" * 5_000, "syntax"),
        ("-" * 100_000 + "1", "syntax"),
        ("x = '\ud800'", "encoding"),
        (HONEST + "#" * SOURCE_BYTES, f"size: .* at most {SOURCE_BYTES} bytes"),
        (variant(("def build_model(vocab_size)", "def build(vocab_size)")), "define build_model"),
        (variant(("build_model(vocab_size):", "build_model(size):")), r"take vocab_size.*build_model\(size\)"),
        (variant(("build_model(vocab_size):", "build_model(vocab_size, width):")), "nothing else without a default"),
        (variant(("build_model(vocab_size):", "build_model(vocab_size, /):")), "take vocab_size"),
        (variant(("build_model(vocab_size):", "build_model(vocab_size, *, width):")), "nothing else without a default"),
        (variant(("def main", "def start")), r"define main\(\)"),
        (variant(('if __name__ == "__main__":\n    main()', "main()")), "guard"),
        (variant(('if __name__ == "__main__":', 'if __name__ != "__main__":')), "guard"),
    ],
)  # fmt: skip
def test_a_refusal_names_the_check_and_what_came(source, said):
    with pytest.raises(ContractError, match=said):
        check_source(source)
