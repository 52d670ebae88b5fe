"""What a command has to do, settled before anything is loaded; no JAX."""

import dataclasses
from collections.abc import Sequence

from sr2_jax import errors, paths
from sr2_jax.prediction import choice, command_line, table, work_list


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
  """A command whose files are settled.

  Attributes:
    command: what was asked for.
    chosen: the network.
    listing: what was found.
    every: a job for each image.
    jobs: those to do.
    rows: of the table that is continued, by file.
  """

  command: command_line.Command
  chosen: choice.Choice
  listing: work_list.Listing
  every: tuple[work_list.Job, ...]
  jobs: tuple[work_list.Job, ...]
  rows: dict[str, table.Row]


def prepare(command: command_line.Command) -> Plan:
  """Finds weights and images, and refuses what cannot work; no JAX.

  Raises:
    UserError: says what to change; nothing has been written.
  """
  chosen = command.find()
  if command.classify == "yes" and not chosen.classifies:
    raise errors.UserError(
      f"--classify=yes: {chosen.origins[0].method} has no classifier."
    )
  if command.degrade is not None and chosen.low_res_path:
    raise errors.UserError(
      "--degrade: this network was trained on pairs (config.data.low_res_path="
      f"{chosen.low_res_path}); how they were degraded is not known."
    )
  if command.uncertainty and len(chosen.paths) < 2:
    raise errors.UserError(
      "--uncertainty: one network has no spread; it needs two seeds or more."
    )
  paths.check_writable(command.out, "--out")
  if command.table is not None:
    paths.check_writable(command.table.parent, "--table")
  listing = work_list.find(
    command.images, recursive=command.recursive, skip=command.out
  )
  suffix = command.suffix
  every = work_list.jobs(
    listing.images,
    work_list.Naming(
      folder=command.out,
      suffix=f"_x{chosen.scale}" if suffix is None else suffix,
      kind=command.format,
      spread=command.uncertainty,
      side_by_side=command.side_by_side,
    ),
  )
  rows = _earlier_rows(command)
  jobs = _to_do(command, every, rows)
  return Plan(
    command=command,
    chosen=chosen,
    listing=listing,
    every=tuple(every),
    jobs=tuple(jobs),
    rows=rows,
  )


def _earlier_rows(command: command_line.Command) -> dict[str, table.Row]:
  """Rows of the table that --skip-existing continues."""
  path = command.table
  if path is None or not command.skip_existing or not path.exists():
    return {}
  return {row.file: row for row in table.read(path)}


def _to_do(
  command: command_line.Command,
  every: Sequence[work_list.Job],
  rows: dict[str, table.Row],
) -> list[work_list.Job]:
  """The jobs that --skip-existing leaves; refuses to replace files."""
  if command.force:
    return list(every)
  if not command.skip_existing:
    files = [path for job in every for path in job.outputs]
    if command.table is not None:
      files.append(command.table)
    work_list.refuse_existing([path for path in files if path.exists()])
    return list(every)

  def is_done(job: work_list.Job) -> bool:
    row = rows.get(str(job.path))
    has_row = command.table is None or (row is not None and row.error is None)
    return has_row and all(path.exists() for path in job.outputs)

  return [job for job in every if not is_done(job)]
