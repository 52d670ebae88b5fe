"""The memory that a run needs, by shapes: known before any of it is taken.

Only what is certainly needed is counted. A compiler adds to it, so its own
count is looked at as well, once there is one.
"""

import contextlib
import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import jax

from sr2_jax import cluster, errors, memory
from sr2_jax.config import derived
from sr2_jax.imaging import metrics
from sr2_jax.training import feed, growth, member_bytes, room
from sr2_jax.training import phase as phase_lib

# Scores of an image beside the metrics: two losses and the class.
_OTHER_SCORES = 3
# What a step logs.
_LOSSES = 5
# Copies of a state on the host: the first, the last one saved and the next.
_STATES_ON_HOST = 3
# Two maps of a network are there at once: a layer's input and its output.
_MAPS_AT_ONCE = 2
# Batches of an evaluation that the host holds.
_BATCHES_ON_HOST = 3


def of_run(run: Any, *, evaluates_only: bool = False) -> room.Footprint:
  """What a run needs, beside the images that it has loaded.

  Nothing is allocated or compiled, however large the fields are.

  Args:
    run: of `training.run`, which imports this module.
    evaluates_only: whether it trains nothing.
  """
  moments: list[room.Moment] = []
  for name in derived.phases(run.config):
    counted = _Counted(run, name)
    if evaluates_only:
      moments += counted.evaluations(counted.weights())
    else:
      training = counted.training()
      moments += (
        room.Moment(f"training {name}", counted.step(), training),
        counted.validation(training),
      )
      # While it goes on or, with less beside it, at its end.
      weights = counted.weights()
      beside = (*training, *weights) if run.config.eval.epochs else weights
      moments += counted.evaluations(beside)
  return room.Footprint(tuple(moments), devices_of(run))


def devices_of(run: Any) -> tuple[Any, ...]:
  """The devices of a run that this process has."""
  own = jax.process_index()
  return tuple(x for x in run.layout.devices if x.process_index == own)


@contextlib.contextmanager
def guarded(
  run: Any, *, evaluates_only: bool = False
) -> Iterator[room.Footprint]:
  """Refuses a run that cannot fit; in the block, what goes wrong is explained.

  Args:
    run: as in `of_run`.
    evaluates_only: likewise.

  Raises:
    NoRoomError: in every process, if it cannot fit.
    UserError: if memory is not enough after all.
  """
  footprint = of_run(run, evaluates_only=evaluates_only)
  footprint.check()
  try:
    yield footprint
  except Exception as error:
    if not memory.is_short(error):
      raise
    raise errors.UserError(footprint.explain(error)) from error


def evaluation_may_be_short(run: Any, name: str) -> bool:
  """Whether memory may not be enough to evaluate a phase; alike in processes.

  Args:
    run: as in `of_run`.
    name: of the phase.
  """
  counted = _Counted(run, name)
  moments = tuple(counted.evaluations(counted.training()))
  found = room.Footprint(moments, devices_of(run)).may_be_short()
  return bool(cluster.highest(found))


def step_check(run: Any, phase: phase_lib.Phase) -> Callable[[int], None]:
  """Check of a compiled call of training steps, by its bytes on a device."""
  counted = _Counted(run, phase.name)
  return room.program_check(
    devices_of(run),
    f"training {phase.name}",
    "a step as it is compiled",
    counted.grows_with.step,
  )


def evaluation_check(
  run: Any, name: str, field: str, conditions: int
) -> Callable[[int], None]:
  """Check of a compiled evaluation, by its bytes on a device.

  Args:
    run: as in `of_run`.
    name: "evaluating" or "validating".
    field: what sets the conditions.
    conditions: how many there are.
  """
  counted = _Counted(run, derived.phases(run.config)[-1])
  return room.program_check(
    devices_of(run),
    name,
    "a batch as it is compiled",
    counted.grows_with.evaluation(field, conditions),
  )


