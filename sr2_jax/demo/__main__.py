"""Writes a page on which anybody can try a trained network.

Usage:
  python -m sr2_jax.demo --weights=NAME|FOLDER|FILE [--out=demo.html]
                         [more flags]
Installed with pip, sr2-demo is the same command.

Example:
  python -m sr2_jax.demo --weights=runs/quickstart --out=demo.html
      One file of about 10 MB. It opens from disk in any browser, on a phone
      too, and asks for nothing from the network.

On the page one draws a digit or drops an image. It is shrunk as the run did,
with noise by a slider, and the network's picture and probabilities are shown
beside bicubic interpolation. The page compares itself with JAX.

Flags:
  --weights=NAME|FOLDER|FILE  A released name, a run folder, a folder of
                              weights in it, or one .safetensors file.
  --method=NAME               Which network of a run folder; the last by
                              default.
  --checkpoint=last|best      Of a folder; "last" by default.
  --seeds=first|N             The seed whose network it is; "first" by default.
  --member=K                  Which L2 strength and loss weight, if there are
                              several; leave it out for a list.
  --out=FILE                  The page; demo.html by default.
  --force                     Replace a file that exists.
  --help                      This text.

Exit codes:
  0    the page is written
  2    something to fix: a flag, the weights, a file; one or two lines say what
  130  stopped by Ctrl-C, 143 by SIGTERM; nothing has been written

Super-resolution draws what is likely, not what was there. Not evidence.
"""

import sys
from collections.abc import Sequence

from sr2_jax import errors, files, program
from sr2_jax.demo import command_line
from sr2_jax.prediction import choice as choice_lib


@program.entry(stopped="stopped by {}; nothing has been written.")
def main(argv: Sequence[str] | None = None) -> int:
  """Runs a command line, program name first, and returns its exit code."""
  argv = sys.argv if argv is None else argv
  if program.asks_for_help(argv[1:]):
    print((__doc__ or "").strip())
    return errors.DONE
  run(command_line.parse(argv[1:]))
  return errors.DONE


def run(command: command_line.Command) -> None:
  """Writes the page that a command asks for.

  Raises:
    UserError: says what to change; nothing has been written.
  """
  chosen = command.find()
  if chosen.low_res_path:
    raise errors.UserError(
      "The page shrinks images as the run did, but this network was trained on "
      f"pairs (config.data.low_res_path={chosen.low_res_path})."
    )
  if command.out.exists() and not command.force:
    raise errors.UserError(f"{command.out} exists; --force replaces it.")
  for note in chosen.notes:
    print(f"note: {note}")
  text, costs = _page(chosen)
  files.write_atomically(command.out, text.encode())
  rounding = ", ".join(
    f"{name.replace('_', '-')} by at most {cost:.1g}"
    for name, cost in costs.items()
    if cost
  )
  print(f"float16 kernels change {rounding or 'nothing'}.")
  print(f"{command.out}: {len(text.encode()) / 1e6:.1f} MB.")


def _page(chosen: choice_lib.Choice) -> tuple[str, dict[str, float]]:
  """The page, and what rounding costs; loads JAX and the network."""
  from sr2_jax import cpu_tuning

  cpu_tuning.prepare()
  from sr2_jax import compilation
  from sr2_jax.demo import content
  from sr2_jax.training import network

  compilation.use_cache()
  members = [origin.member for origin in chosen.origins]
  return content.page_of(
    chosen, network.from_files(chosen.paths, members=members)
  )


if __name__ == "__main__":
  sys.exit(main())
