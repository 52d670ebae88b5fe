"""Command lines, and fields of a config on them and in experiment files."""

import contextlib
import json
import pathlib
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from unittest import mock

from launch import sweep
from sr2_jax import main, predict, program
from sr2_jax.config import command_line, fields, record
from sr2_jax.demo import __main__ as demo
from sr2_jax.export import __main__ as export
from sr2_jax.prediction import session
from sr2_jax.release import __main__ as release
from sr2_jax.report import __main__ as report
from sr2_jax.training import check
from tests.fuzz import cases, folders, odd, oracle
from tests.fuzz.oracle import Ended, Target

_ROOT = pathlib.Path(__file__).parents[2]

# Words of each program, of which a case takes some.
_WORDS = {
  "main": (
    "--config=tests/tiny.py", "--workdir=run", "--mode=eval",
    "--coordinator=localhost:7000", "--num_processes=2", "--process_id=0",
    "--peer_timeout=5", "--heartbeat_timeout=5", "--config.seed=1",
    "--config.joint.loss_weight=1,2", "--noconfig.eval.clip", "--config",
    "tests/tiny.py",
  ),
  "report": ("run", "--out=out", "--split=test", "--metric=ssim",
    "--csv=rows.csv", "--force"),
  "predict": (
    "images", "--weights=run", "--method=sr2_fsrcnn", "--checkpoint=last",
    "--seeds=0", "--member=0", "--out=out", "--suffix=_s", "--format=png",
    "--bits=8", "--color=luma", "--force", "--skip-existing",
    "--classify=auto", "--table=t.csv", "--uncertainty", "--side-by-side",
    "--degrade=0.1", "--degrade", "--invert", "--example", "--recursive",
    "--tile=8", "--batch=2", "--max-pixels=100", "--quiet", "--json",
  ),
  "export": ("run", "--out=out", "--to=onnx,safetensors", "--dtype=float16",
    "--seeds=first", "--member=0", "--method=sr2_fsrcnn", "--force",
    "--quiet", "--checkpoint=best", "--weights=run"),
  "demo": ("--weights=run", "--out=page.html", "--seeds=1", "--member=0",
    "--force", "--method=sr2_fsrcnn", "--checkpoint=last"),
  "release": ("run", "--out=out", "--list=out", "--check", "--cards",
    "--method=sr2_fsrcnn", "--seeds=0", "--member=0", "--checkpoint=last",
    "--dtype=float16", "--address=https://a/b", "--force"),
  "check": ("images", "--scale=2", "--crop=4", "--low_res_path=small",
    "--labels=labels.csv", "--classes=a", "--size=8x8", "--fit=crop",
    "--channels=1", "--duplicates=allow", "--validation_fraction=0.2",
    "--split_seed=0", "--sheet=sheet.png", "--config=tests/tiny.py",
    "--config.seed=1"),
  "sweep": (
    "--sweep=tests/tiny_sweep.py", "--workdir=runs", "--only", "first",
    "--set", "eval.clip=true", "--set=seed=3", "--mode=train", "--retries=1",
    "--stall=90s", "--notify=told", "--dry-run", "--status", "--emit=sbatch",
    "--image=i", "--volume=c:/p", "--queue=q", "--engine=local",
    "--engine=ray", "--address=auto", "--wait=1h", "--price=1.2",
    "--accelerator=v5e", "--topology=2x4", "--chips_per_host=4", "--cut=2x2",
    "--gpus=1", "--slices=2", "--grid", "joint.loss_weight=1,2",
    "--address=emulate:1x1x1", "--sweep=tests/tiny.py",
  ),
}  # fmt: skip


def _drawn(program: str) -> Callable[[random.Random], tuple[str, ...]]:
  """Draws some words of a program, with an odd value or two."""

  def draw(rng: random.Random) -> tuple[str, ...]:
    words = list(_WORDS[program])
    # Most commands have what is required.
    kept = words[: rng.choice((1, 2, 2))]
    kept += rng.sample(words, rng.randrange(4))
    for _ in range(rng.choice((1, 1, 2))):
      place = rng.randrange(len(kept))
      flag, equals, _ = kept[place].partition("=")
      value = rng.choice(odd.TYPED)
      kept[place] = f"{flag}={value}" if equals else value
    if rng.random() < 0.1:
      kept.append(f"--config.{rng.choice(list(fields.CHECKS))}={value}")
    if rng.random() < 0.05:
      rng.shuffle(kept)
    return tuple(kept)

  return draw


