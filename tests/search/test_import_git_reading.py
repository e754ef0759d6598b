# ruff: noqa: E501 -- one row a line, as in a table
"""Which rows a table of an agent has, and what is in their cells."""

from __future__ import annotations

import pytest

from operators.trial import Status
from search.errors import UserError
from search.import_git.log import decode_results, parse_results
from search.import_git.missing import NoScoreError
from search.import_git.table import LeftOut

HEAD = "commit\tval_bpb\tmemory_gb\tstatus\tdescription\n"


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("abc1234\t0.9", "fewer columns than the header"),
        ("abc1234\tlow\t1\tkeep\td", "val_bpb is not a number"),
        ("abc1234\t<0.9\t1\tkeep\td", "val_bpb is not a number"),  # a bound is no measurement
        ("abc1234\t0.95 -> 0.93\t1\tkeep\td", "val_bpb can be read as two numbers"),
        ("abc1234\t0.95/0.93\t1\tkeep\td", "val_bpb can be read as two numbers"),
        ("abc1234\t1,234\t1\tkeep\td", "val_bpb can be read as two numbers"),
        ("abc1234\t1e300\t1\tkeep\td", "val_bpb is beyond 1e+15"),
        ("abc1234\t\t1\tkeep\td", "keep without a val_bpb"),
        ("abc1234\t0.000000\t0.0\tkeep\td", "keep with 0, which stands for a crash, as val_bpb"),
        ("abc1234\t-\t1\tdiscard\td", "discard without a val_bpb"),
        ("abc1234\t0.9\t1\tpending\td", "the status 'pending' is not known"),
        ("unknown\t\t\tpartial\td", "the status 'partial' is not known"),  # no part of the description above
        ("abc1234\t0.9\t1\tkeep?\td", "the status 'keep?' is not known"),
        ("abc1234\t0.9\t1\tkeep -> discard\td", "the status 'keep -> discard' is not known"),
        ("abc1234\t0.9\t1\tnot kept\td", "the status 'not kept' is not known"),
        ("abc1234\t90%\t1\tkeep\td", "a val_bpb in percent among others"),
        ("abc1234\t999.0\t1\tkeep\td", "keep with 999, which stands for a failure, as val_bpb"),
        ("abc1234\t0.9\t1\tkeep-candidate\td", "the status 'keep-candidate' is not known"),
        ("abc1234\t0.9\t1\tsuccess\td", "the status 'success' is not known"),  # of the run, or of the change
        ("abc1234\t0.9\t1\tkilled\td", "the status 'killed' is not known"),  # the run, or the idea
        (
            "abc1234\t0.9\tdiscard\tbest so far is 0.8\td",
            "a verdict where the memory should be, so its cells are not below their headers",
        ),
        ("abc1234\t0.9\t1\tkeep\tdeepabc1235\t0.8\t1\tkeep\twide", "a second row in the line of the first"),
    ],
)
def test_a_row_that_has_no_meaning_or_two_is_left_out_with_the_reason(row, why):
    table = parse_results(f"{HEAD}abc1230\t0.7\t1\tkeep\tbaseline\n{row}\n", place="t", metric="val_bpb")

    assert [kept.line for kept in table.rows] == ([2, 3] if "second row" in why else [2])
    assert table.left_out == [LeftOut(3, why)]
    assert all("\t" not in kept.description for kept in table.rows)


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (("abc1234", "0.9000 (baseline)", "44.0 GB", "keep (baseline)"), ("abc1234", 0.9, 44.0, "keep")),
        (("`abc1234`", "**~0.90**", "45056MiB", "KEEP \u2705"), ("abc1234", 0.9, 44.0, "keep")),
        (("[abc1234](https://example.invalid)", "0,9", "", "**kept**"), ("abc1234", 0.9, None, "keep")),
        (('"abc1234"', '"0.9"', "1e300", '"discard"'), ("abc1234", 0.9, None, "discard")),
        (("abc1234 (reset)", "0.9±0.01", "-1", "discard - kept the old one"), ("abc1234", 0.9, None, "discard")),
        (("abc1234", "1,234,567.5", "44", "keep"), ("abc1234", 1234567.5, 44.0, "keep")),
        (("abc1234", "-1,234.25 ms", "44", "keep"), ("abc1234", -1234.25, 44.0, "keep")),
        (("abc1234", "0.9 +/- 0.01", "44", "keep-provisional"), ("abc1234", 0.9, 44.0, "keep")),
        (("baseline", "0.9 bpb", "?", "\u274c reverted"), (None, 0.9, None, "discard")),
        (("TBD", ".9", "44 fish", "Discarded."), (None, 0.9, None, "discard")),
        (("", "9e-1", "44", "worse"), (None, 0.9, 44.0, "discard")),
        (("0012", "0.9", "44", "keep"), (None, 0.9, 44.0, "keep")),  # a count of their own, not the hash of a commit
        (("added", "0.9", "44", "keep*"), ("added", 0.9, 44.0, "keep")),  # no commit is called so: left out by git
        (("abc1234", "0.000000", "0.0", "discard"), ("abc1234", None, None, "crashed")),
        (("abc1234", "crash", "0.0", "crash (shape)"), ("abc1234", None, None, "crashed")),
        (("abc1234", "OOM", "-", "Out of memory"), ("abc1234", None, None, "out_of_memory")),
        (("abc1234", "FAIL", "-", "discard"), ("abc1234", None, None, "crashed")),
        (("abc1234", "18/24 (75%)", "44", "improvement"), ("abc1234", 0.75, 44.0, "keep")),
        (("abc1234", "0.9", "44", "no-improvement"), ("abc1234", 0.9, 44.0, "discard")),
        (("abc1234", "nan", "-", "timed-out"), ("abc1234", None, None, "timed_out")),
    ],
)
def test_cells_are_read_as_people_write_them(cells, expected):
    (row,) = parse_results(HEAD + "\t".join((*cells, "what")), place="t", metric="val_bpb").rows

    gigabytes = row.memory_bytes and row.memory_bytes / 2**30
    assert (row.commit, row.value, gigabytes, row.status.value) == expected


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        (("0.25", "3/8", "4/5"), [0.25, 0.375, 0.8]),
        (("1/8", "3/8", "4/5"), [0.125, 0.375]),
        (("20", "30/33"), [20]),
        (("1", "3/8"), [1]),
        (("0.25", "1.5", "3/8"), [0.25, 1.5]),
    ],
)
def test_shares_are_read_among_fractions_and_among_shares_of_the_same_number(scores, expected):
    rows = "\n".join(f"abc123{at}\t{score}\t44\tkeep\td" for at, score in enumerate(scores))
    table = parse_results(HEAD + rows, place="t", metric="val_bpb")

    assert [row.value for row in table.rows] == expected
    assert [each.why.startswith("a val_bpb of ") for each in table.left_out] == [True] * (len(scores) - len(expected))


