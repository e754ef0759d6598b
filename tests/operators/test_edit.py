"""Replies as models write them, and what becomes of the file."""

from __future__ import annotations

import html

import pytest

from operators.edit import EditError, apply_reply

SOURCE = '''\
"""A script."""

import torch

DEPTH = 8
WIDTH = 64


class Block(torch.nn.Module):
    """Attention, then MLP."""

    def forward(self, x):
        x = x + self.attention(x)
        return x + self.mlp(x)


def build_model(vocab_size):
    return Block()


def main():
    model = build_model(8)
    model.train()


if __name__ == "__main__":
    main()
'''
DEEPER = SOURCE.replace("DEPTH = 8", "DEPTH = 12")
BLOCK = """\
<<<<<<< SEARCH
DEPTH = 8
=======
DEPTH = 12
>>>>>>> REPLACE
"""
HUNK = """\
--- a/train.py
+++ b/train.py
@@ -5,2 +5,2 @@
-DEPTH = 8
+DEPTH = 12
 WIDTH = 64
"""
FORWARD = """\
    def forward(self, x):
        x = x + self.attention(x)
        return x + self.mlp(x)
"""
NORMED = """\
    def forward(self, x):
        y = self.attention(x)
        x = x + y.clamp(-1, 1)
        return x + self.mlp(x)
"""

