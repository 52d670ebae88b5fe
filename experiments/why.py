"""Why the numbers are not the paper's: one question, one command.

  python -m launch.sweep --sweep=experiments/why.py:momentum --workdir=runs/why

The word after the colon is the question; without one all are asked. Every run
changes one thing of SR2_FSRCNN at x4, at the budget "cpu" of
experiments/runs.py: three seeds, 4 epochs of `pretrain` and 1 of `joint`, and
as many of the control. Minutes each on two cores.

  l2             How strong is L2? Is it on all kernels?
  momentum       Do BatchNorm's running statistics trail behind?
  losses         Mean absolute error, and losses divided by 1 + lambda, as in
                 the authors' script
  learning_rate  Is it the second phase, or its smaller learning rate?
  epochs         Twelve epochs of pretraining instead of four
"""

import dataclasses
from collections.abc import Callable
from typing import Any

from experiments import runs

_BASE = dataclasses.replace(
  runs.sr2("cpu", "mnist", "fsrcnn", 4),
  name="why_base",
  overrides={
    **runs.sr2("cpu", "mnist", "fsrcnn", 4).overrides,
    "joint.loss_weight": (9.0,),
    "eval.batch_norm": ("reestimated", "running"),
  },
)


def sweep(budget: str = "all") -> list[runs.Run]:
  """The runs of a question, or of all of them.

  Raises:
    ValueError: if there is no such question.
  """
  if budget == "all":
    return runs.merge(*(question() for question in _QUESTIONS.values()))
  if budget not in BUDGETS:
    raise ValueError(
      f'there is no budget "{budget}"; the budgets are {", ".join(BUDGETS)}'
    )
  return _QUESTIONS[budget]()


def _l2() -> list[runs.Run]:
  strengths = {"loss.l2": (0.0, 0.001, 0.01, 0.1)}
  return [
    _control("l2_strengths", strengths),
    _changed("l2_on_all_kernels", {"loss.l2_scope": "kernels"}),
  ]


def _momentum() -> list[runs.Run]:
  return [
    _BASE,
    _changed("momentum_0.9", {"model.batch_norm_momentum": 0.9}),
  ]


def _losses() -> list[runs.Run]:
  l1 = {"loss.super_resolution": "l1"}
  divided = {"loss.normalize_weights": True}
  # Divided by 1 + 9, the losses are a tenth beside the same L2. So the control
  # has ten times the L2 in its second phase.
  stronger_l2 = {"loss.l2": (0.1,)}
  absolute = _changed("l1", l1)
  script = _changed("authors_script", l1 | divided)
  return [
    _BASE,
    _control("base_control", {}, source=_BASE),
    _changed("divided", divided, source=_BASE),
    _control("divided_control", stronger_l2, source=_BASE),
    absolute,
    _control("l1_control", l1, source=absolute),
    script,
    _control("authors_script_control", l1 | stronger_l2, source=script),
  ]


def _learning_rate() -> list[runs.Run]:
  return [
    _BASE,
    _control("base_control", {}, source=_BASE),
    *(
      _control(
        f"control_learning_rate_{name}",
        {
          f"joint.learning_rate.{subtree}": rate for subtree in ("shared", "sr")
        },
        source=_BASE,
      )
      for name, rate in (("1e-3", 1e-3), ("1e-4", 1e-4))
    ),
  ]


def _epochs() -> list[runs.Run]:
  twelve = _changed("twelve_epochs", {"pretrain.num_epochs": 12})
  return [
    twelve,
    _control(
      "twelve_epochs_control", {"pretrain.num_epochs": 12}, source=twelve
    ),
  ]


_QUESTIONS: dict[str, Callable[[], list[runs.Run]]] = {
  "l2": _l2,
  "momentum": _momentum,
  "losses": _losses,
  "learning_rate": _learning_rate,
  "epochs": _epochs,
}
BUDGETS = ("all", *_QUESTIONS)


def _changed(
  name: str, changes: dict[str, Any], *, source: runs.Run | None = None
) -> runs.Run:
  """The base run with changes, pretrained by itself or by `source`."""
  return dataclasses.replace(
    _BASE,
    name=f"why_{name}",
    overrides={**_BASE.overrides, **changes},
    init_from=None if source is None else source.name,
  )


def _control(
  name: str, changes: dict[str, Any], *, source: runs.Run | None = None
) -> runs.Run:
  """As `_changed`, without a classifier."""
  run = _changed(name, {"model.wiring": "none", **changes}, source=source)
  kept = {k: v for k, v in run.overrides.items() if k != "joint.loss_weight"}
  return dataclasses.replace(run, overrides=kept)
