"""Which installed packages a candidate gets, from metadata as different installers leave it."""

import dataclasses
import importlib
import json
import os
import subprocess
import sys

import pytest

from target.corpus.documents import installed_text
from target.corpus.readable import read_access
from target.errors import TargetError
from target.evaluation import Outcome
from target.evaluator import Evaluator
from target.program import Program
from target.sandbox.packages import GrantedFinder, needed_places, package_folders, places_of, without_packages
from target.spec import Corpus
from tests.target.candidates import HONEST, in_main


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder of packages on sys.path, and a function that installs into it."""
    folder = tmp_path / "lib" / "python3.11" / "site-packages"
    folder.mkdir(parents=True)
    monkeypatch.syspath_prepend(str(folder))

    def install(name, files, *, requires=(), record=True, **more):
        for file in files:
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_text("")
        info = folder / f"{name}-1.0.dist-info"
        info.mkdir()
        required = "".join(f"Requires-Dist: {each}\n" for each in requires)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{required}")
        if record:
            listed = [*files, f"{info.name}/METADATA", "../../../bin/tool"]
            (info / "RECORD").write_text("".join(f"{file},sha256=x,1\n" for file in listed))
        for file, text in more.items():
            (info / f"{file}").write_text(text)
        importlib.invalidate_caches()

    install.folder = folder
    return install


def names(site, places):
    return {str(path.relative_to(site.folder)) for path in places}


def test_a_distribution_is_its_files_and_those_of_what_it_requires(site):
    site("alpha", ["alpha/__init__.py", "alpha/deep/part.py"], requires=["beta-one>=2; python_version>'3'", "absent"])
    site(
        "beta_one", ["beta.py", "__pycache__/beta.cpython-311.pyc", "beta.libs/x.so"], requires=["gamma; extra == 'x'"]
    )
    site("gamma", ["gamma/__init__.py"])

    assert names(site, places_of(["alpha"])) == {
        *("alpha", "alpha-1.0.dist-info", "beta.py", "__pycache__/beta.cpython-311.pyc", "beta.libs"),
        "beta_one-1.0.dist-info",
    }


def test_of_a_package_that_several_distributions_share_each_has_its_part(site):
    site("shared_one", ["shared/one/a.py"])
    site("shared_two", ["shared/two/a.py"])

    assert names(site, places_of(["shared-one"])) == {"shared/one", "shared_one-1.0.dist-info"}


@pytest.mark.parametrize("listed", [True, False])
def test_a_distribution_without_a_list_of_files_is_found_by_its_names(site, listed):
    more = {"top_level.txt": "delta\n_delta\n"} if listed else {}
    site("delta", ["delta/__init__.py", "_delta.abi3.so", "deltas.py"], record=False, **more)

    found = names(site, places_of(["delta"]))

    assert found == {"delta", "delta-1.0.dist-info"} | ({"_delta.abi3.so"} if listed else set())


def test_an_editable_installation_is_where_it_leads_to(site, tmp_path, monkeypatch):
    project = tmp_path / "project"
    (project / "epsilon").mkdir(parents=True)
    (project / "epsilon" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(project))
    url = {"url": f"file://{project}", "dir_info": {"editable": True}}
    site("epsilon", ["_epsilon.pth"], **{"direct_url.json": json.dumps(url)})

    assert project / "epsilon" in places_of(["epsilon"])


def test_a_package_is_found_by_the_name_it_is_imported_by(site):
    site("zeta_project", ["zeta/__init__.py"], **{"top_level.txt": "zeta\n"})

    assert names(site, places_of(["zeta"])) == {"zeta", "zeta_project-1.0.dist-info"}


def test_what_is_not_installed_is_refused():
    with pytest.raises(TargetError, match=r"target\.packages must name installed .* no-such-package-of-graft is not"):
        places_of(["no-such-package-of-graft"])


def test_torch_gets_what_it_needs_and_nothing_of_ours():
    found = {path.name for path in needed_places()}

    assert {"torch", "numpy", "sympy", "mpmath", "networkx", "jinja2", "typing_extensions.py"} <= found
    assert found.isdisjoint({"mlflow", "pandas", "scipy", "control", "pysmt", "pytest", "site-packages", "__pycache__"})


def test_a_tree_is_granted_without_the_folders_of_packages_in_it(tmp_path):
    for path in (
        "lib/python3.11/site-packages/x/a",
        "lib/python3.11/os.py",
        "lib/libc.so",
        "lib/python3/dist-packages/b",
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("")
    (tmp_path / "lib64").symlink_to("lib")
    folders = frozenset(each for each in package_folders([tmp_path]) if each.startswith(str(tmp_path)))

    found = dict(without_packages(str(tmp_path), folders))

    whole = {os.path.relpath(path, tmp_path) for path, everything in found.items() if everything}
    assert whole == {"lib/python3.11/os.py", "lib/libc.so"}
    assert {os.path.relpath(path, tmp_path) for path in found} - whole == {
        *(".", "lib", "lib/python3.11", "lib/python3")
    }


def test_a_package_that_is_not_granted_is_not_installed_to_an_import(site):
    site("alpha", ["alpha/__init__.py", "alpha/part.py"])
    site("beta", ["beta/__init__.py"])
    site("shared_one", ["shared/one/a.py"])
    places = [os.path.realpath(path) for path in places_of(["alpha", "shared-one"])]
    finder = GrantedFinder(places, frozenset({os.path.realpath(site.folder)}))

    assert finder.find_spec("alpha")
    assert finder.find_spec("shared")
    assert finder.find_spec("json")
    assert finder.find_spec("beta") is None
    assert finder.find_spec("no_such_package") is None
    assert finder.hidden == {"beta"}


# pytest is installed wherever this runs, and is no package of torch's
OPTIONAL = """
import importlib.util
assert importlib.util.find_spec('pytest') is None
try: import pytest
except ImportError: print('DONE WITHOUT')
"""


def test_a_candidate_does_without_an_optional_package(evaluator, log):
    found = evaluator.evaluate(Program(in_main(OPTIONAL)), 0, log)

    assert found.outcome is Outcome.OK, found.detail
    assert "DONE WITHOUT" in log.read_text()


def test_a_candidate_is_told_which_setting_grants_a_package(evaluator, log):
    found = evaluator.evaluate(Program(in_main("import pytest")), 0, log)

    assert found.outcome is Outcome.CRASHED
    assert "No module named 'pytest'" in found.detail
    assert "target.packages=[pytest]" in found.detail
    missing = evaluator.evaluate(Program(in_main("import no_such_package")), 0, log)
    assert "target.packages" not in missing.detail


def test_a_package_that_the_target_names_is_there_in_training_and_scoring(spec, corpus, log, tmp_path):
    source = HONEST.replace("import torch\n", "import torch\nimport pytest, pluggy\n", 1)
    scoring = dataclasses.replace(spec.scoring, start_seconds=5.0)  # the import takes CPU seconds on a busy machine
    named = dataclasses.replace(spec, packages=("pytest",), train_seconds=5.0, preflight_seconds=5.0, scoring=scoring)

    with Evaluator(named, corpus, scratch=tmp_path) as evaluator:
        assert evaluator.preflight(Program(source), log) is None
        found = evaluator.evaluate(Program(source), 0, log)

    assert found.outcome is Outcome.OK, found.detail


def test_a_package_with_held_out_text_cannot_be_named(spec, corpus):
    with pytest.raises(TargetError, match=r"target\.packages may not need control, because corpus=packages"):
        read_access(dataclasses.replace(spec, packages=("control",)), corpus)


def test_no_package_with_held_out_text_is_imported_by_what_candidates_are_forked_from():
    script = "import sys, target.inside.zygote, target.inside.child; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()

    assert "torch" in loaded
    for name in ("packages", "installed"):
        assert {path.name for path in installed_text(Corpus(name=name, vocab_size=512))}.isdisjoint(loaded), name