HABITS = {
    "a bare block": BLOCK,
    "a block in a fence below the name of the file": f"I go deeper.\n\ntrain.py\n```python\n{BLOCK}```\n",
    "the name in bold above the fence": f"**train.py**\n\n```\n{BLOCK}```",
    "the name in the label of the fence": f"```python:train.py\n{BLOCK}```",
    "the name inside of the fence": f"```python\ntrain.py\n{BLOCK}```",
    "the name beside the marker": BLOCK.replace("SEARCH", "SEARCH target/train.py"),
    "merge markers": BLOCK.replace("SEARCH", "HEAD").replace("REPLACE", "deeper"),
    "merge markers with the common ancestor": BLOCK.replace("=======", "||||||| base\nDEPTH = 6\n=======").replace(
        "SEARCH", "ours"
    ),
    "short and indented markers": "1. depth:\n   <<<<<\n   DEPTH = 8\n   =====\n   DEPTH = 12\n   >>>>>\n",
    "markers of dashes and pluses": "------- SEARCH\nDEPTH = 8\n=======\nDEPTH = 12\n+++++++ REPLACE\n",
    "fences around both parts": (
        "<<<<<<< SEARCH\n```python\nDEPTH = 8\n```\n=======\n```python\nDEPTH = 12\n```\n>>>>>>> REPLACE\n"
    ),
    "thinking in front": f"<think>\nPerhaps\n{BLOCK.replace('12', '99')}or not.\n</think>\n\n{BLOCK}",
    "thinking whose beginning the template swallowed": f"Perhaps\n{BLOCK.replace('12', '99')}no.</think>\n{BLOCK}",
    **{
        f"a draft of another place in {begin}": (
            f"{begin}\n<<<<<<< SEARCH\n{FORWARD}=======\n{NORMED}>>>>>>> REPLACE\n{end}\n{BLOCK}"
        )
        for begin, end in (
            *(("<longcat_think>", "</longcat_think>"), ("<think:deep>", "</think:deep>"), ("<draft>", "</draft>")),
            *(("<thinking_process>", "</thinking_process>"), ("[BEGIN OF THOUGHT]", "[END OF THOUGHT]")),
            *(
                ("## Thinking\n", "\n## Answer\n"),
                ("# Thoughts\n", "\n# Edit"),
                ("**Reasoning:**\n", "\n**Final answer:**\n"),
            ),
        )
    },
    "an edit below a heading of reasons, to which the answer refers": f"## Reasoning\n{BLOCK}\n## Answer\nSee above.\n",
    "a heading of reasons behind the edit": f"## Changes\n{BLOCK}\n## Reasoning\nDeeper is better.\n",
    **{
        f"the next turns, made up, after {end}": (
            f"{BLOCK}{end}{user}And the norm?{end}{own}<<<<<<< SEARCH\n{FORWARD}=======\n{NORMED}>>>>>>> REPLACE\n"
        )
        for end, user, own in (
            ("<|im_end|>", "<|im_start|>user\n", "<|im_start|>assistant\n"),
            (
                "<|eot_id|>",
                "<|start_header_id|>user<|end_header_id|>\n",
                "<|start_header_id|>assistant<|end_header_id|>",
            ),
            ("<end_of_turn>", "<start_of_turn>user\n", "<start_of_turn>model\n"),
            ("</s>", "[INST]", "[/INST]"),
        )
    },
    "the prompt in front of the answer": (
        f"<|im_start|>user\nEdit:\n```python\n{SOURCE}```\nas {BLOCK.replace('12', '9')}<|im_end|>\n"
        f"<|im_start|>assistant\n{BLOCK}"
    ),
    "what a tool was made to say": f"{BLOCK}<tool_response>\n{BLOCK.replace('12', '9')}</tool_response>\n",
    "two blocks whose marks share a line": (
        f"<<<<<<< SEARCH\nWIDTH = 64\n=======\nWIDTH = 64  # same\n>>>>>>> REPLACE{BLOCK}".replace("  # same", "")
    ),
    "other blank lines than those of the file": (
        "<<<<<<< SEARCH\nimport torch\n\n\n\nDEPTH = 8\nWIDTH = 64\nclass Block(torch.nn.Module):\n=======\n"
        "import torch\n\nDEPTH = 12\nWIDTH = 64\n\n\nclass Block(torch.nn.Module):\n>>>>>>> REPLACE\n"
    ),
    "an answer shown as Markdown": f"````markdown\nDeeper.\n```python\n{DEEPER}```\n````\n",
    "the separators of MiniMax": (
        ']<]minimax[>[<tool_call>{"name": "edit", "arguments": {"old_string": "DEPTH = 8", "new_string": "DEPTH = 12"}}'
        "]<]minimax[>[</tool_call>"
    ),
    "the same block twice": f"Draft:\n{BLOCK}\nFinal:\n{BLOCK}",
    "carriage returns": f"Deeper.\n{BLOCK}".replace("\n", "\r\n"),
    "trailing space": BLOCK.replace("DEPTH = 8", "DEPTH = 8  \t"),
    "blank lines around the text": BLOCK.replace("DEPTH = 8", "\n\nDEPTH = 8").replace("DEPTH = 12", "\n\nDEPTH = 12"),
    "escaped HTML": html.escape(f"```\n{BLOCK}```"),
    "a block of HTML that begins with a mark": f"<p>Deeper:</p>\n<pre><code>{html.escape(BLOCK)}</code></pre>\n<p>",
    "the same without escapes": f"<pre>{BLOCK}</pre>",
    "a diff in a block of HTML": '<pre><code class="lang-diff">-DEPTH = 8\n+DEPTH = 12\n</code></pre>',
    "a block of HTML with the whole file": f"<pre>{html.escape(DEEPER)}</pre>",
    "a unified diff": HUNK,
    "a diff in a fence among prose": f"Deeper:\n\n```diff\n{HUNK}```\n\n- it may be slower\n",
    "a diff with wrong line numbers": HUNK.replace("-5,2 +5,2", "-105,2 +107,2"),
    "a diff with wrong counts": HUNK.replace("-5,2 +5,2", "-5,7 +5,1"),
    "a diff without numbers": HUNK.replace("-5,2 +5,2 @@", "@@ DEPTH"),
    "a diff without names and hunk headers": "```diff\n-DEPTH = 8\n+DEPTH = 12\n WIDTH = 64\n```",
    "a diff of git": f"diff --git a/train.py b/train.py\nindex 1..2 100644\n{HUNK}",
    "a diff without the spaces of blank context": (
        "```diff\n--- train.py\n+++ train.py\n@@ -4,4 +4,4 @@\n\n-DEPTH = 8\n+DEPTH = 12\n WIDTH = 64\n\n```"
    ),
    "an unfenced diff with prose after it": f"{HUNK}\nThis doubles the depth.\n- slower\n",
    "a patch of another tool": (
        "*** Begin Patch\n*** Update File: train.py\n@@\n-DEPTH = 8\n+DEPTH = 12\n WIDTH = 64\n*** End Patch\n"
    ),
    "a diff with unchanged code left out": HUNK + " # (existing code)\n",
    "the whole file": DEEPER,
    "the whole file in a fence": f"Here it is:\n\n```python\n{DEEPER}```\nDone.",
    "the whole file in a fence that never ends": f"Here it is:\n\n```python\n{DEEPER}",
    "the whole file between lines of prose": f"From the idea above:\n\n{DEEPER}\nIt should help.\n",
    "the whole file beside a snippet": f"I change\n```python\nDEPTH = 12\n```\nso that\n```python\n{DEEPER}```\n",
    "the whole file, named": f"`train.py`:\n```py\n{DEEPER}```\n```text\n{'a much longer log ' * 99}\n```\n",
    "the whole file, escaped": f"```python\n{html.escape(DEEPER)}```",
    "the whole file with a tilde fence": f"~~~python\n{DEEPER}~~~\n",
}