@pytest.mark.parametrize(("mark", "expected"), [("-999.000", [None]), ("99999", [None]), ("99.9", [99.9])])
def test_a_score_of_nines_far_from_all_others_marks_a_failure(mark, expected):
    text = f"{HEAD}abc1230\t1.1\t44\tkeep\tfirst\nabc1231\t{mark}\t44\tdiscard\tno trades\n"
    rows = parse_results(text, place="t", metric="val_bpb").rows

    assert [row.value for row in rows[1:]] == expected
    assert rows[1].status is (Status.DISCARD if expected[0] else Status.CRASHED)


def test_verdicts_may_begin_the_descriptions_if_they_begin_all_of_them():
    cells = ("baseline \u2014 linear", "keep: deeper", "discard - wide", "OOM (batch 64)")
    rows = [f"abc123{at}\t0.{9 - at}\t44\t{cell}" for at, cell in enumerate(cells)]
    text = "\n".join(["commit\tval_bpb\tmemory_gb\tnotes", *rows])

    statuses = [Status.KEEP, Status.KEEP, Status.DISCARD, Status.OUT_OF_MEMORY]
    assert [row.status for row in parse_results(text, place="t", metric="val_bpb").rows] == statuses
    with pytest.raises(UserError, match="no column that says what was kept"):
        parse_results(text + "\nabc1239\t0.8\t44\trevert the norm", place="t", metric="val_bpb")


@pytest.mark.parametrize(
    ("text", "described"),
    [
        ("abc1234\t0.9\t44\tkeep\tfirst\n  import torch\n\tx = 1\n\nabc1235\t1\t44\tdiscard\tsecond", ["first import torch x = 1", "second"]),
        (f"abc1234\t0.9\t44\tkeep\tfirst\n{HEAD}abc1235\t1\t44\tdiscard\tsecond\ttabbed", ["first", "second\ttabbed"]),
    ],
    ids=["line breaks in a description", "a header that comes again"],
)  # fmt: skip
def test_a_line_that_begins_no_row_belongs_to_the_one_before(text, described):
    table = parse_results(HEAD + text, place="t", metric="val_bpb")

    assert [row.description for row in table.rows] == described
    assert table.left_out == []
    added = "they begin no row, and were added to the description above: 2 rows (lines 3, 4)"
    assert table.notes == [added] * ("torch" in text)


