"""Lines of metrics.jsonl of a population of which members diverge."""

import dataclasses

import numpy as np
import pytest

from sr2_jax.records import divergence
from sr2_jax.records import rows as rows_lib
from sr2_jax.training import log_lines
from sr2_jax.training import population as population_lib


@dataclasses.dataclass
class Phase:
  """What lines need of a phase."""

  name: str = "joint"
  num_steps: int = 9
  population: population_lib.Population = dataclasses.field(
    default_factory=lambda: population_lib.expand((0, 1), (0.1,), (9.0,))
  )


BOTH = np.array([True, True])
# After each of three steps; the last column is beyond the call.
SECOND_ENDS = np.array([[1, 1, 1, 0], [1, 0, 0, 0]], bool)
NEVER = np.array([[1, 1, 1, 0], [1, 1, 1, 0]], bool)
VALUES = {
  "loss": np.array([[1.0, 2.0, 3.0, 0.0], [4.0, np.nan, np.nan, 0.0]]),
  "accuracy": np.array([[0.1, 0.2, 0.3, 0.0], [0.4, 0.5, 0.6, 0.0]]),
}


def of_call(after, *, call=range(4, 7), before=BOTH, every=1):
  found = log_lines.of_call(
    Phase(), call, VALUES, before=before, after=after, every=every
  )
  return [
    (line["step"], line["seed"], line.get("diverged_at")) for line in found
  ]


def test_a_line_has_the_member_and_its_numbers():
  line, *_ = log_lines.of_call(
    Phase(), range(4, 5), VALUES, before=BOTH, after=NEVER, every=1
  )
  assert line == {
    "kind": "train",
    "phase": "joint",
    "step": 5,
    "seed": 0,
    "l2": 0.1,
    "loss_weight": 9.0,
    "loss": 1.0,
    "accuracy": 0.1,
  }


@pytest.mark.parametrize(
  ("after", "options", "expected"),
  [
    (NEVER, {}, [(s, m, None) for s in (5, 6, 7) for m in (0, 1)]),
    (NEVER, {"every": 3}, [(6, 0, None), (6, 1, None)]),
    # The end of the phase is due.
    (NEVER, {"every": 50, "call": range(7, 9)}, [(9, 0, None), (9, 1, None)]),
    (
      SECOND_ENDS,
      {},
      [(5, 0, None), (5, 1, None), (6, 0, None), (6, 1, 6), (7, 0, None)],
    ),
    # Its last line does not wait until one is due.
    (SECOND_ENDS, {"every": 7}, [(6, 1, 6), (7, 0, None)]),
    # It ended in an earlier call.
    (
      SECOND_ENDS & np.array([[True], [False]]),
      {"before": np.array([True, False]), "every": 2},
      [(6, 0, None)],
    ),
  ],
)
def test_lines_of_a_call(after, options, expected):
  assert of_call(after, **options) == expected


def test_lines_of_a_validation():
  lines = log_lines.of_step(
    "validation",
    Phase(),
    6,
    {"loss": np.array([0.5, np.inf])},
    shown=BOTH,
    alive=np.array([True, False]),
  )
  assert [line["kind"] for line in lines] == ["validation"] * 2
  assert [line.get("diverged_at") for line in lines] == [None, 6]
  assert [line["loss"] for line in lines] == [0.5, np.inf]


def test_the_line_of_another_runs_pretraining():
  member = rows_lib.Member(seed=1, l2=0.1)
  end = divergence.Divergence(phase="pretrain", step=3, member=member)
  assert log_lines.of_divergence(end) == {
    "kind": "train",
    "phase": "pretrain",
    "step": 3,
    "seed": 1,
    "l2": 0.1,
    "loss_weight": None,
    "diverged_at": 3,
  }
