"""Where a phase is, on a terminal or in a log."""

import contextlib
import math
import sys
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self, TextIO

_SECONDS_BETWEEN_LINES = 10.0


class Progress:
  """Shows where a phase is: a bar on a terminal, a line now and then elsewhere.

  Use as a context manager around the phase's loop. The speed leaves out the
  first update, which waits for the compiler.

  Args:
    phase: name shown.
    first_step: steps done before; 0 unless resumed.
    num_steps: steps of the whole phase.
    images_per_step: of all members together.
    stream: where to; standard error by default.
    active: False shows nothing, for all processes but one.
  """

  def __init__(
    self,
    phase: str,
    *,
    first_step: int,
    num_steps: int,
    images_per_step: int,
    stream: TextIO | None = None,
    active: bool = True,
  ) -> None:
    self._phase = phase
    self._step = first_step
    self._num_steps = num_steps
    self._images_per_step = images_per_step
    self._stream = sys.stderr if stream is None else stream
    self._active = active
    self._finished = first_step >= num_steps
    self._loss: float | None = None
    # Time and step of the first update, from which on speed is measured.
    self._start: tuple[float, int] | None = None
    self._now = 0.0
    self._shown_step: int | None = None
    self._shown_at = -math.inf
    self._bar: Any = None

  def __enter__(self) -> Self:
    if not self._active or self._finished:
      return self
    if self._stream.isatty():
      # Not needed where there is no terminal.
      import tqdm

      self._bar = tqdm.tqdm(
        desc=self._phase,
        initial=self._step,
        total=self._num_steps,
        file=self._stream,
        dynamic_ncols=True,
        bar_format="{desc} {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt}"
        "{postfix}",
        postfix="compiling",
      )
    else:
      self._print_line()
      # The first update prints at once as well: compiling is over.
      self._shown_at = -math.inf
    return self

  def __exit__(
    self,
    kind: type[BaseException] | None,
    error: BaseException | None,
    traceback: TracebackType | None,
  ) -> None:
    if self._bar is not None:
      self._bar.set_postfix_str(self._numbers(), refresh=True)
      self._bar.close()
      self._bar = None
    elif self._shown_step not in (None, self._step):
      self._print_line()

  def update(self, step: int, loss: float | None = None) -> None:
    """Tells that `step` steps are done; without a loss the last one stays."""
    self._now = time.monotonic()
    if self._start is None:
      self._start = (self._now, step)
    steps = step - self._step
    self._step = step
    self._loss = self._loss if loss is None else loss
    if not self._active:
      return
    if self._bar is not None:
      self._bar.set_postfix_str(self._numbers(), refresh=False)
      self._bar.update(steps)
    elif (
      step >= self._num_steps
      or self._now - self._shown_at >= _SECONDS_BETWEEN_LINES
    ):
      self._print_line()

  @contextlib.contextmanager
  def paused(self) -> Iterator[None]:
    """What happens inside, validation for one, does not count as training."""
    begin = time.monotonic()
    try:
      yield
    finally:
      if self._start is not None:
        start, step = self._start
        pause = time.monotonic() - begin
        self._start = (start + pause, step)
        self._now += pause

  @property
  def images_per_second(self) -> float | None:
    """Mean speed since the first update; None before the second."""
    if self._start is None:
      return None
    seconds, steps = self._now - self._start[0], self._step - self._start[1]
    if steps <= 0 or seconds <= 0:
      return None
    return steps * self._images_per_step / seconds

  def _print_line(self) -> None:
    percent = 100 * self._step // self._num_steps
    print(
      f"{self._phase} {self._step:,}/{self._num_steps:,} {percent:3d}% "
      f"{self._numbers()}",
      file=self._stream,
      flush=True,
    )
    self._shown_step = self._step
    self._shown_at = self._now

  def _numbers(self) -> str:
    if self._start is None:
      return "compiling"
    parts = []
    if self._loss is not None:
      parts.append(f"loss {self._loss:.4g}")
    speed = self.images_per_second
    if speed is not None:
      images = (self._num_steps - self._step) * self._images_per_step
      parts += [f"{speed:,.0f} img/s", f"ETA {duration(images / speed)}"]
    return ", ".join(parts)


def duration(seconds: float) -> str:
  """As 0:05, 12:34 or 3:04:05."""
  minutes, second = divmod(round(seconds), 60)
  hour, minute = divmod(minutes, 60)
  return (
    f"{hour}:{minute:02d}:{second:02d}" if hour else f"{minute}:{second:02d}"
  )