@pytest.mark.parametrize(
    "text",
    [
        'commit,val_bpb,memory_gb,status,description\nabc1234,0.9,44,keep,"wide, and deep"\n',
        "commit;val_bpb;memory_gb;status;description\nabc1234;0,9;44;keep;wide, and deep\n",
        "| Commit | val_bpb | memory_gb | status | description |\n|---|---|---|---|---|\n| abc1234 | 0.9 | 44 | keep | wide, and deep |\n",
        "# results of a night\n\nHash\tval_bpb\tVRAM GB\tDecision\tNotes\r\nABC1234\t0.9\t44\tKept\twide, and deep\r\n",
        "\ufeffstatus\tdescription\tcommit\tval_bpb\tmemory_gb\nkeep\twide, and deep\tabc1234\t0.9\t44\n",
        "Git SHA\t**VAL BPB** (\u2193)\tVRAM-GB\tKeep?\tChange\nabc1234\t0.9\t44\tyes\twide, and deep\n",
        r"commit\tval_bpb\tmemory_gb\tstatus\tnote" + "\n" + r"abc1234\t0.9\t44\tkeep\twide, and deep",
    ],
    ids=[
        "commas",
        "semicolons",
        "Markdown",
        "other names",
        "another order",
        "remarks and marks in names",
        "written tabs",
    ],
)
def test_columns_are_found_by_their_names_between_tabs_commas_and_bars(text):
    (row,) = parse_results(text, place="t", metric="val_bpb").rows

    assert (row.commit, row.value, row.status, row.description) == ("abc1234", 0.9, Status.KEEP, "wide, and deep")
    assert row.memory_bytes == 44 * 2**30


def test_rows_with_written_tabs_are_rows_among_others():
    text = HEAD + "abc1234\t0.9\t44\tkeep\tfirst\n" + r"abc1235\t1.1\t44\tdiscard\tprints \t and \n"

    rows = parse_results(text, place="t", metric="val_bpb").rows

    assert [(row.value, row.status, row.description) for row in rows] == [
        (0.9, Status.KEEP, "first"),
        (1.1, Status.DISCARD, "prints \t and \\n"),
    ]


def test_a_header_in_the_middle_holds_for_the_rows_below_it():
    text = (
        "what\tcommit\tval_loss\tstatus\nloss\tabc1229\t2.2\tkeep\n"
        f"{HEAD}abc1230\t0.9\t44\tkeep\tfirst\n"
        "commit\tstatus\tlr\tval_bpb\tnotes\nabc1231\tdiscard\t0.3\t1.1\tsecond\n"
        "commit\tval_loss\tmemory_gb\tstatus\tdescription\nabc1232\t2.1\t44\tkeep\tthird\n"
        f"{HEAD}abc1233\t0.8\t44\tkeep\tfourth\n"
    )

    table = parse_results(text, place="t", metric="val_bpb")

    assert [(row.value, row.description) for row in table.rows] == [(0.9, "first"), (1.1, "second"), (0.8, "fourth")]
    assert table.left_out == [
        LeftOut(2, "above the header"),
        LeftOut(8, "under another header (line 7), without val_bpb"),
    ]


def test_text_and_other_tables_around_a_table_in_markdown_are_no_descriptions():
    text = (
        "# Night\n\n| Factor | Here |\n|---|---|\n| speed | 60 % |\n\nWhat was run:\n\n"
        "| # | Commit | val_bpb | VRAM GB | Status | Description |\n|:-:|---|---|---|---|---|\n"
        "| 0 | abc1230 | 0.9 | 44 | **keep** | first |\n| 1 | abc1231 | 1.1 | 44 | discard | second |\n\n"
        "## Found\n\n1. **Depth** helps.\n\n| Tip | Why |\n|---|---|\n| depth | 0.9 |\n"
    )

    table = parse_results(text, place="t", metric="val_bpb")

    assert [(row.commit, row.description) for row in table.rows] == [("abc1230", "first"), ("abc1231", "second")]
    assert table.left_out == [LeftOut(18, "not a row of the table"), LeftOut(20, "not a row of the table")]
    assert table.notes == []


