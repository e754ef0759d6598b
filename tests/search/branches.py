"""Branches as an agent leaves them in a repository after autoresearch's program.md, and their import."""

from __future__ import annotations

from pathlib import Path

from search.import_git.__main__ import main
from search.runs.rundir import RunDirectory
from tests.checkouts import git, make_checkout

BRANCH = "autoresearch/mar5"


class Agent:
    """Does to a repository what autoresearch's program.md asks of an agent, and writes it down in results.tsv."""

    def __init__(self, root: Path) -> None:
        self.root = make_checkout(root)
        git(root, "checkout", "-q", "-b", BRANCH)
        self.rows = ["commit\tval_bpb\tmemory_gb\tstatus\tdescription"]

    def commit(self, description: str, *changes: tuple[str, str]) -> str:
        source = (self.root / "train.py").read_text()
        for old, new in changes:
            assert old in source
            source = source.replace(old, new)
        (self.root / "train.py").write_text(source)
        git(self.root, "commit", "-q", "--allow-empty", "-am", description)
        return self.hash()

    def revert(self, commit: str) -> str:
        git(self.root, "revert", "--no-edit", commit)
        return self.hash()

    def hash(self) -> str:
        return git(self.root, "rev-parse", "--short=7", "HEAD")

    def reset(self) -> None:
        git(self.root, "reset", "-q", "--hard", "HEAD~1")

    def log(self, commit: str, val_bpb: str, memory_gb: str, status: str, description: str) -> None:
        self.rows.append("\t".join((commit, val_bpb, memory_gb, status, description)))
        (self.root / "results.tsv").write_text("\n".join(self.rows) + "\n")


def night(root: Path) -> Agent:
    """A night's work: kept and discarded commits, a crash, a revert, and a commit that is gone."""
    agent = Agent(root)
    agent.log(agent.hash(), "0.997900", "44.0", "keep", "baseline")
    agent.log(agent.commit("lr", ("MATRIX_LR = 0.04", "MATRIX_LR = 0.05")), "0.993200", "44.2", "keep", "LR to 0.05")
    agent.log(agent.commit("gelu", ("DEPTH = 8", "DEPTH = 12")), "1.005000", "44.0", "discard", "deeper, to 12")
    agent.reset()
    agent.log(
        agent.commit("wide", ("import os", "import os  # wide\nWIDTH = 4")), "0.000000", "0.0", "crash", "double width"
    )
    agent.reset()
    agent.log("0123abc", "0.991000", "44.0", "discard", "of an object that git has thrown away")
    shallow = agent.commit("depth 4", ("DEPTH = 8", "DEPTH = 4"))
    agent.log(shallow, "0.992000", "30.0", "keep", "depth 4")
    agent.log(agent.revert("HEAD"), "0.993100", "44.2", "keep", "revert: depth 4 was luck")
    agent.log(agent.commit("depth 9", ("DEPTH = 8", "DEPTH = 9")), "0.985000", "47.0", "keep", "depth 9")
    return agent


def imported(agent: Agent, tmp_path: Path, *options: str):
    code = main(
        [str(agent.root), "--branch", BRANCH, "--name", "mar5", "--outputs", str(tmp_path / "outputs"), *options]
    )
    return code, RunDirectory(tmp_path / "outputs" / "mar5")


def scored(tmp_path: Path, name: str, values: tuple[float, ...], above: str = "") -> Agent:
    """A branch whose rows are kept if they have the next value, else discarded."""
    agent = Agent(tmp_path / "autoresearch")
    agent.rows = [*([above] if above else []), f"commit\t{name}\tstatus\tdescription"]
    for number, value in enumerate(values):
        commit = agent.commit(str(number), ("import os", f"import os\nROW_{number} = 1")) if number else agent.hash()
        agent.rows.append(f"{commit}\t{value}\tkeep\trow {number}")
    (agent.root / "results.tsv").write_text("\n".join(agent.rows))
    return agent
