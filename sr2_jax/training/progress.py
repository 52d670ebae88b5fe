"""How far a phase is: a bar on a terminal, a line now and then in a log."""

import contextlib
import sys
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self, TextIO

import tqdm

_NUMBERS = "{n_fmt}/{total_fmt}{postfix}, ETA {remaining}"
_SECONDS_BETWEEN_LINES = 10.0


class _Lines:
  """A log file for tqdm: each new state of the bar becomes one line."""

  def __init__(self, stream: TextIO) -> None:
    self._stream = stream
    self._last = ""

  def write(self, text: str) -> None:
    """Prints what tqdm would draw over the line before."""
    text = text.strip()
    if text and text != self._last:
      print(text, file=self._stream, flush=True)
      self._last = text

  def flush(self) -> None:
    """Does nothing: each line is flushed as it is printed."""


class Progress:
  """Shows steps done, loss, speed and the time left; closed as a context.

  The speed leaves out the first update, which waits for the compiler.

  Args:
    phase: name shown.
    first_step: steps done before; 0 unless resumed.
    num_steps: steps of the whole phase.
    images_per_step: of all members together.
    stream: where to print; standard error by default.
    active: False shows and measures nothing: for all processes but one.
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
    self._images_per_step = images_per_step
    self._loss: float | None = None
    self._is_compiling = True
    out: TextIO = sys.stderr if stream is None else stream
    is_terminal = out.isatty()
    file: Any = out if is_terminal else _Lines(out)
    bar = "|{bar}| " if is_terminal else " "
    self._bar = tqdm.tqdm(
      desc=phase,
      initial=first_step,
      total=num_steps,
      file=file,
      dynamic_ncols=is_terminal,
      bar_format="{desc} {percentage:3.0f}%" + bar + _NUMBERS,
      mininterval=0.1 if is_terminal else _SECONDS_BETWEEN_LINES,
      miniters=1,
      smoothing=0,  # The mean speed of the phase, not of the last steps.
      postfix="compiling",
      disable=not active or first_step >= num_steps,
    )

  def __enter__(self) -> Self:
    return self

  def __exit__(
    self,
    kind: type[BaseException] | None,
    error: BaseException | None,
    traceback: TracebackType | None,
  ) -> None:
    self._bar.close()

  def update(self, step: int, loss: float | None = None) -> None:
    """Shows that `step` steps are done; without a loss, the last one stays."""
    bar = self._bar
    if bar.disable:
      return
    self._loss = self._loss if loss is None else loss
    is_first, self._is_compiling = self._is_compiling, False
    if is_first:
      bar.n = bar.initial = step
      bar.start_t = bar.last_print_t = time.time()
    else:
      bar.n = step
    speed = self.images_per_second
    texts = (
      "" if self._loss is None else f"loss {self._loss:.4g}",
      "" if speed is None else f"{speed:,.0f} img/s",
    )
    bar.set_postfix_str(", ".join(filter(None, texts)), refresh=is_first)
    bar.update(0)

  @contextlib.contextmanager
  def paused(self) -> Iterator[None]:
    """Leaves what happens inside, such as validation, out of the speed."""
    begin = time.time()
    try:
      yield
    finally:
      if not self._bar.disable:
        pause = time.time() - begin
        self._bar.start_t += pause
        self._bar.last_print_t += pause

  @property
  def images_per_second(self) -> float | None:
    """Mean speed since the first update; None before the second."""
    bar = self._bar
    seconds = bar.format_dict["elapsed"]
    if self._is_compiling or bar.n <= bar.initial or seconds <= 0:
      return None
    return (bar.n - bar.initial) * self._images_per_step / seconds