def test_a_comment_between_rows_is_no_description():
    text = f"{HEAD}abc1230\t0.9\t44\tkeep\tfirst\n# the second night\nabc1231\t0.8\t44\tkeep\tsecond\n"

    table = parse_results(text, place="t", metric="val_bpb")

    assert [row.description for row in table.rows] == ["first", "second"]
    assert table.notes == []


@pytest.mark.parametrize(
    ("header", "cells", "expected"),
    [
        ("kept", "yes", Status.KEEP),
        ("kept", "No", Status.DISCARD),
        ("keep?", "\u2713", Status.KEEP),
        ("Keep", "\u274c worse", Status.DISCARD),
        ("accepted", "1", Status.KEEP),
        ("accepted", "0", Status.DISCARD),
        ("accepted", "TRUE", Status.KEEP),
        ("kept", "reverted (by 0.01)", Status.DISCARD),
        ("kept", "baseline", Status.KEEP),
        ("kept", "0.5", "the kept '0.5' is neither yes nor no"),
        ("kept", "invalid", "the kept 'invalid' is neither yes nor no"),
        ("status", "true", "the status 'true' is not known"),  # the run, or the change?
        ("status\tdecision", "ok\tkeep", Status.KEEP),
        ("status\tdecision", "crash\tdiscard", Status.CRASHED),
        ("decision\tstatus", "keep\tkept", Status.KEEP),
        ("status\toutcome", "discard\tbest so far, but slow", Status.DISCARD),
        ("status\tkept", "keep\tno", "status says keep, kept says discard"),
        ("status\tkept", "crash\tyes", "status says crashed, kept says keep"),
        ("status\tdecision", "ok\t-", "the status 'ok' is not known"),
    ],
)
def test_a_verdict_is_in_the_columns_that_are_named_so(header, cells, expected):
    text = f"commit\tval_bpb\t{header}\nabc1230\t0.7\t{cells}\nabc1231\t0.6\t{cells}\n"
    if not isinstance(expected, Status):
        with pytest.raises(UserError) as error:
            parse_results(text, place="t", metric="val_bpb")
        assert f"{expected}: 2 rows (lines 2, 3)" in str(error.value)
    else:
        assert parse_results(text, place="t", metric="val_bpb").rows[1].status is expected


NAMED = """day\tcommit\tmetric\tvalue\tstatus\tdescription
1\tabc1230\tcoverage\t61\tkeep\tfirst
1\tabc1230\tseconds\t9.5\tkeep\tfirst
2\tabc1231\tcoverage\t64\tkeep\tsecond
"""


def test_of_rows_that_name_their_metric_only_those_of_the_metric_are_read():
    table = parse_results(NAMED, place="t", metric="coverage")

    assert [(row.commit, row.value) for row in table.rows] == [("abc1230", 61.0), ("abc1231", 64.0)]
    assert table.left_out == [LeftOut(3, "another metric than coverage")]
    for mixed in ("value", "val_bpb"):
        with pytest.raises(NoScoreError, match=f"t:1: {mixed} must be one of the metrics .*: coverage, seconds"):
            parse_results(NAMED, place="t", metric=mixed)
    one = "".join(line for line in NAMED.splitlines(keepends=True) if "seconds" not in line)
    assert [row.value for row in parse_results(one, place="t", metric="value").rows] == [61.0, 64.0]


@pytest.mark.parametrize(
    ("encoding", "note"),
    [("utf-8", None), ("utf-8-sig", None), ("utf-16", "is UTF-16"), ("cp1252", "is not UTF-8 (byte 66)")],
)
def test_a_table_in_any_encoding_is_read_and_said(encoding, note):
    text, notes = decode_results(f"{HEAD}abc1234\t0.9\t44\tkeep\tnaïve\n".encode(encoding), place="t")

    assert parse_results(text, place="t", metric="val_bpb").rows[0].description == "naïve"
    assert [note in each for each in notes] == [True] * (note is not None)


def test_bytes_that_are_no_text_are_refused():
    with pytest.raises(UserError, match="must be a text file"):
        decode_results(b"SQLite format 3\0", place="t")


@pytest.mark.parametrize(
    ("heading", "status"), [("wins \u2191", Status.CRASHED), ("wins (higher is better)", Status.DISCARD)]
)
def test_a_zero_is_a_crash_unless_the_header_is_one_of_an_export(heading, status):
    text = f"commit\t{heading}\tstatus\nabc1230\t3\tkeep\nabc1231\t0.0\tdiscard\n"

    assert parse_results(text, place="t", metric="wins").rows[1].status is status
