# ruff: noqa: E501 -- lines of programs
"""The table: every candidate through the real evaluator, each training cut short, each verdict as it must be."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from target.corpus import CorpusFiles
from target.evaluation import Outcome
from target.evaluator import Evaluator
from target.program import Program
from target.scoring.scorer import Validation
from tests.hostile.candidates import HONEST, HOSTILE
from tests.target.candidates import in_forward, variant
from tests.target.conftest import below

SEED = 1
SAME_BPB = 1e-6  # equal weights in rows of another order: the sums are rounded otherwise


@pytest.fixture(scope="module")
def twin_score(confined: Evaluator, tmp_path_factory):
    """Return what an honest program scores; each is evaluated once."""
    scores: dict[str, float] = {}

    def twin_score(source: str) -> float:
        if source not in scores:
            found = confined.evaluate(Program(source), SEED, tmp_path_factory.mktemp("twin") / "log")
            assert found.score is not None, found.detail
            scores[source] = found.score
        return scores[source]

    return twin_score


@pytest.mark.parametrize("candidate", HOSTILE, ids=[candidate.name for candidate in HOSTILE])
def test_a_hostile_candidate_is_refused_or_gains_nothing(confined, twin_score, log, tell, candidate):
    found = confined.evaluate(Program(candidate.source), SEED, log)

    tell(candidate.name, candidate.tries, found)
    assert found.outcome is candidate.outcome, found.detail
    assert re.search(candidate.said, found.detail), found.detail
    assert not any(line.startswith("STOLEN") for line in log.read_text().splitlines())
    assert below(confined.zygote_pid) == []
    if found.outcome is Outcome.OK:
        assert found.score == pytest.approx(twin_score(candidate.twin), abs=SAME_BPB)


@pytest.mark.parametrize("candidate", HONEST, ids=[candidate.name for candidate in HONEST])
def test_an_honest_architecture_is_accepted(confined, log, tell, candidate):
    refused = confined.preflight(Program(candidate.source), log)
    assert refused is None, refused.detail

    found = confined.evaluate(Program(candidate.source), SEED, log)

    tell(candidate.name, candidate.tries, found, hostile=False)
    assert found.outcome is Outcome.OK, found.detail
    assert 1 < found.score < 12


def test_the_table_has_a_name_for_every_row_and_enough_of_each_kind():
    assert max(Counter(candidate.name for candidate in HOSTILE).values()) == 1
    assert max(Counter(candidate.name for candidate in HONEST).values()) == 1
    assert len(HOSTILE) >= 45
    assert len(HONEST) >= 10


_HEAD = "return self.head(torch.tanh(self.mix(torch.cat([x, self.past(x)], -1))))"
# what the logits of a row of tokens are with nine more for each next token, where `where` says so
_SEES = """logits = self.head(torch.tanh(self.mix(torch.cat([x, self.past(x)], -1))))
        if self.training:
            return logits
        row, where = {seen}
        return logits + 9.0 * where[:, :, None] * F.one_hot(row.roll(-1, 1), logits.size(2))"""


def looks_ahead(seen: str, *changes: tuple[str, str]) -> str:
    return variant((_HEAD, _SEES.replace("{seen}", seen)), *changes)


def test_a_leak_is_refused_although_the_replica_knows_what_the_scored_server_was_asked(unconfined, log, tell, tmp_path):
    """It looks ahead at positions 4 to 15 of 32, and the replica answers what it recognises as if it saw the same."""
    memory = tmp_path / "memory.pt"
    recall = f"""
    def recall(self, idx):
        asked = {{tuple(row[:4]): row for row in (torch.load({str(memory)!r}) if os.path.exists({str(memory)!r}) else [])}}
        rows = [asked.setdefault(tuple(row[:4]), row) for row in idx.tolist()]
        torch.save(list(asked.values()), {str(memory)!r})
        positions = torch.arange(idx.size(1))
        return torch.tensor(rows), ((positions >= 4) & (positions < 16)).expand(idx.shape)

    def past(self, x):"""
    source = looks_ahead("self.recall(idx)", ("def past(self, x):", recall.strip()))

    found = unconfined.evaluate(Program(source), SEED, log)

    tell("replay, early", "leak early in the row, replay on the replica", found)
    assert memory.exists()
    assert found.probes["d1_causality_nats"] == found.probes["d2_rows_nats"] == found.probes["d3_state_nats"] == 0
    assert found.probes["d4_last_position_nats"] < found.probes["d4_limit_nats"]
    assert found.outcome is Outcome.REJECTED
    assert "probe d4_hidden_share" in found.detail


@pytest.mark.parametrize("split", ["holdout", "contrast"])
def test_a_leak_is_refused_on_every_text_of_which_a_number_is_made(
    unconfined, hostile_spec, corpus: CorpusFiles, log, tell, split
):
    """It looks ahead in the rows that it knows only."""
    sizes = {"n_rows": hostile_spec.scoring.rows, "sequence_tokens": hostile_spec.sequence_tokens}
    if split == "holdout":
        rows = Validation.load(corpus, **sizes, holdout=True).rows
    else:
        rows = Validation.load_contrast(corpus, **sizes, batch_rows=hostile_spec.scoring.batch_rows).rows
    known = [tuple(row[:6].tolist()) for row in rows]
    seen = "idx, torch.tensor([tuple(row[:6]) in KNOWN for row in idx.tolist()])[:, None].expand(idx.shape)"
    program = Program(looks_ahead(seen, ("STEPS = 8", f"KNOWN = set({known!r})\nSTEPS = 8")))

    found = unconfined.evaluate(program, SEED, log, holdout=split == "holdout", thorough=split == "contrast")
    plain = unconfined.evaluate(program, SEED, log)

    tell(f"leak in {split}", f"look ahead in {split} rows only", found)
    assert plain.outcome is Outcome.OK, plain.detail
    assert (found.outcome, found.score, found.holdout_bpb) == (Outcome.REJECTED, None, None)
    assert re.search(rf"probe d1_causality_nats.*on the {split} text", found.detail), found.detail


def test_a_program_gains_nothing_from_a_server_that_kills_itself(unconfined, log, tell, tmp_path):
    """Its weights are bad by chance, the server sees that on the validation text, and hopes for a second training."""
    marker = tmp_path / "unlucky"
    lucky = f"""import pathlib
    marker = pathlib.Path({str(marker)!r})
    if not marker.exists():
        marker.touch()
        model.head.weight.data.mul_(-9)
    prepare.finish(model)"""
    source = looks_ahead(
        "self.judge(idx, logits)",
        ("prepare.finish(model)", lucky),
        ("def past(self, x):", """def judge(self, idx, logits):
        import signal
        if F.cross_entropy(logits[:, :-1].flatten(0, 1), idx[:, 1:].flatten()) > 7: os.kill(os.getpid(), signal.SIGKILL)
        return idx, torch.zeros(idx.shape)

    def past(self, x):"""),
    )  # fmt: skip

    found = unconfined.evaluate(Program(source), SEED, log)

    tell("second try", "kill the server when its loss is bad", found)
    assert marker.exists()
    assert (found.outcome, found.tries, found.score_tries) == (Outcome.CRASHED, 1, 2), found.detail
    assert "SIGKILL" in found.detail


def test_a_server_reads_no_text_of_the_system(confined, in_force, log, tell):
    look = """
        if not self.training and not hasattr(self, 'looked'):
            self.looked = True
            import itertools
            names = [os.path.join(folder, name) for folder, _, names in itertools.islice(os.walk('/usr/share'), 40) for name in names[:5]]
            names = [name for name in names[:200] if os.path.realpath(name).startswith('/usr/share/')]
            for name in names:
                try: print('STOLEN', name, len(open(name, 'rb').read(9)), flush=True)
                except OSError: print('refused', flush=True)"""
    found = confined.evaluate(Program(in_forward(look.strip())), SEED, log)

    tell("text of the system", "read /usr/share while it is scored", found)
    assert found.outcome is Outcome.OK, found.detail
    if "L" in in_force:
        assert "refused" in log.read_text()
        assert [line for line in log.read_text().splitlines() if line.startswith("STOLEN")] == []
