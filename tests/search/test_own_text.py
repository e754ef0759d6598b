"""A search on text of the user's own: `corpus=files`."""

from pathlib import Path

from tests.search.command import QUIET, assert_clean_failure, rows_of, run


def test_a_search_on_text_of_ones_own_goes_on_only_with_the_same_text(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.mkdir()
    for part in range(8):
        lines = (f"{number} is followed by {number + 1}.\n" for number in range(part * 5000, (part + 1) * 5000))
        (text / f"{part}.txt").write_text("".join(lines))
    settings = ("name=own", "corpus=files", "target.corpus.folder=text", "target.corpus.held_out_percent=20", QUIET)
    env = {"GRAFT_CACHE": str(tmp_path / "cache")}

    done = run(tmp_path, *settings, "budget.trainings=1", env=env)
    assert done.returncode == 0, done.stderr
    rows = rows_of(tmp_path / "outputs" / "own")
    assert [row["status"] for row in rows] == ["baseline"]

    (text / "0.txt").write_text("another beginning\n" * 5000)
    again = run(tmp_path, *settings, "budget.trainings=2", env=env)
    assert_clean_failure(again, "were scored on another text than there is now", "restore the text", "from=")
    assert rows_of(tmp_path / "outputs" / "own") == rows


def test_a_search_without_the_folder_says_which_setting_it_lacks(tmp_path: Path) -> None:
    assert_clean_failure(run(tmp_path, "name=own", "corpus=files", QUIET), "target.corpus.folder must be given")
