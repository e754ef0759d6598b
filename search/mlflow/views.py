"""Saved views of MLflow's table and chart: which columns, how they are sorted, what is grouped. A link opens one.

MLflow keeps a view as a tag of the experiment, as JSON: a name, a date, and the state of the page as JSON in a text.
Servers older than 3.15 read the state from the tag itself, so it is there a second time.
"""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Sequence
from typing import Any, Final

from search.tracking.records import metric_key
from target.metric import VAL_BPB, Metric

TRIALS: Final = "graft-trials"
"""Key of the view of all trials, the best first."""

BEST_SO_FAR: Final = "graft-best-so-far"
"""Key of the view of the best score over the trainings, a line for each strategy."""

FIGURES: Final = "graft-figures"
"""Key of the view of an experiment that is not that of a search: its metrics, the latest run first."""

_TAG: Final = "mlflow.sharedViewState."
_NAME: Final = "attributes.`Run Name`"
_DESCRIPTION: Final = "attributes.`Description`"
_WIDTHS: Final = {_NAME: 380, _DESCRIPTION: 300, "tags.`graft.status`": 105, "metrics.`peak_memory_gb`": 130}
_SCORE_WIDTH: Final = 90
_DELTA_WIDTH: Final = 115
_OTHER_WIDTH: Final = 95
_FIGURE_WIDTH: Final = 160

_SECTION: Final = {"uuid": "graft", "name": "best so far", "display": True, "columns": 1, "cardHeight": 520}
_CHART: Final = {
    "uuid": "graft-best",
    "metricSectionId": "graft",
    "type": "LINE",
    "xAxisKey": "step",
    "xAxisScaleType": "linear",
    "scaleType": "log",  # a linear axis of grouped runs begins at 0, and all lines look flat
    "lineSmoothness": 0,
    "displayPoints": False,
    "runsCountToCompare": 20,
    "isGenerated": False,
    "deleted": False,
}


def saved_views(differing: Sequence[str], created_milliseconds: int, metric: Metric = VAL_BPB) -> dict[str, str]:
    """Return the saved views of an experiment as tags.

    Args:
        differing: Settings that differ between its searches.
        created_milliseconds: When the experiment was made, since the epoch.
        metric: What the target measures.
    """
    arms = [key for key in differing if key != "seed"] or ["strategy"]
    views = {
        TRIALS: _view("trials, best first", created_milliseconds, _trials(differing, metric)),
        BEST_SO_FAR: _view(f"best so far by {' and '.join(arms)}", created_milliseconds, _best_so_far(arms, metric)),
    }
    return {f"{_TAG}{key}": view for key, view in views.items()}


def figures_view(metrics: Sequence[str], created_milliseconds: int) -> dict[str, str]:
    """Return the saved view of an experiment that is not that of a search, as tags.

    Args:
        metrics: The metrics that it shows; without a view, MLflow shows none.
        created_milliseconds: When the experiment was made, since the epoch.
    """
    order = [_NAME, *(f"metrics.`{key}`" for key in metrics), _DESCRIPTION]
    view = {
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
        "searchFilter": "",
        "selectedColumns": order[1:],
        "columnOrder": order,
        "columnWidths": {column: _WIDTHS.get(column, _FIGURE_WIDTH) for column in order},
    }
    return {f"{_TAG}{FIGURES}": _view("figures, latest first", created_milliseconds, view)}


def has_view(tags: Sequence[dict[str, str]], key: str) -> bool:
    """Return whether an experiment has a view, by its tags as a server gives them."""
    return any(tag.get("key") == f"{_TAG}{key}" for tag in tags)


def run_link(experiment_id: str, run_id: str) -> str:
    """Return the address of a run among MLflow's pages for trainings; the others are for language models."""
    return f"#/experiments/{experiment_id}/runs/{run_id}?workflowType=machine_learning"


def view_link(server: str, experiment_id: str, key: str) -> str:
    """Return the link to a saved view.

    Args:
        server: Address of the server.
        experiment_id: The experiment.
        key: Key of the view.
    """
    query = {"viewStateShareKey": key, "workflowType": "machine_learning"}
    if key == BEST_SO_FAR:
        query["compareRunsMode"] = "CHART"
    return f"{server.rstrip('/')}/#/experiments/{experiment_id}/runs?{urllib.parse.urlencode(query)}"


def _trials(differing: Sequence[str], metric: Metric) -> dict[str, Any]:
    score, delta = f"metrics.`{metric_key(metric)}`", f"metrics.`delta_{metric_key(metric)}`"
    widths = {**_WIDTHS, score: _SCORE_WIDTH, delta: _DELTA_WIDTH}
    settings = [f"params.`{key}`" for key in differing]
    figures = [score, delta, "tags.`graft.status`"]
    rest = ["params.`operator`", "metrics.`train_seconds`", "metrics.`peak_memory_gb`", "metrics.`cost_usd`"]
    order = list(dict.fromkeys([_NAME, *figures, *settings, *rest, _DESCRIPTION]))
    return {
        "orderByKey": score,
        "orderByAsc": not metric.is_maximized,
        "searchFilter": "tags.`graft.kind` = 'trial'",
        "selectedColumns": [*order[1:], "attributes.`Duration`"],
        "columnOrder": order,
        "columnWidths": {column: widths.get(column, _OTHER_WIDTH) for column in order},
    }


def _best_so_far(arms: Sequence[str], metric: Metric) -> dict[str, Any]:
    key = f"best_{metric_key(metric)}"
    return {
        "orderByKey": f"metrics.`{key}`",
        "orderByAsc": not metric.is_maximized,
        "searchFilter": "tags.`graft.kind` = 'search'",
        "selectedColumns": [f"metrics.`{key}`", *(f"params.`{arm}`" for arm in arms), _DESCRIPTION],
        "groupBy": {
            "aggregateFunction": "average",
            "groupByKeys": [{"mode": "param", "groupByData": arm} for arm in arms],
        },
        "compareRunCharts": [{**_CHART, "metricKey": key, "selectedMetricKeys": [key]}],
        "compareRunSections": [_SECTION],
    }


def _view(name: str, created_milliseconds: int, changes: dict[str, Any]) -> str:
    state = {
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "modelVersionFilter": "All Runs",
        "datasetsFilter": [],
        "columnOrder": [],
        "columnWidths": {},
        "runsExpanded": {},
        "runsPinned": [],
        "runsHidden": [],
        "runsVisibilityMap": {},
        "runsHiddenMode": "FIRST_20_RUNS",
        "viewMaximized": False,
        "runListHidden": False,
        "isAccordionReordered": False,
        "groupBy": None,
        "groupsExpanded": {},
        "useGroupedValuesInCharts": True,
        "hideEmptyCharts": True,
        "autoRefreshEnabled": True,
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
        **changes,
    }
    dated = {"name": name, "createdAt": created_milliseconds, "state": json.dumps(state, separators=(",", ":"))}
    return json.dumps({**dated, **state}, separators=(",", ":"))
