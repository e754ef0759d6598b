"""One training a card: what the processes of each slot see, on stand-ins for the list of cards."""

import dataclasses

import psutil
import pytest

from target import stages
from target.command.target import CommandTarget
from target.draft import Draft
from target.errors import TargetError
from target.evaluation import Outcome
from target.evaluator import Evaluator
from target.executor import LocalExecutor
from target.feedback import CandidateFailure
from target.program import Program
from target.trained import TrainedKind, TrainedTarget
from tests.cards import TWO_H100, nvidia_smi, pretend
from tests.checkouts import autoresearch_spec, make_checkout
from tests.target.candidates import HONEST, in_main
from tests.waiting import wait_for

SHOW = """
import os, time, pathlib
print("sees", os.environ.get("CUDA_VISIBLE_DEVICES"), os.environ["OMP_NUM_THREADS"], flush=True)
{wait}
print("val_bpb: 1.5")
"""
WAIT_SECONDS = 300


@pytest.fixture
def cuda(spec, monkeypatch, tmp_path):
    """A target that trains on the stand-ins; nothing here can compute on them."""
    pretend(monkeypatch, tmp_path, TWO_H100)
    return dataclasses.replace(
        spec, device="cuda", clock="wall", corpus=dataclasses.replace(spec.corpus, name="installed"), threads=8
    )


def test_two_cards_run_two_commands_at_a_time_each_on_its_own(monkeypatch, tmp_path):
    pretend(monkeypatch, tmp_path, TWO_H100)
    shared = tmp_path / "shared"
    shared.mkdir()
    spec = autoresearch_spec(make_checkout(tmp_path / "checkout"), readable=[str(shared)], command="python train.py")
    executor = CommandTarget(spec).make_executor(LocalExecutor)
    wait = f"while not pathlib.Path({str(shared / 'go')!r}).exists(): time.sleep(0.01)"
    logs = [tmp_path / f"{number}.log" for number in range(2)]
    executor.start()
    try:
        runs = [executor.evaluate(Program(SHOW.format(wait=wait)), 0, log) for log in logs]
        wait_for(lambda: all(log.exists() and b"sees" in log.read_bytes() for log in logs))  # at the same time
        (shared / "go").touch()

        assert executor.slots == 2
        assert [run.result(WAIT_SECONDS).outcome for run in runs] == [Outcome.OK, Outcome.OK]
        assert sorted(log.read_text().split()[1] for log in logs) == ["0", "1"]
    finally:
        executor.close()


def test_all_processes_of_a_slot_see_its_card(cuda, corpus, tmp_path):
    executor = LocalExecutor(
        TrainedKind(cuda, corpus=corpus),
    )
    executor.start()
    try:
        seen = []
        for worker in psutil.Process().children():
            if "target.worker" in _command(worker):
                below = [each for each in worker.children(recursive=True) if "target.inside.zygote" in _command(each)]
                seen.append({each.environ().get("CUDA_VISIBLE_DEVICES") for each in (worker, *below)})
                assert below

        assert executor.slots == 2
        assert sorted(seen, key=str) == [{"0"}, {"1"}, {None}]  # the last is for pre-flights
    finally:
        executor.close()


def test_a_training_sees_the_card_of_its_worker_and_a_preflight_none(cuda, corpus, monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")  # as the executor sets it for the second worker
    show = "import os\nprint('sees', os.environ.get('CUDA_VISIBLE_DEVICES'), flush=True)\n"
    checked, trained = tmp_path / "preflight.log", tmp_path / "training.log"
    with Evaluator(cuda, corpus, scratch=tmp_path) as evaluator:
        assert evaluator.preflight(Program(show + HONEST), checked) is None
        with (
            evaluator.bench(Program(show + in_main("raise SystemExit(3)")), trained) as bench,  # no card is started
            pytest.raises(CandidateFailure),
        ):
            stages.train(bench, 0, Draft(seed=0))

    assert checked.read_text().startswith("sees -1\n")
    assert trained.read_text().startswith("sees 1\n")


def test_a_card_that_falls_off_is_not_blamed_on_the_programs(cuda, corpus, monkeypatch, tmp_path):
    """Otherwise a night on a broken card ends with hundreds of programs that crashed."""
    source = in_main("raise RuntimeError('CUDA error: unspecified launch failure')")  # Xid 79, as torch tells it
    answers = [None, None, "no CUDA-capable device is detected"]  # at the start, after the first program, the second

    def stops(device, said):
        raise TargetError(f"{device} does not start: {said}")

    monkeypatch.setattr("target.evaluator.start_device", lambda *_: answers.pop(0))
    monkeypatch.setattr("target.evaluator.refuse_what_stops", stops)
    with Evaluator(cuda, corpus, scratch=tmp_path) as evaluator:
        of_program = evaluator.evaluate(Program(source), 0, tmp_path / "log")
        with pytest.raises(TargetError, match="no CUDA-capable device"):
            evaluator.evaluate(Program(source), 0, tmp_path / "log")

    assert of_program.outcome is Outcome.CRASHED
    assert not answers


def test_three_workers_on_two_cards_are_refused(cuda, corpus):
    with pytest.raises(TargetError, match=r"executor\.workers must be at most the number of GPUs, 2, got 3"):
        LocalExecutor(TrainedKind(cuda, corpus=corpus), workers=3)


def test_a_command_target_says_and_records_the_cards_in_use(monkeypatch, tmp_path):
    pretend(monkeypatch, tmp_path, TWO_H100)
    target = CommandTarget(autoresearch_spec(make_checkout(tmp_path / "checkout")))
    said = []
    target.make_executor(lambda spec: LocalExecutor(spec, workers=1))
    described = target.prepare(said.append)

    assert "device: 2 x NVIDIA H100 80GB HBM3, one training at a time on the first" in said
    assert described["cards"] == [{"name": "NVIDIA H100 80GB HBM3", "id": "0", "rocm": False}]


def test_a_trained_target_says_the_cards_in_use(cuda):
    target = TrainedTarget(dataclasses.replace(cuda, corpus=dataclasses.replace(cuda.corpus, name="none")))
    said = []
    target.make_executor(LocalExecutor)
    with pytest.raises(TargetError, match="corpus"):
        target.prepare(said.append)  # it prepares the text last, and there is none

    assert "device: 2 x NVIDIA H100 80GB HBM3, 85 GB each, one training at a time on each" in said


def test_a_command_target_warns_where_no_card_is_found(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", f"{nvidia_smi(tmp_path, 'No devices were found', status=6)}:/usr/bin:/bin")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    target = CommandTarget(autoresearch_spec(make_checkout(tmp_path / "checkout")))
    said = []

    assert "cards" not in target.prepare(said.append)
    assert "warning: target.device=cuda, but no GPU was found here; look at nvidia-smi" in said


def test_a_search_on_a_machine_without_a_gpu_fits_its_program_to_the_cards_of_its_cluster(spec):
    cards = {8: {"constants": {"DEPTH": 4}}, 80: {"constants": {"DEPTH": 7}}}
    spec = dataclasses.replace(spec, program=None, constants={}, cards=cards, device="cuda", clock="wall")

    for gigabytes, depth in ((8, 4), (80, 7)):
        program = TrainedTarget(dataclasses.replace(spec, card_gb=gigabytes)).seed_program()
        assert f"DEPTH = {depth}" in program.source
    with pytest.raises(TargetError, match=r"target\.card_gb must be positive, and only for device=cuda, got 8"):
        dataclasses.replace(spec, device="cpu", card_gb=8)


def _command(process):
    try:
        return process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):  # a child of an earlier test that has ended meanwhile
        return []
