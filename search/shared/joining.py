"""`storage=URL`: what a session needs to join the other sessions of its search."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

from operators.secrets import redact
from search.conditions import conditions, differences
from search.errors import UserError
from search.runs.rundir import RunDirectory
from search.runs.share import Share
from target.cluster.likeness import code_hash

MakeShare = Callable[[RunDirectory, str], Share]
"""Makes what a session shares, from its folder and the name of the search."""


def make_share(url: str | None, takeover_seconds: float) -> MakeShare | None:
    """Return what makes a session's share; None without a URL.

    Args:
        url: The PostgreSQL database.
        takeover_seconds: A session without a heartbeat for this time is dead.

    Raises:
        UserError: A setting does not fit, or the package for PostgreSQL is not installed.
    """
    if takeover_seconds <= 0:
        raise UserError(f"takeover_seconds must be positive, got {takeover_seconds:g}")
    if url is None:
        return None
    if importlib.util.find_spec("psycopg") is None:
        raise UserError("storage needs the package psycopg: pip install 'graft-search[postgresql]'")
    from search.shared.database import check_url
    from search.shared.session import SharedSession

    check_url(url)

    def make(run: RunDirectory, name: str) -> Share:
        return SharedSession(url, run=run, name=name, takeover_seconds=takeover_seconds, say=_say)

    return make


def require_same_conditions(share: Share, target: Mapping[str, Any], environment: Mapping[str, Any]) -> None:
    """Refuse to join sessions whose scores could not be compared with those of this one.

    Args:
        share: The other sessions.
        target: Settings of the target.
        environment: What this session runs on, as in environment.json.

    Raises:
        UserError: Text, torch, code, device or settings differ.
    """
    here = json.loads(json.dumps({**conditions(target, environment), "code of Graft": code_hash()[:12]}))
    if differing := differences(share.require_same("conditions", here), here):
        raise UserError(
            f"the other sessions of this search run under other conditions: {'; '.join(differing)}; their scores and "
            "those of this host could not be compared"
        )


def _say(text: str) -> None:
    sys.stderr.write(f"{redact(text)}\n")
