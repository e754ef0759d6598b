"""Untrusted text in Markdown: a renderer shows it unchanged, and a terminal with few escapes."""

from __future__ import annotations

import html

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from search.views.text import escape_markdown
from search.views.verdicts import one_line

RENDERER = MarkdownIt("commonmark").enable(["table", "strikethrough"])


@given(st.text("\\`*_[]<>(){}#|~!&+-=.1a: \n;é", max_size=14).filter(one_line))
def test_any_text_is_shown_as_it_is(text: str) -> None:
    shown, escaped = html.escape(one_line(text), quote=False), escape_markdown(text)

    assert RENDERER.render(f"- {escaped}\n") == f"<ul>\n<li>{shown}</li>\n</ul>\n"
    assert f"<td>{shown}</td>" in RENDERER.render(f"| a |\n|---|\n| {escaped} |\n")


@pytest.mark.parametrize("text", ["ADAM_BETA2 0.9 -> 0.95 (trial #7)", "val_bpb", "no gain: 1.0 + 2.0 = 3 & so on!"])
def test_what_searches_say_needs_no_escapes(text: str) -> None:
    assert escape_markdown(text) == text
