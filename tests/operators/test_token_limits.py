"""How servers refuse requests for their tokens, in the words that they have been seen to use."""

from __future__ import annotations

import pytest

from operators.llm.token_limits import about_tokens


@pytest.mark.parametrize(
    ("said", "allowed"),
    [
        ("max_tokens is too large: 16384. This model supports at most 4096 completion tokens, whereas you ...", 4096),
        ("Invalid max_tokens value, the valid range of max_tokens is [1, 8192]", 8192),
        ("max_tokens: 16384 > 8192, which is the maximum allowed number of output tokens for claude-3-haiku", 8192),
        (
            "`max_tokens` must be less than or equal to `8192`, the maximum value is less than the `context_window`",
            8192,
        ),
        ("The maximum tokens you requested exceeds the model limit of 4096. Try again with a lower value.", 4096),
        ("<400> Range of max_tokens should be [1, 8,192]", 8192),
        ("max_token Cannot exceed 4096", 4096),
        ("max_output_tokens: must be <= 2048", 2048),
        ("the maximum of max_completion_tokens is 1000", 1000),
    ],
)
def test_the_longest_answer_that_a_server_allows_is_named(said: str, allowed: int) -> None:
    advice = about_tokens(said.lower(), 16_384, context=False)

    assert advice == f"llm.max_tokens=16384 is more than it allows: set llm.max_tokens={allowed}"


@pytest.mark.parametrize(
    ("said", "length", "advised"),
    [
        (
            "This model's maximum context length is 12000 tokens. However, you requested 21384 tokens "
            "(5000 in the messages, 16384 in the completion). Please reduce the length of one of them.",
            12_000,
            6000,
        ),
        (
            "'max_tokens' is too large: 16384. This model's maximum context length is 8192 tokens and your request has "
            "27 input tokens (16384 > 8192 - 27).",
            8192,
            4096,
        ),
        (
            "This model's maximum context length is 20000 tokens. However, you requested 31384 tokens "
            "(15000 in the messages, 16384 in the completion).",
            20_000,
            5000,
        ),
    ],
)
def test_prompt_and_answer_share_a_context(said: str, length: int, advised: int) -> None:
    advice = about_tokens(said.lower(), 16_384, context=True)

    assert f"may have {length} tokens together, and llm.max_tokens=16384 leaves too few" in advice
    assert f"set llm.max_tokens={advised} or less" in advice


@pytest.mark.parametrize(
    "said",
    [
        "This model's maximum context length is 4096 tokens. However, your messages resulted in 9999 tokens.",
        "the request exceeds the available context size (4096 tokens), try increasing it",
        "prompt is too long: 210000 tokens > 200000 maximum",
        "This model's maximum context length is 4096 tokens. However, you requested 9000 tokens "
        "(8000 in the messages, 1000 in the completion).",
    ],
)
def test_a_prompt_that_is_too_long_by_itself_is_not_about_the_answer(said: str) -> None:
    assert about_tokens(said.lower(), 1000, context=True).startswith("the prompt is longer than the model's context")


def test_a_parameter_that_is_not_known_is_to_be_left_away() -> None:
    said = "unsupported parameter: 'max_tokens' is not supported with this model. use 'max_completion_tokens' instead."

    assert about_tokens(said, 100, context=False) == "it does not accept llm.max_tokens: set llm.max_tokens=null"


def test_without_a_number_a_smaller_one_is_advised() -> None:
    assert about_tokens("max_tokens too big", 100, context=False).endswith("set a smaller llm.max_tokens")


@pytest.mark.parametrize("said", ["temperature must be 1", "tool 'max' is not known", ""])
def test_what_is_about_something_else_is_left_to_others(said: str) -> None:
    assert about_tokens(said, 100, context=False) == ""
