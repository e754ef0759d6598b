"""Whose fault a full disk is: the program's, if there is room once its files are gone."""

from __future__ import annotations

import errno
from unittest.mock import sentinel

import pytest

from target.draft import Draft
from target.errors import DiskFullError, machine_errors
from target.feedback import CandidateFailure
from target.launch.keeper import ZygoteKeeper
from target.launch.launcher import Zygote


class Keeper(ZygoteKeeper):
    """Its zygote is never used."""

    def _new_zygote(self) -> Zygote:
        return sentinel.zygote

    def _end_zygote(self) -> None:
        self._zygote = None

    def work(self, *results):
        """Do pieces of work that end as the results say; return what came, and how many there were."""
        self.done = 0

        def piece(zygote):
            self.done += 1
            result = results[self.done - 1]
            with machine_errors("cannot go on"):
                if isinstance(result, Exception):
                    raise result
            return result

        return self._twice(piece, Draft(seed=0), "tries")


@pytest.fixture
def keeper(tmp_path):
    with Keeper(sandbox="off", scratch=tmp_path) as entered:
        yield entered


def full(tmp_path):
    return OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "run.log"))


def test_a_disk_that_a_program_fills_each_time_and_that_is_empty_without_it_is_its_own_fault(keeper, tmp_path):
    with pytest.raises(CandidateFailure, match="the disk was full twice while the program ran"):
        keeper.work(full(tmp_path), full(tmp_path))
    assert keeper.done == 2


def test_a_disk_that_was_full_for_once_costs_a_second_try(keeper, tmp_path):
    assert keeper.work(full(tmp_path), 0.9) == 0.9


def test_a_disk_that_stays_full_is_the_machines_fault(keeper, tmp_path, monkeypatch):
    monkeypatch.setattr("target.launch.keeper._ROOM_BYTES", 1 << 60)

    with pytest.raises(DiskFullError):
        keeper.work(full(tmp_path))
    assert keeper.done == 1


def test_another_error_of_the_machine_passes(keeper):
    with pytest.raises(Exception, match="cannot go on"):
        keeper.work(OSError(errno.EIO, "broken"))
    assert keeper.done == 1
