"""The command `python -m search`: arguments for Hydra, and the exit status; the search itself is `search.library`."""

from __future__ import annotations

import importlib
import json
import os
import sys
import tempfile
from typing import NoReturn, TextIO

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from search.ending import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_RESUMABLE, EXIT_USAGE, Ending, Sweep, end_state, tell
from search.printed import command, named, one_of_sweep
from search.schema import CONF, schema
from search.sweep import count_searches, few_seeds, remember_shared, seeds_outside, sweep_name
from target.output import ends_quietly

_MAKE_ROOM = "nothing is lost: make room, then resume"
_results: TextIO | None = None  # where the end state of each search goes with --json
_sweep = Sweep()  # Hydra starts the searches of a sweep one after another in this process


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
def main(config: DictConfig) -> None:
    """Run the search that a configuration describes; exit with a non-zero status unless it ended by its budget."""
    is_sweep = HydraConfig.get().mode is RunMode.MULTIRUN
    if is_sweep and not _sweep.endings and (warning := few_seeds(sys.argv[1:])):
        sys.stderr.write(f"{warning}\n")
    if is_sweep:
        _sweep.name = _sweep.name or str(config.name)
    ending = Ending(name=str(config.name), code=EXIT_FAILED, reason="an error of Graft itself: see its traceback")
    try:
        ending = _search(config)
    finally:
        if is_sweep:
            _sweep.endings.append(ending)
    tell(ending)
    if _results is not None:
        _results.write(f"{json.dumps(end_state(ending, config.outputs))}\n")
    if ending.stops_sweep or (ending.code and not is_sweep):
        sys.exit(ending.code)


def _search(config: DictConfig) -> Ending:
    """Run one search, and return how it ended."""
    # Imported here so that `--help` does not load the ledger and the console.
    from search.views.busy import Busy, SparseLines

    with Busy("loading Graft", SparseLines().show):
        importlib.import_module("search.library")
    from operators.base import ProviderError, ProviderRefusalError
    from search.construct import Composed
    from search.errors import PartError, SeedProgramError, StorageError, UserError
    from search.library import Search
    from search.stuck import beyond, is_stuck
    from search.styles import compose_prompts
    from target.errors import DiskFullError, TargetError, disk_is_full

    search, name, job = None, str(config.name), HydraConfig.get()

    def ended(code: int, message: str, *, resumes: bool = True, stops_sweep: bool = False) -> Ending:
        resume = search.arguments if search and search.has_begun and resumes else ()
        return Ending(name=name, code=code, message=message, reason=message, resume=resume, stops_sweep=stops_sweep)

    try:
        name = _name(config)
        overrides = tuple(job.overrides.task)
        prompts = compose_prompts(config.prompts, overrides)
        composed = Composed(config=config, choices=job.runtime.choices, overrides=overrides, prompts=prompts)
        arguments = named(one_of_sweep(sys.argv[1:], overrides), name)
        search = Search.composed(composed, name=name, arguments=arguments)
        summary = search.run().summary
    except DiskFullError as error:
        return ended(EXIT_RESUMABLE, f"{error}; {_MAKE_ROOM}", stops_sweep=True)
    except PartError as error:
        return ended(EXIT_USAGE, f"{error}; nothing is lost: fix that, then resume")
    except UserError as error:
        return ended(EXIT_USAGE, str(error), resumes=False)
    except TargetError as error:
        return ended(EXIT_USAGE, f"{error}{_doctor(config)}")
    except SeedProgramError as error:
        return ended(EXIT_FAILED, str(error), resumes=False)
    except ProviderRefusalError as error:
        return ended(EXIT_USAGE, f"{error}; nothing is lost: fix that, then resume")
    except (ProviderError, StorageError) as error:
        return ended(EXIT_RESUMABLE, f"{error}; nothing is lost")
    except KeyboardInterrupt:
        return ended(EXIT_INTERRUPTED, "interrupted", stops_sweep=True)
    except (OSError, RuntimeError) as error:  # Optuna's lock raises RuntimeError if the journal is gone
        if isinstance(error, OSError) and disk_is_full(error):
            place = f": {error.filename}" if error.filename else ""
            return ended(EXIT_RESUMABLE, f"{error.strerror}{place}; {_MAKE_ROOM}", stops_sweep=True)
        if search is not None and search.was_lost:
            moved = search.folder
            return ended(
                EXIT_RESUMABLE, f"{moved} was moved or removed while its search ran; move it back to resume it"
            )
        raise
    if summary.status == "finished":
        return Ending(name=name, code=0, resume=beyond(search.arguments) if is_stuck(summary.stop_reason) else ())
    was_interrupted = "interrupted" in summary.stop_reason
    return Ending(
        name=name,
        code=EXIT_INTERRUPTED if was_interrupted else EXIT_FAILED,
        reason=summary.stop_reason,
        resume=search.arguments,
        stops_sweep=was_interrupted,
    )


def _name(config: DictConfig) -> str:
    """Return the name of the search; in a sweep it contains what distinguishes the search from the others."""
    from search.names import check_name

    job, is_given = HydraConfig.get(), any(word.startswith("name=") for word in sys.argv)
    name = str(config.name) if is_given else _sweep.name or str(config.name)  # by default it is the time of each start
    check_name(name)
    return f"sweeps/{name}/{sweep_name(job.overrides.task, job.job.num)}" if job.mode is RunMode.MULTIRUN else name


def _doctor(config: DictConfig) -> str:
    """Return advice to run the doctor for this search if its target needs a GPU; empty for other targets."""
    if config.target.get("device") != "cuda":
        return ""
    return f"; `{command('search.doctor', *HydraConfig.get().overrides.task)}` says what this machine lacks"


def _leave(code: int, message: str) -> NoReturn:
    tell(Ending(name="", code=code, message=message))
    sys.exit(code)


@ends_quietly
def run() -> int:
    """Start from the command line; return 0, or exit with another status."""
    from search.secrets import redact_logs

    redact_logs()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # we get the original errors, not Hydra's summary of them
    ConfigStore.instance().store(name="schema", node=schema())
    from search.arguments import complaint, quote_homes, refuse_arguments
    from search.errors import UserError

    if "--json" in sys.argv[1:]:
        global _results
        sys.argv.remove("--json")
        _results, sys.stdout = sys.stdout, sys.stderr
    words = quote_homes(sys.argv[1:])
    sys.argv[1:] = seeds_outside(words)
    try:
        refuse_arguments(sys.argv[1:])
    except UserError as error:
        _leave(EXIT_USAGE, str(error))
    remember_shared(sys.argv[1:])
    with tempfile.TemporaryDirectory(prefix="graft-hydra-") as folder:
        os.environ["GRAFT_HYDRA_DIR"] = folder
        try:
            main()
        except (HydraException, OmegaConfBaseException) as error:
            _leave(EXIT_USAGE, complaint(error, sys.argv[1:]))
        except KeyboardInterrupt:
            _leave(EXIT_INTERRUPTED, "interrupted before the search began")
        finally:
            _end_sweep()
    return 0


def _end_sweep() -> None:
    """Say how a sweep ended, and exit with a non-zero status if a search of it failed."""
    if not _sweep.endings:
        return
    sys.stderr.write(_sweep.text(count_searches(sys.argv[1:]), sys.argv[1:]))
    if sys.exc_info()[0] is None and _sweep.code:
        sys.exit(_sweep.code)


if __name__ == "__main__":
    sys.exit(run())