class _Counted:
  """Counts what a phase of a run needs.

  Args:
    run: as in `of_run`.
    name: of the phase.
  """

  def __init__(self, run: Any, name: str) -> None:
    self._run, self._config, self._name = run, run.config, name
    self.grows_with = growth.Growth(run, name)
    self._size = derived.population_size(run.config, name)
    self._on_each = run.layout.members_on_each(self._size)
    self._share = functools.partial(room.share, devices_of(run))

  @functools.cached_property
  def _member(self) -> member_bytes.MemberBytes:
    return member_bytes.of_phase(self._run, self._name)

  @property
  def _of_weights(self) -> int:
    """Bytes of a member's weights."""
    return self._member.params + self._member.stats

  @property
  def _members(self) -> str:
    return _many(self._size, "member")

  def weights(self) -> tuple[room.Share, ...]:
    """What there is of a population that trains no more."""
    return (
      self._share(
        f"the weights of {self._members}",
        self.grows_with.members,
        on_device=self._on_each * self._of_weights,
        on_host=self._size * self._of_weights,
      ),
    )

  def training(self) -> tuple[room.Share, ...]:
    """What there is between two calls of training steps."""
    split = self._run.dataset.train
    config, layout = self._config, self._run.layout
    how = feed.plan(config, layout, images=split.images, num_members=self._size)
    count, steps = len(split.labels), how.steps_per_call
    calls = {"steps_per_call": steps}
    limit = {"data.max_train_images": count}
    of_step = feed.step_bytes(
      config, layout, images=split.images, num_members=self._size
    )
    images = self._share(
      _many(count, "training image"),
      {"data.device_bytes": split.images.nbytes, **limit},
      on_device=split.images.nbytes,
    )
    if how.streams:
      images = self._share(
        f"images of calls of {_many(steps, 'step')}",
        {**calls, **self.grows_with.step},
        on_device=feed.CHUNKS_ON_DEVICE * steps * of_step,
      )
    order = 4 * count * (1 + 3 * bool(config.augmentation.crop))
    return (
      self._share(
        f"the state of {self._members}",
        self.grows_with.members,
        on_device=self._on_each * self._member.state,
        on_host=_STATES_ON_HOST * self._size * self._member.state,
      ),
      images,
      self._share(
        f"the order of {_many(count, 'image')} for {self._members}",
        {**limit, **self.grows_with.members},
        on_device=0 if how.streams else 4 * count * self._on_each,
        on_host=order * self._size if how.streams else 0,
      ),
      self._share(
        f"the losses of calls of {_many(steps, 'step')}",
        {**calls, **self.grows_with.members},
        on_device=4 * _LOSSES * steps * self._on_each,
      ),
    )

  def step(self) -> room.Share:
    """What a training step adds."""
    batch = self._config.batch_size // self._run.layout.num_shards
    member = self._member
    return self._share(
      f"a step of {self._members} with "
      f"{_many(self._config.batch_size, 'image')}",
      self.grows_with.step,
      on_device=self._on_each * (member.params + batch * member.maps),
    )

  def validation(self, beside: tuple[room.Share, ...]) -> room.Moment:
    """A validation, with what there is beside it."""
    field = "eval.validation_noise_variances"
    levels = len(self._config.eval.validation_noise_variances)
    scores = self._scores(field, levels, ("validation",))
    return room.Moment(
      f"validating {self._name}",
      self._batch(field, levels),
      (*beside, self._copies(), scores, self._statistics()),
    )

  def evaluations(
    self, beside: tuple[room.Share, ...]
  ) -> Iterator[room.Moment]:
    """Evaluations of the splits, with what there is beside them."""
    config = self._config
    levels = {
      "eval.noise_variances": len(config.eval.noise_variances),
      "eval.corruptions": len(derived.corruption_levels(config)),
    }
    for field, conditions in levels.items():
      if conditions:
        yield room.Moment(
          f"evaluating {self._name}",
          self._batch(field, conditions),
          (
            *beside,
            self._scores(field, conditions, config.eval.splits),
            self._examples(field, conditions),
            self._statistics(),
          ),
        )

  def _copies(self) -> room.Share:
    """Of the weights of several members, as `parallel.Layout.each` has them."""
    copies = self._on_each if self._on_each > 1 else 0
    return self._share(
      f"copies of the weights of {self._members}",
      self.grows_with.members,
      on_device=copies * self._of_weights,
    )

  def _batch(self, field: str, conditions: int) -> room.Share:
    layout, shape = self._run.layout, self._run.image_shape
    size = layout.whole_shards(self._config.eval.batch_size)
    in_memory = math.prod(self._run.dataset.test.images.shape[1:])
    # Members come one after another.
    of_image = 4 * math.prod(shape)
    of_image += conditions * _MAPS_AT_ONCE * self._member.largest
    return self._share(
      f"{_many(size, 'image')} under {_many(conditions, 'condition')}",
      self.grows_with.evaluation(field, conditions),
      on_device=size // layout.num_shards * of_image,
      on_host=_BATCHES_ON_HOST * size * in_memory,
    )

  def _scores(
    self, field: str, conditions: int, splits: tuple[str, ...]
  ) -> room.Share:
    limit = self._config.eval.max_images
    counts = [len(getattr(self._run.dataset, x).labels) for x in splits]
    counts = [min(count, limit or count) for count in counts]
    of_image = 4 * conditions * self._size
    of_image *= len(metrics.IMAGE_METRICS) + _OTHER_SCORES
    return self._share(
      f"the scores of {_many(sum(counts), 'image')} under "
      f"{_many(conditions, 'condition')}",
      {
        field: conditions,
        "eval.max_images": max(counts),
        **self.grows_with.members,
      },
      # Those of a split are joined from those of its batches.
      on_host=of_image * (sum(counts) + max(counts)),
    )

  def _examples(self, field: str, conditions: int) -> room.Share:
    # As `evaluation.examples` chooses them.
    count = 2 * min(max(self._run.dataset.num_classes, 3), 50)
    count = min(count, len(self._run.dataset.test.labels))
    of_image = 4 * math.prod(self._run.image_shape)
    return self._share(
      f"{_many(count, 'example image')} under {_many(conditions, 'condition')}",
      {field: conditions, **self.grows_with.members, **self.grows_with.images},
      # Those of all members are joined from those of each.
      on_host=2 * count * conditions * self._size * of_image,
    )

  def _statistics(self) -> room.Share:
    config, stats = self._config, self._member.stats
    batches = config.eval.batch_norm_batches
    is_used = stats and "reestimated" in config.eval.batch_norm
    of_batch = 4 * config.batch_size * (1 + 2 * bool(config.augmentation.crop))
    # Those of all batches are pooled in float64.
    of_batch += 3 * stats
    return self._share(
      f"BatchNorm's statistics of {batches:,} batches",
      {"eval.batch_norm_batches": batches, **self.grows_with.step},
      on_host=batches * of_batch * self._size if is_used else 0,
    )


def _many(count: int, noun: str) -> str:
  return f"{count:,} {noun}{'s' * (count != 1)}"