@pytest.mark.parametrize("reply", HABITS.values(), ids=HABITS.keys())
def test_a_habit_of_formatting_is_understood(reply: str) -> None:
    assert apply_reply(reply, SOURCE) == DEEPER


def test_several_blocks_are_applied_in_whatever_order_they_come() -> None:
    reply = f"<<<<<<< SEARCH\n{FORWARD}=======\n{NORMED}>>>>>>> REPLACE\nand\n{BLOCK}"

    assert apply_reply(reply, SOURCE) == DEEPER.replace(FORWARD, NORMED)


def test_a_block_may_build_on_another() -> None:
    reply = BLOCK + "<<<<<<< SEARCH\nDEPTH = 12\n=======\nDEPTH = 12\nHEADS = 4\n>>>>>>> REPLACE\n"

    assert apply_reply(reply, SOURCE) == DEEPER.replace("DEPTH = 12\n", "DEPTH = 12\nHEADS = 4\n")


def test_an_empty_replacement_deletes() -> None:
    reply = "<<<<<<< SEARCH\n    model.train()\n=======\n>>>>>>> REPLACE\n"

    assert apply_reply(reply, SOURCE) == SOURCE.replace("    model.train()\n", "")


@pytest.mark.parametrize("shift", ["", "  ", "        "])
def test_a_block_with_another_indentation_gets_that_of_the_file(shift: str) -> None:
    old, new = ("".join(shift + line[4:] for line in part.splitlines(keepends=True)) for part in (FORWARD, NORMED))
    reply = f"<<<<<<< SEARCH\n{old}=======\n{new}>>>>>>> REPLACE\n"

    assert apply_reply(reply, SOURCE) == SOURCE.replace(FORWARD, NORMED)


def test_tabs_become_the_spaces_of_the_file() -> None:
    old, new = (part.replace("    ", "\t") for part in (FORWARD, NORMED.replace("clamp(-1, 1)", "relu()")))
    new += "\n\tdef extra(self):\n\t\tif True:\n\t\t\treturn 1\n"
    expected = NORMED.replace("clamp(-1, 1)", "relu()") + (
        "\n    def extra(self):\n        if True:\n            return 1\n"
    )
    reply = f"<<<<<<< SEARCH\n{old}=======\n{new}>>>>>>> REPLACE\n"

    assert apply_reply(reply, SOURCE) == SOURCE.replace(FORWARD, expected)


def test_an_escaped_block_among_plain_text_is_unescaped() -> None:
    source = SOURCE.replace("    model.train()", "    while 1 < 2 and 3 > 2:\n        model.train()")
    reply = "<<<<<<< SEARCH\n    while 1 &lt; 2 and 3 &gt; 2:\n=======\n    while 1 &lt; 3:\n>>>>>>> REPLACE\n"

    assert apply_reply(reply, source) == source.replace("1 < 2 and 3 > 2", "1 < 3")


