"""The address of a Ray cluster, where somebody should listen; no Ray."""

import socket

from sr2_jax import errors


def check(address: str) -> None:
  """Refuses one where nobody listens; Ray waits for minutes there.

  Raises:
    UserError: says why.
  """
  if "://" in address:
    raise errors.UserError(
      f"--address={address} has to be HOST:PORT of the cluster's head, as in "
      'head:6379, or "auto"; no URL.'
    )
  name, colon, port = address.rpartition(":")
  if colon and name and port.isdigit():
    try:
      socket.create_connection((name, int(port)), timeout=10).close()
    except (OSError, OverflowError) as error:
      raise nobody(address, error) from error


def nobody(address: str, error: Exception) -> errors.UserError:
  """That there is no cluster, and the first line that says why."""
  first = (str(error).strip() or type(error).__name__).splitlines()[0]
  return errors.UserError(
    f"--address={address}: there is no Ray cluster ({first})."
  )
