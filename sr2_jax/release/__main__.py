"""Makes trained networks ready to be released, and checks what is released.

`python -m sr2_jax.release RUN... --out=FOLDER` writes a folder for each network
of the runs, in the form of model hubs, measures it again from the file that is
released, and lists it in weights.json and weights.csv. Nothing is sent away.
"""

import argparse
import pathlib
import sys
import tempfile
from collections.abc import Sequence

from sr2_jax import errors, paths, program
from sr2_jax.buckets import copies
from sr2_jax.prediction import choice
from sr2_jax.prediction import command_line as predict_flags
from sr2_jax.records import released
from sr2_jax.records import rows as rows_lib
from sr2_jax.records import weights as weights_lib
from sr2_jax.release import folders, source

# What comes with the package has to be small.
MOST_BYTES_IN_PACKAGE = 12_000_000
# How far rounding may move a number of a seed; more is a mistake.
_TOLERANCES = {"psnr_db": 0.05, "accuracy": 0.005}
_TOLERANCE = 0.001


@program.entry()
def main(arguments: Sequence[str] | None = None) -> int:
  """Runs the command; returns its exit code."""
  flags = _parse(arguments)
  out = pathlib.Path(paths.local(flags.out, "--out"))
  lists = pathlib.Path(paths.local(flags.list or flags.out, "--list"))
  if flags.check + flags.cards + bool(flags.runs) != 1:
    raise errors.UserError(
      "Give runs to release, or --check or --cards without any."
    )
  if flags.cards:
    folders.rewrite(out)
  if flags.check or flags.cards:
    return _check(out)
  flags.runs = [
    paths.local(copies.bring(run, "RUN", copies.is_of_release), "RUN")
    for run in flags.runs
  ]
  _release(flags, out, lists)
  return errors.DONE


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
  parser = program.Parser(
    prog="python -m sr2_jax.release",
    description="Makes trained networks ready to be released: a folder for "
    "each, in the form of model hubs, with numbers that are measured again "
    "from the file in it. A control (lambda = 0) among the runs is compared "
    "with, not released. Nothing is sent anywhere.",
  )
  add = parser.add_argument
  add("runs", nargs="*", metavar="RUN", help="run folders")
  add("--out", required=True, metavar="FOLDER", help="where the folders go")
  add(
    "--list",
    metavar="FOLDER",
    help="where weights.json and weights.csv are (default: --out)",
  )
  add("--check", action="store_true", help="check what is in --out instead")
  add(
    "--cards",
    action="store_true",
    help="make the cards and weights.csv in --out again, then check",
  )
  add("--method", help="the only network of the runs to release, by its key")
  add(
    "--seeds",
    default="first",
    help="first, all, or numbers such as 0,2 (default: first)",
  )
  add("--member", type=int, help="which L2 strength and loss weight")
  add(
    "--checkpoint",
    choices=("last", "best"),
    default="last",
    help="best: the weights with the lowest validation loss, once --mode=eval "
    "--config.eval.checkpoint=best has evaluated them (default: last)",
  )
  add("--dtype", choices=("float16", "float32"), default="float16")
  add("--address", help="where the files can be had")
  add("--force", action="store_true", help="replace folders that exist")
  return parser.parse_args(arguments)


def _release(
  flags: argparse.Namespace, out: pathlib.Path, lists: pathlib.Path
) -> None:
  """Builds, measures and lists every network of the runs."""
  sources = [
    found
    for run in flags.runs
    for found in source.networks(
      run,
      flags.runs,
      method=flags.method,
      seeds=predict_flags.parse_seeds(flags.seeds),
      member=flags.member,
      checkpoint=flags.checkpoint,
      dtype=flags.dtype,
    )
  ]
  if not sources:
    raise errors.UserError(
      f"{', '.join(flags.runs)}: there is no network to release.\n"
      "A control is only compared with."
    )
  _refuse_collisions(flags, out, sources)
  for found in sources:
    models = {
      name: weights_lib.encode(
        source.arrays(path, flags.dtype), source.origin(origin)
      )
      for name, path, origin in zip(
        source.file_names(found.chosen.origins),
        found.chosen.paths,
        found.chosen.origins,
        strict=True,
      )
    }
    rows = {"rows": _measured(found, models), **found.beside}
    _refuse_other_numbers(found, rows["rows"])
    folder = out / found.about["name"]
    folders.write(folder, folders.contents(found.about, rows, models))
    folders.add_to_lists(
      lists, found.about, rows, models, address=flags.address
    )
    size = sum(map(len, models.values())) / 1e6
    print(f"{folder}: {found.about['title']}, {size:.2f} MB")


def _refuse_collisions(
  flags: argparse.Namespace,
  out: pathlib.Path,
  sources: Sequence[source.Source],
) -> None:
  names = [found.about["name"] for found in sources]
  for name in names:
    if names.count(name) > 1:
      raise errors.UserError(
        f"{name} is in several of the runs; give one run for it."
      )
    if (out / name).exists() and not flags.force:
      raise errors.UserError(
        f"{out / name} exists.\n--force replaces it; another --out keeps it."
      )


def _measured(
  found: source.Source, models: dict[str, bytes]
) -> list[rows_lib.Row]:
  """Rows measured from the very bytes that are released."""
  # They load JAX.
  from sr2_jax import compilation, cpu_tuning

  cpu_tuning.prepare()
  compilation.use_cache()
  from sr2_jax.release import measuring

  with tempfile.TemporaryDirectory() as name:
    folder = pathlib.Path(name)
    folders.write(folder, {**models, released.SUMS: folders.sums(models)})
    return measuring.measure(found, [folder / path for path in models])


def _refuse_other_numbers(
  found: source.Source, rows: Sequence[rows_lib.Row]
) -> None:
  """Raises UserError if a number is not the run's, up to rounding."""
  before = {row.key: row.value for row in found.beside["float32"]}
  for row in rows:
    if row.key not in before:
      continue
    change = abs(row.value - before[row.key])
    if not change <= _TOLERANCES.get(row.metric, _TOLERANCE):
      raise errors.UserError(
        f"{found.about['name']}: {row.metric} of seed {row.seed} at noise "
        f"{row.noise_variance:g} is {row.value:.4f} from the file, "
        f"{before[row.key]:.4f} in the run.\nThis is more than rounding; "
        "evaluate the run again, or choose --dtype=float32."
      )


def _check(folder: pathlib.Path) -> int:
  """Checks all that is in a folder; returns an exit code."""
  problems = folders.check(folder)
  entries = released.index(folder)
  here = [name for name in entries if (folder / name).exists()]
  if not problems:
    from sr2_jax.training import network

    for name in here:
      network.from_files(choice.find(str(folder / name)).paths)
  size = sum(
    file.stat().st_size for file in folder.rglob("*") if file.is_file()
  )
  if folder.resolve() == released.FOLDER and size > MOST_BYTES_IN_PACKAGE:
    problems.append(
      f"{size:,} bytes; the package has room for {MOST_BYTES_IN_PACKAGE:,}"
    )
  for problem in problems:
    print(problem, file=sys.stderr)
  if problems:
    return errors.TO_FIX
  print(
    f"{len(here)} of {len(entries)} networks are in {folder}, {size:,} bytes; "
    "all is as listed"
  )
  return errors.DONE


if __name__ == "__main__":
  sys.exit(main())
