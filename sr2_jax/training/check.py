"""What is wrong with a folder of images, all at once, before a run is started.

  python -m sr2_jax.data.check photos --scale=4 --sheet=photos.png
  python -m sr2_jax.data.check --config=experiments/plates.py

Shows classes, splits, sizes and kinds of files on standard output, and every
problem on standard error. Flags set fields of the config: those named as fields
of `config.data`, --scale (`config.degradation.scale`) and --crop
(`config.augmentation.crop`); --config.FIELD=VALUE sets any. With --config a few
steps are trained as well, if nothing is wrong, and show how much time and
memory training takes. Exit codes: 0 nothing is wrong, 2 something is to be
fixed, 130 stopped by Ctrl-C.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ml_collections

from sr2_jax import errors, memory, paths, program
from sr2_jax.config import checks, command_line, derived
from sr2_jax.data import contact_sheet, inspection, own_images, splitting

# Flags of this command, and the fields that they set.
_FIELDS = {
  "path": "data.path",
  "scale": "degradation.scale",
  "crop": "augmentation.crop",
  **{
    name: f"data.{name}"
    for name in (
      "low_res_path", "labels", "classes", "size", "fit", "channels",
      "duplicates", "validation_fraction", "split_seed",
    )
  },
}  # fmt: skip


@program.entry(stopped="stopped by {}")
def main(arguments: Sequence[str] | None = None) -> int:
  """Checks a folder, and returns the exit code."""
  try:
    options, rest = parse(arguments)
    config = _config(options, rest)
    problems = _problems(config, options)
    if options.config and not problems:
      _try_out(config)
  except errors.UserError as error:
    problems = [str(error)]
  except Exception as error:
    if not memory.is_short(error):
      raise
    problems = [memory.message(error)]
  for problem in problems:
    print(problem, file=sys.stderr)
  if problems:
    print(f"{len(problems):,} to fix", file=sys.stderr)
  return errors.TO_FIX if problems else errors.DONE


def parse(
  arguments: Sequence[str] | None = None,
) -> tuple[argparse.Namespace, list[str]]:
  """The flags, and what sets other fields.

  Raises:
    UserError: names what is neither.
  """
  options, rest = _parser().parse_known_args(arguments)
  known = [*(_FIELDS.keys() - {"path"}), "config", "sheet"]
  command_line.check_names(["", *rest], known=known)
  return options, rest


def _parser() -> program.Parser:
  assert __doc__ is not None
  parser = program.Parser(
    prog="python -m sr2_jax.data.check",
    usage="%(prog)s [PATH] [--config=FILE] [--config.FIELD=VALUE ...] [flags]",
    description=__doc__,
    formatter_class=argparse.RawDescriptionHelpFormatter,
    allow_abbrev=False,
  )
  add = parser.add_argument
  add("path", nargs="?", help="the folder of images; else that of --config")
  add("--config", help="experiment file of the planned run")
  for name, what in (
    ("scale", "super-resolution factor (2)"),
    ("crop", "side of crops to train on (none)"),
    ("low_res_path", "folder of low-resolution images (the run makes them)"),
    ("labels", "a CSV file with columns file and label"),
    ("classes", "classes to keep, join and leave out"),
    ("size", "height x width of all images, as in 32x16"),
    ("fit", "images of another size: crop, pad, resize or refuse (refuse)"),
    ("channels", "gray or RGB: 1, 3 or auto (auto)"),
    ("duplicates", "equal images in two splits: allow or refuse (refuse)"),
    (
      "validation_fraction",
      "part of each class for validation, and for a test if there is none (.2)",
    ),
    ("split_seed", "chooses that part (0)"),
  ):
    add(f"--{name}", help=what)
  add("--sheet", help="a PNG file to show some of each class in")
  return parser


def _config(
  options: argparse.Namespace, rest: Sequence[str]
) -> ml_collections.ConfigDict:
  """The config that is asked for; fields are checked, but for images' size."""
  given = [
    f"--config.{field}={value}"
    for name, field in _FIELDS.items()
    if (value := getattr(options, name)) is not None
  ]
  if options.path is not None:
    given.append("--config.data.name=folder")
  elif not options.config:
    raise errors.UserError(
      "Give the folder of the images, or --config=FILE; --help explains both."
    )
  config = command_line.read_config(
    options.config or "experiments/default.py", ["", *given, *rest]
  )
  says_wiring = any("config.model.wiring" in word for word in rest)
  if not options.config and not says_wiring:
    # Without a config, no classifier is asked for yet.
    config.model.wiring = "none"
  checks.validate_fields(config)
  return config


def _problems(
  config: ml_collections.ConfigDict, options: argparse.Namespace
) -> list[str]:
  """What stops a run on a folder; shows what is in it.

  Raises:
    UserError: if there is nothing to look at.
  """
  if config.data.name != "folder":
    checks.validate(config)
    if options.sheet:
      raise errors.UserError(
        "--sheet shows the images of a folder, not those of "
        f"{config.data.name}."
      )
    return []
  plan = own_images.plan(
    config.data,
    multiple_of=config.degradation.scale,
    classifies=derived.classifies(config),
  )
  seen = inspection.examine(plan)
  low_res = inspection.examine_low_res(plan, seen)
  problems = inspection.problems_of(
    plan,
    seen,
    low_res,
    duplicates_are_allowed=config.data.duplicates == "allow",
  )
  notes = []
  try:
    if size := inspection.size_of(plan, seen):
      checks.validate_image_size(config, *size)
  except errors.UserError as error:
    problems.append(str(error))
  try:
    if not plan.problems:
      splitting.check_fills_a_batch(
        len(plan.parts["train"]), config.batch_size, name=config.data.name
      )
  except errors.UserError as error:
    # Without a config, the size of a batch is not known yet.
    (problems if options.config else notes).append(str(error))
  if not (options.config or plan.problems or len(plan.class_names) > 1):
    notes.append(
      "a classifier needs two classes; config.model.wiring=none does without."
    )
  lines = inspection.described(plan, seen, low_res, title=config.data.path)
  print("\n".join(lines))
  for note in notes:
    print(f"note: {note}")
  if options.sheet:
    try:
      sheet = Path(paths.local(options.sheet, "--sheet")).expanduser()
      contact_sheet.write(sheet, plan, inspection.seen_well(seen))
      print(f"pictures: {sheet}")
    except OSError as error:
      problems.append(f"--sheet={options.sheet}: {error.strerror}.")
  return problems


def _try_out(config: Any) -> None:
  """Shows what training takes.

  JAX is loaded only here, because the check of a folder does not need it.

  Raises:
    UserError: if something else stops a run.
  """
  from sr2_jax import cpu_tuning

  cpu_tuning.prepare()
  from sr2_jax.training import images, trial

  config = derived.resolve(config)
  print("training a few steps ...", file=sys.stderr)
  found = trial.measure(config, images.load(config))
  print("\n".join(trial.described(found)))
