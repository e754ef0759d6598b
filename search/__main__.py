"""The command `python -m search`. Only this module and `search.construct` see Hydra's configuration objects."""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
from typing import TYPE_CHECKING, NoReturn

import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from conf.schema import schema

if TYPE_CHECKING:
    from search.session import Session

EXIT_FAILED, EXIT_USAGE, EXIT_RESUMABLE, EXIT_INTERRUPTED = 1, 2, 75, 130
_MAKE_ROOM = "nothing is lost: make room, and the same command resumes"


@hydra.main(version_base="1.3", config_path="pkg://conf", config_name="config")
def main(config: DictConfig) -> None:
    """Run the search that a configuration describes; exit with a non-zero status unless it ended by its budget."""
    # Imported here so that `--help` does not load the ledger and the console.
    from operators.base import ProviderError, ProviderRefusalError
    from search.errors import SeedProgramError, UserError
    from search.session import run_session
    from target.errors import DiskFullError, TargetError, disk_is_full

    session = None
    try:
        session = _session(config)
        summary = run_session(session)
    except DiskFullError as error:
        _leave(EXIT_RESUMABLE, f"{error}; {_MAKE_ROOM}")
    except UserError as error:
        _leave(EXIT_USAGE, str(error))
    except TargetError as error:
        _leave(EXIT_USAGE, f"{error}{_doctor(config)}")
    except SeedProgramError as error:
        _leave(EXIT_FAILED, str(error))
    except ProviderRefusalError as error:
        _leave(EXIT_USAGE, f"{error}; nothing is lost: fix that, and the same command resumes")
    except ProviderError as error:
        _leave(EXIT_RESUMABLE, f"{error}; nothing is lost: the same command resumes")
    except (OSError, RuntimeError) as error:  # Optuna's lock raises RuntimeError if the journal is gone
        if isinstance(error, OSError) and disk_is_full(error):
            place = f": {error.filename}" if error.filename else ""
            _leave(EXIT_RESUMABLE, f"{error.strerror}{place}; {_MAKE_ROOM}")
        if session is not None and not session.run.journal.exists():
            moved = session.run.root
            _leave(EXIT_RESUMABLE, f"{moved} was moved or removed while its search ran; move it back to resume it")
        raise
    if summary.status != "finished":
        sys.exit(EXIT_INTERRUPTED if "interrupted" in summary.stop_reason else EXIT_FAILED)


def _doctor(config: DictConfig) -> str:
    """Return advice to run the doctor for this search if its target needs a GPU; empty for other targets."""
    from search.secrets import redact_settings

    if config.target.get("device") != "cuda":
        return ""
    command = redact_settings(shlex.join(["python", "-m", "search.doctor", *HydraConfig.get().overrides.task]))
    return f"; `{command}` says what this machine lacks"


def _session(config: DictConfig) -> Session:
    from operators.base import Resources
    from search.budget import Budget
    from search.composed import make_target
    from search.construct import budget_limits, instantiate, make_models, make_operator, plain_config
    from search.direction import find_direction
    from search.names import check_name, folder_of
    from search.preflight import Preflight
    from search.secrets import refuse_secrets
    from search.session import Session
    from search.settings import Settings
    from search.sweep import sweep_name

    job = HydraConfig.get()
    name = config.name
    check_name(name)
    if job.mode is RunMode.MULTIRUN:
        name = f"sweeps/{name}/{sweep_name(job.overrides.task, job.job.num)}"
    limits = budget_limits(config.budget)
    plain = plain_config(config)
    refuse_secrets(plain)
    target = make_target(plain["target"])
    run = folder_of(config.outputs, name)
    budget = Budget(trainings=limits.trainings, hours=limits.hours, usd=limits.get("usd"))
    models = make_models(config.llm, run)
    models.check(budget)
    preflight = Preflight()
    remarks: list[str] = []
    resources = Resources(
        lend=models.lender(run),
        direction=find_direction(config.direction or target.direction),
        limits=target.limits,
        contract=target.contract,
        preflight=preflight,
        remark=remarks.append,
    )
    settings = Settings(
        name=name,
        strategy_name=job.runtime.choices["strategy"],
        seed=config.seed,
        seed_program=target.seed_program(),
        strategy=models.strategy(instantiate(config.strategy, "strategy")),
        operator=models.operator(make_operator(config.operator, "operator", resources)),
        extra_operators={
            name: models.operator(make_operator(node, f"extra_operators.{name}", resources))
            for name, node in config.extra_operators.items()
        },
        acceptance=instantiate(config.acceptance, "acceptance"),
        budget=budget,
        propose_ahead=config.propose_ahead,
        ahead_per_slot=target.ahead_per_slot,
        pruning=instantiate(config.pruning, "pruning"),
        curve_seconds=target.curve_seconds,
        max_failures=config.max_failures,
    )
    return Session(
        settings=settings,
        run=run,
        target=target,
        make_executor=instantiate(config.executor, "executor"),
        make_tracker=instantiate(config.tracker, "tracker"),
        config=plain,
        overrides=tuple(job.overrides.task),
        models=models,
        final_seeds=config.final.seeds,
        preflight=preflight,
        remarks=tuple(remarks),
    )


def _leave(code: int, message: str) -> NoReturn:
    from operators.secrets import redact
    from target.printable import printable

    sys.stderr.write(printable(f"error: {redact(message)}\n"))
    sys.exit(code)


def run() -> None:
    """Start from the command line."""
    from search.secrets import redact_logs

    redact_logs()
    os.environ["HYDRA_FULL_ERROR"] = "1"  # we get the original errors, not Hydra's summary of them
    ConfigStore.instance().store(name="schema", node=schema())
    from search.arguments import complaint, quote_homes, refuse_secret_arguments
    from search.errors import UserError
    from search.sweep import remember_shared

    sys.argv[1:] = quote_homes(sys.argv[1:])
    try:
        refuse_secret_arguments(sys.argv[1:])
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
            _leave(EXIT_INTERRUPTED, "interrupted; the same command resumes")


if __name__ == "__main__":
    run()
