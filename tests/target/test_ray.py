"""What only the Ray executor promises, on a real cluster of two nodes on this machine."""

import dataclasses
import sys
import time

import psutil
import pytest

from target.cluster.likeness import likeness, refuse_another
from target.cluster.ray import RayExecutor
from target.errors import TargetError
from target.evaluation import Outcome
from target.executor import LocalExecutor
from target.program import Program
from target.trained import TrainedKind
from tests.target.candidates import HONEST, in_main
from tests.target.conftest import survivors

WAIT_SECONDS = 300
NODE = {"num_cpus": 1, "object_store_memory": 80 << 20}


@pytest.fixture(scope="module")
def cluster():
    """A head without cores, and two nodes with one core each."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={**NODE, "num_cpus": 0, "include_dashboard": False})
    nodes = [cluster.add_node(**NODE) for _ in range(2)]
    yield cluster, nodes
    cluster.shutdown()


@pytest.fixture
def kind(patient_spec, corpus):
    """A test sees the files of a candidate."""
    return TrainedKind(dataclasses.replace(patient_spec, sandbox="off"), corpus=corpus)


def test_a_training_whose_node_is_lost_is_run_again_on_another(cluster, kind, tmp_path):
    cluster, nodes = cluster
    executor = RayExecutor(kind, workers=2, address=cluster.address)
    executor.start()
    try:
        source = in_main(
            f"import pathlib\nhere = pathlib.Path({str(tmp_path)!r})\n(here / str(os.getpid())).touch()\n"
            "while not (here / 'go').exists(): time.sleep(0.01)\nprint('done', flush=True)"
        )
        runs = [executor.evaluate(Program(source), seed, tmp_path / f"{seed}.log") for seed in (1, 2)]
        first = _wait_for(lambda: [path for path in tmp_path.glob("[0-9]*") if path.suffix != ".log"], count=2)
        lost = nodes[0]
        below = next(each for each in map(_process, first) if _raylet(lost) in _ancestors(each))
        tree = [below, *below.parents()[:2]]

        cluster.remove_node(lost, allow_graceful=False)
        nodes.remove(lost)
        psutil.wait_procs(tree, timeout=WAIT_SECONDS)
        (tmp_path / "go").touch()  # the training on the other node can end, and then the lost one has a place

        found = [run.result(WAIT_SECONDS) for run in runs]
        assert [(each.outcome, each.seed) for each in found] == [(Outcome.OK, 1), (Outcome.OK, 2)]
        assert all(each.host for each in found)
        assert all("done" in (tmp_path / f"{seed}.log").read_text() for seed in (1, 2))
        assert survivors(tree) == []
        assert len([path for path in tmp_path.glob("[0-9]*") if path.suffix != ".log"]) == 3, "one was run again"
    finally:
        executor.close()
        nodes.append(cluster.add_node(**NODE))
        cluster.wait_for_nodes(WAIT_SECONDS)  # Ray counts the lost node until it misses its heartbeats


def test_it_gives_the_score_of_the_local_executor(cluster, kind, tmp_path):
    cluster, _ = cluster
    scores = []
    for executor in (
        LocalExecutor(kind, workers=1, preflight_workers=0),
        RayExecutor(kind, workers=1, address=cluster.address),
    ):
        executor.start()
        try:
            scores.append(executor.evaluate(Program(HONEST), 3, tmp_path / "a.log").result(WAIT_SECONDS).score)
        finally:
            executor.close()

    assert scores[0] == scores[1]


def test_more_workers_than_places_are_refused(cluster, kind):
    cluster, _ = cluster

    with pytest.raises(TargetError, match=r"at most 2, .* got 3: node .* has 1 CPUs, 0 GPUs; node "):
        RayExecutor(kind, workers=3, address=cluster.address)
    with pytest.raises(TargetError, match=r"at most 0, the number of GPUs in the Ray cluster, got null"):
        RayExecutor(TrainedKind(dataclasses.replace(kind.spec, device="cuda", clock="wall")), address=cluster.address)


def test_no_cluster_and_no_ray_are_one_sentence(kind, monkeypatch):
    with pytest.raises(TargetError, match=r"no Ray cluster answers at executor\.address=127\.0\.0\.1:1: .*ray start"):
        RayExecutor(kind, address="127.0.0.1:1")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(TargetError, match=r"pip install 'graft-search\[ray\]'"):
        RayExecutor(kind)


@pytest.mark.parametrize("name", ["torch", "code of Graft", "the text"])
def test_a_host_that_differs_is_refused(kind, tmp_path, name):
    here = likeness(kind, kind.describe(tmp_path))
    refuse_another(here, dict(here))

    with pytest.raises(TargetError, match=rf"another version of {name} \(2\.0\) than on the host"):
        refuse_another(here, {**here, name: "2.0"})


def _process(path):
    return psutil.Process(int(path.name))


def _raylet(node):
    return node.all_processes["raylet"][0].process.pid


def _ancestors(process):
    return {each.pid for each in process.parents()}


def _wait_for(condition, *, count):
    deadline = time.monotonic() + WAIT_SECONDS
    while len(found := condition()) < count:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return found
