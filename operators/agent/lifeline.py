"""Runs one command, and ends it with all that it has started as soon as its lifeline is cut.

This process is between the search and an untrusted command. It adopts the processes that the command leaves behind, and
lives on after the search just long enough to kill them. It is started as `python -m operators.agent.lifeline JOB`.
"""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from typing import Final

from target.process.processes import become_subreaper, kill_descendants

KILL_SECONDS: Final = 10.0
CANNOT_START: Final = 127
CUT_OFF: Final = 137


def main() -> int:
    """Run the job in the arguments, a JSON object; return the exit status of the command.

    Its keys are `command`, a list; `directory`, its working directory; and `lifeline`, a descriptor whose other end the
    search holds. The command gets this process's environment, standard input and outputs.
    """
    job = json.loads(sys.argv[1])
    become_subreaper()
    try:
        child = subprocess.Popen(job["command"], cwd=job["directory"], start_new_session=True)
    except OSError as error:
        sys.stderr.write(f"{job['command'][0]}: {error.strerror}\n")
        return CANNOT_START
    ended = os.pidfd_open(child.pid)
    ready, _, _ = select.select([ended, job["lifeline"]], [], [])
    status = child.wait() if ended in ready else -9
    kill_descendants(KILL_SECONDS)
    return CUT_OFF if status == -9 else status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main())
