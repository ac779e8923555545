"""MLflow, where `MLFLOW_TRACKING_URI` says, else as MLflow has it, on this machine."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

from . import Outcome, Tracked, Tracker

STATUS = {
    "finished": "FINISHED",
    "stopped early": "FINISHED",
    "interrupted": "KILLED",
    "failed": "FAILED",
}
MOST_SETTINGS = 100  # that it takes at once


class OfRun(Tracker):
    """By its client, which takes nothing along by itself, neither user nor program."""

    def __init__(self, client: Any, id: str):
        self._client, self.id = client, id

    def take(self, step: int, figures: Mapping[str, float]) -> None:
        """Its names know no `@`: `P@5` is `P_at_5`."""
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        named = {name.replace("@", "_at_"): value for name, value in figures.items()}
        metrics = [Metric(name, value, now, step) for name, value in named.items()]
        self._client.log_batch(self.id, metrics=metrics, synchronous=True)

    def close(self, outcome: Outcome) -> None:
        """What was interrupted has been killed."""
        self._client.set_terminated(self.id, STATUS[outcome])


def begin(run: Tracked) -> OfRun:
    """Its experiment is the project."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # 7 are minutes, in which nothing is learnt
    from mlflow import MlflowClient
    from mlflow.entities import Param

    client = MlflowClient()
    if run.id is not None:
        client.update_run(run.id, status="RUNNING")
        return OfRun(client, run.id)
    found = client.get_experiment_by_name(run.project)
    experiment = found.experiment_id if found else client.create_experiment(run.project)
    id = client.create_run(experiment, run_name=run.name).info.run_id
    params = [Param(name, str(value)) for name, value in run.settings.items()]
    for start in range(0, len(params), MOST_SETTINGS):
        client.log_batch(id, params=params[start : start + MOST_SETTINGS], synchronous=True)
    return OfRun(client, id)
