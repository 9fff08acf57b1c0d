"""What a person does in Dagster's UI, by the same API."""

import json
import time
import urllib.request

from dicom_pipeline_tests.stack import RunningStack

_RUNS = "{ runsOrError { ... on Runs { results { runId status pipelineName } } } }"
_RE_EXECUTE = """
mutation ($parent: String!) {
  launchRunReexecution(reexecutionParams: {parentRunId: $parent, strategy: ALL_STEPS}) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
  }
}
"""
_ENDED = {"SUCCESS", "FAILURE", "CANCELED"}


def graphql(stack: RunningStack, query: str, **variables: object) -> dict:
    """The data that answer a query, which must be a sound one."""
    request = urllib.request.Request(
        f"{stack.info.ui}/graphql",
        json.dumps({"query": query, "variables": variables}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        answer = json.load(response)
    assert "errors" not in answer, answer
    return answer["data"]


def runs(stack: RunningStack) -> list[dict]:
    """``runId``, ``status`` and ``pipelineName`` of every run, the newest first."""
    return graphql(stack, _RUNS)["runsOrError"]["results"]


def re_execute(stack: RunningStack, run_id: str) -> None:
    """The button on the page of a run."""
    answer = graphql(stack, _RE_EXECUTE, parent=run_id)["launchRunReexecution"]
    assert answer["__typename"] == "LaunchRunSuccess", answer


def statuses_at_the_end(stack: RunningStack, seconds: float) -> set[str]:
    """The statuses of all runs once they have ended, or after so long."""
    deadline = time.monotonic() + seconds
    while not (statuses := {run["status"] for run in runs(stack)}) <= _ENDED:
        if time.monotonic() > deadline:
            break
        time.sleep(1)
    return statuses
