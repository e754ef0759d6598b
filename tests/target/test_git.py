"""A repository of others, with everything in its configuration that could run a program: nothing of it does."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from search.import_git.__main__ import main
from target.command.checkout import copy_checkout
from target.command.git import GitError, open_clean
from tests.checkouts import autoresearch_spec, git, make_checkout

GONE = "0123abcdef0123abcdef0123abcdef0123abcdef"
BRANCH = "autoresearch/mar5"

# Name, and configuration with {evil} for a program. All of them have a partial clone, which fetches what is missing.
CONFIGURATIONS = {
    "uploadpack": {"remote.origin.url": ".", "remote.origin.uploadpack": "{evil}"},
    "ext": {"remote.origin.url": "ext::{evil}", "protocol.ext.allow": "always"},
    "vcs": {"remote.origin.url": "{evil}", "remote.origin.vcs": "ext", "protocol.allow": "always"},
    "ssh": {"remote.origin.url": "host:x", "core.sshCommand": "{evil}"},
    "git proxy": {"remote.origin.url": "git://host/x", "core.gitProxy": "{evil}"},
    "instead": {"remote.origin.url": "ok://x", "url.ext::{evil} .insteadOf": "ok://", "protocol.allow": "always"},
    "file system monitor": {"core.fsmonitor": "{evil}"},
    "hooks": {"core.hooksPath": "{hooks}"},
    "pager": {"core.pager": "{evil}", "pager.for-each-ref": "{evil}", "pager.show": "{evil}", "pager.rev-list": "true"},
    "diff": {"diff.external": "{evil}", "diff.evil.command": "{evil}", "diff.evil.textconv": "{evil}"},
    "filter": {"filter.evil.clean": "{evil}", "filter.evil.smudge": "{evil}", "filter.evil.process": "{evil}"},
    "signatures": {"gpg.program": "{evil}", "log.showSignature": "true"},
    "alternates": {"core.alternateRefsCommand": "{evil}"},
    "aliases": {"alias.rev-parse": "!{evil}", "alias.show": "!{evil}", "alias.cat-file": "!{evil}"},
}  # fmt: skip


@pytest.fixture
def evil(tmp_path):
    """A program that leaves a mark if it runs."""
    program = tmp_path / "evil"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/RAN\n")
    program.chmod(0o755)
    return program


@pytest.fixture
def checkout(tmp_path):
    """A checkout with a branch and a table, one of whose rows is about an object that is not there."""
    root = make_checkout(tmp_path / "checkout")
    git(root, "checkout", "-q", "-b", BRANCH)
    (root / ".gitattributes").write_text("* filter=evil diff=evil\n")
    rows = (f"{git(root, 'rev-parse', '--short', 'HEAD')}\t0.99\tkeep\tbaseline", f"{GONE}\t0.98\tdiscard\tgone")
    (root / "results.tsv").write_text("commit\tval_bpb\tstatus\tdescription\n" + "".join(f"{row}\n" for row in rows))
    return root


def plant(root: Path, evil: Path, settings: dict[str, str]) -> None:
    hooks = evil.with_name("hooks")
    hooks.mkdir()
    for name in ("post-index-change", "reference-transaction", "pre-auto-gc", "post-checkout"):
        (hooks / name).symlink_to(evil)
    for name, value in {"extensions.partialClone": "origin", "remote.origin.promisor": "true", **settings}.items():
        places = {"{evil}": str(evil), "{hooks}": str(hooks)}
        for word, place in places.items():
            name, value = name.replace(word, place), value.replace(word, place)
        git(root, "config", name, value)
    git(root, "config", "core.repositoryformatversion", "1")


def ran(evil: Path) -> bool:
    return evil.with_name("RAN").exists()


def imports(root: Path, tmp_path: Path) -> int:
    return main([str(root), "--branch", BRANCH, "--name", "x", "--outputs", str(tmp_path / "outputs")])


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_no_program_that_a_repository_names_runs(checkout, evil, tmp_path, name):
    plant(checkout, evil, CONFIGURATIONS[name])

    assert imports(checkout, tmp_path) == 0
    copy_checkout(autoresearch_spec(checkout), tmp_path / "copy")

    assert not ran(evil)


@pytest.mark.parametrize("name", ["uploadpack", "ext", "vcs", "ssh", "git proxy", "instead", "file system monitor"])
def test_plain_git_would_run_the_program(checkout, evil, name):
    plant(checkout, evil, CONFIGURATIONS[name])

    for question in (("cat-file", "-e", GONE), ("status",)):
        subprocess.run(["git", *question], cwd=checkout, capture_output=True, timeout=300, check=False)

    assert ran(evil)


@pytest.mark.parametrize("kind", ["blob", "tree", "commit", "reference", "head"])
def test_what_is_missing_of_a_partial_clone_is_not_fetched(checkout, evil, tmp_path, kind):
    git(checkout, "add", "-f", ".gitattributes")
    git(checkout, "commit", "-q", "-m", "another")
    missing = {"blob": "HEAD:train.py", "tree": "HEAD^{tree}", "commit": "HEAD^"}
    if kind in missing:
        hash_ = git(checkout, "rev-parse", missing[kind])
        (checkout / ".git" / "objects" / hash_[:2] / hash_[2:]).unlink()
    else:
        place = "refs/heads/bad" if kind == "reference" else f"refs/heads/{BRANCH}"
        (checkout / ".git" / place).write_text(f"{GONE}\n")
    plant(checkout, evil, CONFIGURATIONS["uploadpack"])

    imports(checkout, tmp_path)
    copy_checkout(autoresearch_spec(checkout), tmp_path / "copy")

    assert not ran(evil)


def test_a_sparse_index_is_read_without_a_fetch(checkout, evil, tmp_path):
    (checkout / "data").mkdir()
    (checkout / "data" / "a").write_text("1")
    git(checkout, "add", "data/a")
    git(checkout, "commit", "-q", "-m", "data")
    git(checkout, "sparse-checkout", "init", "--cone", "--sparse-index")
    tree = git(checkout, "rev-parse", "HEAD:data")
    (checkout / ".git" / "objects" / tree[:2] / tree[2:]).unlink()
    plant(checkout, evil, CONFIGURATIONS["uploadpack"])

    copy_checkout(autoresearch_spec(checkout), tmp_path / "copy")

    assert not ran(evil)


def test_the_user_is_not_led_elsewhere_by_the_environment(checkout, tmp_path, monkeypatch):
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY"):
        monkeypatch.setenv(name, str(tmp_path / "elsewhere"))

    with open_clean(checkout) as repository:
        assert repository.find("HEAD", "commit")


def test_branch_names_that_look_like_options_are_names(checkout, tmp_path):
    (checkout / ".git" / "refs" / "heads" / "--upload-pack=x").write_text(git(checkout, "rev-parse", "HEAD") + "\n")

    assert main([str(checkout), "--branch=--upload-pack=x", "--name", "x", "--outputs", str(tmp_path)]) == 0


@pytest.mark.parametrize("form", ["worktree", "shallow", "sha256", "split index", "packed", "detached", "subdirectory"])
def test_repositories_of_all_forms_are_read(tmp_path, form):
    root = tmp_path / "made"
    if form == "sha256":
        root.mkdir()
        git(root, "init", "-q", "--object-format=sha256")
        (root / "train.py").write_text("X = 1\n")
        git(root, "add", ".")
        git(root, "commit", "-q", "-m", "x")
    else:
        make_checkout(root)
    git(root, "commit", "-q", "--allow-empty", "-m", "again")
    tip, n_commits, place = git(root, "rev-parse", "HEAD"), 2, root
    if form == "worktree":
        place = tmp_path / "linked"
        git(root, "worktree", "add", "-q", str(place), "-b", "linked")
    elif form == "shallow":
        place, n_commits = tmp_path / "clone", 1
        git(tmp_path, "clone", "-q", "--depth=1", f"file://{root}", str(place))
    elif form == "split index":
        git(root, "update-index", "--split-index")
    elif form == "packed":
        git(root, "gc", "-q")
    elif form == "detached":
        git(root, "checkout", "-q", "--detach")
    elif form == "subdirectory":
        place = root / "below"
        place.mkdir()
        (place / "train.py").write_text("X = 2\n")
        git(root, "add", ".")

    with open_clean(place) as repository:
        assert repository.ask("rev-parse", "HEAD") == f"{tip}\n".encode()
        assert len((repository.ask("rev-list", "HEAD") or b"").split()) == n_commits
        tracked = (repository.ask("ls-files", "-z") or b"").decode().split("\0")
        assert "train.py" in tracked
        if form != "subdirectory":
            assert repository.content("HEAD:train.py", "blob") == (place / "train.py").read_bytes()
        assert repository.find("HEAD:train.py", "commit") is None


def test_a_file_in_place_of_an_object_that_never_ends_is_given_up(checkout, tmp_path, monkeypatch):
    hash_ = git(checkout, "rev-parse", "HEAD:train.py")
    place = checkout / ".git" / "objects" / hash_[:2] / hash_[2:]
    place.unlink()
    os.mkfifo(place)

    with open_clean(checkout) as repository:
        monkeypatch.setattr("target.command.git.SECONDS", 1.0)
        with pytest.raises(GitError, match="more than 1 seconds"):
            repository.content("HEAD:train.py", "blob")


def test_a_file_larger_than_the_limit_is_not_read(checkout, monkeypatch):
    monkeypatch.setattr("target.command.git.OBJECT_BYTES", 10)

    with open_clean(checkout) as repository:
        assert repository.content("HEAD:train.py", "blob") is None


def test_nothing_is_left_behind(checkout, tmp_path):
    before = sorted(Path(tmp_path).rglob("*"))
    script = (
        "import pathlib, target.command.git\n"
        f"with target.command.git.open_clean(pathlib.Path({str(checkout)!r})) as it: it.find('HEAD', 'commit')"
    )
    folder = tmp_path / "temporary"
    folder.mkdir()
    subprocess.run([sys.executable, "-c", script], env={**os.environ, "TMPDIR": str(folder)}, check=True, timeout=300)

    assert list(folder.iterdir()) == []
    folder.rmdir()
    assert sorted(Path(tmp_path).rglob("*")) == before