def test_tags_of_html_may_be_a_part_of_the_program() -> None:
    page = 'PAGE = """\n<pre>\n%s\n</pre>\n"""\n'
    reply = BLOCK.replace("DEPTH = 12\n", f"DEPTH = 12\n{page}")

    assert apply_reply(reply, SOURCE) == SOURCE.replace("DEPTH = 8\n", f"DEPTH = 12\n{page}")


def test_escapes_that_the_file_has_itself_stay() -> None:
    source = SOURCE + 'ENTITY = "&lt;"\n'
    reply = '<<<<<<< SEARCH\nENTITY = "&lt;"\n=======\nENTITY = "&lt;&gt;"\n>>>>>>> REPLACE\n'

    assert apply_reply(reply, source) == SOURCE + 'ENTITY = "&lt;&gt;"\n'


@pytest.mark.parametrize("reply", [BLOCK, HUNK, f"```python\n{DEEPER}```"], ids=["block", "diff", "whole file"])
def test_the_line_endings_of_the_file_stay(reply: str) -> None:
    assert apply_reply(reply, SOURCE.replace("\n", "\r\n")) == DEEPER.replace("\n", "\r\n")


def test_code_with_fences_in_its_docstring_comes_whole() -> None:
    documented = DEEPER.replace('"""A script."""', '"""A script.\n\n```\npython train.py\n```\n"""')

    assert apply_reply(f"```python\n{documented}```\nDone.", SOURCE) == documented


REFUSED = {
    "nothing": ("", "empty"),
    "thinking only": ("<think>\n" + BLOCK, "thinking"),
    "prose": ("I would make it deeper, from experience.", "an edit is a SEARCH/REPLACE block, a unified diff"),
    "text that is not there": (
        BLOCK.replace("DEPTH = 8", "DEPTH = 10"),
        "SEARCH block 1 of 1 is not in the file; nearest is line 5: 'DEPTH = 8'",
    ),
    "lines that are not there": (
        "<<<<<<< SEARCH\n    def forward(self, x):\n        x += self.attention(x)\n=======\npass\n>>>>>>> REPLACE\n",
        "nearest are lines 12 to 13:\n    def forward(self, x):\n        x = x + self.attention(x)",
    ),
    "an ambiguous text": (
        "<<<<<<< SEARCH\n\n\n=======\n\n>>>>>>> REPLACE\n",
        "SEARCH block 1 of 1 is in the file 4 times, at lines 7, 15, 19, 24; quote more lines",
    ),
    "an ambiguous hunk": ("@@ -99 +99 @@\n \n+# here\n", "hunk 1 of 1 is in the file 11 times"),
    "another file": (f"prepare.py\n```\n{BLOCK}```", "only train.py, got one for 'prepare.py'"),
    "another file beside ours": (f"{BLOCK}\nprepare.py\n{BLOCK}", "'prepare.py'"),
    "another file in a diff": (HUNK.replace("train.py", "target/prepare.py"), "'b/target/prepare.py'"),
    "another file in a fence": (f"```python\n{DEEPER}```\n`notes.md`\n```\nhi\n```\n", "'notes.md'"),
    "the end of the file": (HUNK.replace("+++ b/train.py", "+++ /dev/null").replace("a/train", "a/other"), "other.py"),
    "code left out of a block": (
        f"<<<<<<< SEARCH\n{FORWARD}=======\n    def forward(self, x):\n        # ... rest unchanged\n>>>>>>> REPLACE\n",
        "leaves code out ('# ... rest unchanged')",
    ),
    "code left out of what is searched": (
        "<<<<<<< SEARCH\nclass Block(torch.nn.Module):\n    ...\n=======\nclass Block:\n    pass\n>>>>>>> REPLACE\n",
        "leaves code out ('...')",
    ),
    "code left out of a diff": (HUNK.replace("+DEPTH = 12", "+# (existing code)"), "leaves code out"),
    "code left out of the file": (
        "```python\n"
        + DEEPER.replace("    model = build_model(8)\n    model.train()\n", "    # the rest of the code\n    x = 1\n")
        + "```",
        "out",
    ),
    "an empty search": ("<<<<<<< SEARCH\n=======\nX = 1\n>>>>>>> REPLACE\n", "quotes no line of the file"),
    "a block without an end": (BLOCK.replace(">>>>>>> REPLACE", ""), "no closing line '>>>>>>> REPLACE'"),
    "a block without a middle": (BLOCK.replace("=======", "") + BLOCK, "one line '=======' between"),
    "two blocks for one line": (BLOCK + BLOCK.replace("12", "16"), "both change line 5"),
}