@contextlib.contextmanager
def _places(folder: pathlib.Path) -> Iterator[None]:
  """A current folder with all that words name."""
  if not (folder / "file.txt").exists():
    folders.network(folder)
    folders.images(folder / "own")
    (folder / "file.txt").write_text("a file\n")
    (folder / "here").mkdir()
    (folder / "dangling").symlink_to("nowhere")
    (folder / "loop").symlink_to("loop")
    (folder / "tests").symlink_to(_ROOT / "tests")
  with contextlib.chdir(folder):
    yield


def _nothing(*_: Any, **__: Any) -> Any:
  return None


class _Session:
  """Stands in for the work of a prediction."""

  def __init__(self, *_: Any) -> None:
    self.tile_for = _nothing

  def work(self) -> int:
    return 0


def _program(
  call: Callable[[Sequence[str]], int], *patches: Any
) -> Callable[[pathlib.Path, cases.Case], Ended]:
  def play(folder: pathlib.Path, case: cases.Case) -> Ended:
    with contextlib.ExitStack() as stack:
      stack.enter_context(_places(folder))
      for target, name, stand_in in patches:
        stack.enter_context(mock.patch.object(target, name, stand_in))
      return oracle.of_command(lambda: call(_typed(case)))

  return play


def _typed(case: cases.Case) -> list[str]:
  return [odd.typed(word) for word in case.words]


def _main(folder: pathlib.Path, case: cases.Case) -> Ended:
  """A command of `sr2_jax.main`, read and checked; and what it records."""
  with _places(folder):
    if program.asks_for_help(case.words):
      return oracle.of_command(lambda: main.main(["main", *_typed(case)]))
    command = command_line.parse(["main", *_typed(case)])
  return Ended(result=_recorded(command.config))


def _recorded(config: Any) -> str:
  """What config.json gets of it, and what a later start reads there.

  Raises:
    AssertionError: if that is not the same.
  """
  fields_of = record.to_dict(config)
  text = json.dumps(fields_of, allow_nan=False)
  text.encode()
  again = record.difference(json.loads(text), fields_of)
  assert not again, f"recorded otherwise: {again}"
  return text


def _draw_field(rng: random.Random) -> tuple[str, ...]:
  """A field with an odd value, on a command line or in a file."""
  field = rng.choice(list(fields.CHECKS))
  if rng.random() < 0.5:
    return ("typed", field, rng.choice(odd.TYPED))
  return ("in a file", field, rng.choice(odd.PYTHON))


_FILE = """\
from tests import tiny

def get_config():
  config = tiny.get_config()
  with config.ignore_type():
    config.{field} = {value}
  return config
"""


def _field(folder: pathlib.Path, case: cases.Case) -> Ended:
  way, field, value = _typed(case)
  with _places(folder):
    if way == "typed":
      words = ["--config=tests/tiny.py", f"--config.{field}={value}"]
    else:
      path = pathlib.Path("odd.py")
      path.write_text(_FILE.format(field=field, value=value))
      words = [f"--config={path}"]
    command = command_line.parse(["main", *words, "--workdir=run"])
  return Ended(result=_recorded(command.config))


TARGETS = {
  "field": Target(_field, draw_words=_draw_field),
  "command main": Target(_main, draw_words=_drawn("main")),
  "command report": Target(
    _program(
      report.main,
      (report, "_write_page", _nothing),
      (report, "_write_curves", lambda *_: []),
    ),
    draw_words=_drawn("report"),
  ),
  "command predict": Target(
    _program(
      lambda words: predict.main(["predict", *words]),
      (predict, "_predictor", lambda _: mock.Mock(channels=1)),
      (session, "Session", _Session),
    ),
    draw_words=_drawn("predict"),
  ),
  "command export": Target(
    _program(export.main, (export, "run", lambda c: export.plan.prepare(c))),
    draw_words=_drawn("export"),
  ),
  "command demo": Target(
    _program(
      lambda words: demo.main(["demo", *words]),
      (demo, "_page", lambda _: ("page", {})),
    ),
    draw_words=_drawn("demo"),
  ),
  "command release": Target(
    _program(release.main, (release, "_measured", _nothing)),
    draw_words=_drawn("release"),
  ),
  "command check": Target(
    _program(check.main, (check, "_try_out", _nothing)),
    draw_words=_drawn("check"),
    most_lines=10_000,  # One for each problem.
  ),
  "command sweep": Target(
    _program(
      lambda words: sweep.main(["sweep", *words]),
      (sweep, "_run", lambda *_: []),
    ),
    draw_words=_drawn("sweep"),
  ),
}
