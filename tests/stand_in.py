"""Ends as a run does, but trains nothing. Plain Python: it starts in no time.

It takes ten steps and saves each, unless `orders.json` in its run folder says
otherwise:

starts  of how many starts this holds; of all, if it is not there
codes   {process: exit code}: with which each ends after a step; the others
        stay
holds   whether no step is taken until the file is gone
deaf    how many signals to stop are not heeded
takes   seconds until it is done
done    whether DONE is there when it ends with a code
fills   whether the disk is full from now on
"""

import fcntl
import json
import os
import pathlib
import signal
import sys
import time

STEPS = 10
_LONGEST = 150.0  # seconds


def main(arguments):
  flags = dict(word.split("=", 1) for word in arguments if "=" in word)
  folder = pathlib.Path(flags["--workdir"])
  folder.mkdir(exist_ok=True)
  rank = flags.get("--process_id", "0")
  if rank == "0":
    # Of any config: what it lacks does not differ.
    (folder / "config.json").write_text('{"config": {}}')
  signals = []
  for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, lambda number, _: signals.append(number))
  with (folder / f"starts.{rank}").open("a+") as file:
    file.write(f"{os.getpid()}\n")
    file.seek(0)
    start = len(file.readlines())
  lock = (folder / ".lock").open("a")
  if rank == "0":
    try:
      fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
      return 4
  begin = time.monotonic()
  while not (folder / "DONE").exists():
    assert time.monotonic() - begin < _LONGEST
    orders = _orders(folder / "orders.json", start)
    if len(signals) > orders.get("deaf", 0):
      return 128 + signals[0]
    if not orders.get("holds") and rank == "0":
      try:
        if orders.get("fills"):
          (folder / "filler").write_bytes(bytes(1 << 20))
        is_last = _step(folder / "metrics.jsonl")
      except OSError as error:
        print(error)
        return 2
      if is_last and "codes" not in orders:
        time.sleep(orders.get("takes", 0))
        (folder / "DONE").touch()
    if rank in orders.get("codes", {}):
      if orders.get("done"):
        (folder / "DONE").touch()
      return orders["codes"][rank]
    time.sleep(0.1)
  return 0


def _orders(path, start):
  try:
    orders = json.loads(path.read_text())
  except (OSError, ValueError):
    return {}
  return orders if start <= orders.get("starts", start) else {}


def _step(path):
  text = path.read_text() if path.exists() else ""
  step = text.count("\n") + 1
  with path.open("a") as file:
    file.write(json.dumps({"phase": "pretrain", "step": step}) + "\n")
  return step >= STEPS


if __name__ == "__main__":
  sys.exit(main(sys.argv[1:]))