@pytest.mark.parametrize(("reply", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_applied_for_certain_is_refused_with_its_reason(reply: str, reason: str) -> None:
    with pytest.raises(EditError) as caught:
        apply_reply(reply, SOURCE)

    assert reason in str(caught.value)


def test_marks_of_turns_that_the_file_has_are_code() -> None:
    source = SOURCE + 'USER = "<|im_start|>user"\n'

    assert (
        apply_reply(f"```python\n{source.replace('DEPTH = 8', 'DEPTH = 12')}```", source).count("<|im_start|>user") == 1
    )
    assert apply_reply(f"The file has no `<|user|>`.\n{BLOCK}", SOURCE) == DEEPER


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("DEPTH = 10-12", "'DEPTH = 10-12' can be a range: write one number"),
        ("```python\nDEPTH = 'deep'\n```", "DEPTH is a number in the file"),
        ('```json\n{"DEPTH": "twelve"}\n```', "DEPTH is a number in the file"),
    ],
)
def test_what_is_no_number_is_no_value_of_a_number(reply: str, reason: str) -> None:
    with pytest.raises(EditError) as caught:
        apply_reply(reply, SOURCE, complete=True)

    assert reason in str(caught.value)
    assert "DEPTH = 13 - 1" in apply_reply("DEPTH = 13 - 1", SOURCE, complete=True)


def test_a_block_that_quotes_only_a_bracket_needs_its_indentation() -> None:
    source = SOURCE.replace("    model.train()\n", "    model.train(\n    )\n")
    block = "<<<<<<< SEARCH\n{0})\n=======\n{0})\n{0}DEPTH = 12\n>>>>>>> REPLACE\n"

    assert "    )\n    DEPTH = 12\n" in apply_reply(block.format("    "), source)
    with pytest.raises(EditError, match="SEARCH block 1 of 1 is not in the file"):
        apply_reply(block.format(""), source)


LEFT_OUT = ["# ...", "# ... rest of the file ...", "# rest of the code unchanged", "# [existing code here]"]


@pytest.mark.parametrize("line", ["...", "    …", *LEFT_OUT])
def test_a_line_that_stands_for_others_is_refused(line: str) -> None:
    reply = f"<<<<<<< SEARCH\n{FORWARD}=======\n    def forward(self, x):\n{line}\n>>>>>>> REPLACE\n"

    with pytest.raises(EditError, match="leaves code out"):
        apply_reply(reply, SOURCE)


@pytest.mark.parametrize("line", LEFT_OUT)
def test_where_no_line_is_missing_it_is_a_comment(line: str) -> None:
    result = apply_reply(BLOCK.replace("DEPTH = 12", f"DEPTH = 12\n{line}"), SOURCE)

    assert result == SOURCE.replace("DEPTH = 8", f"DEPTH = 12\n{line}")


@pytest.mark.parametrize(
    "line", ["# the rest is noise", "x = y[..., 0]", "# same seed for both", "# existing users: 3"]
)
def test_an_ordinary_line_is_not_taken_for_one_that_stands_for_others(line: str) -> None:
    assert line in apply_reply(BLOCK.replace("DEPTH = 12", f"DEPTH = 12\n{line}"), SOURCE)


def test_dots_that_the_file_has_itself_are_code() -> None:
    source = SOURCE + "\n\ndef stub():\n    ...\n"
    reply = "<<<<<<< SEARCH\ndef stub():\n    ...\n=======\ndef stub(x):\n    ...\n>>>>>>> REPLACE\n"

    assert apply_reply(reply, source).endswith("def stub(x):\n    ...\n")
