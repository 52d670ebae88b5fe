"""Compiled HLO as text, read into instructions.

Only what the tables need: shapes with layouts, kinds, operands, the
computations that are called, and the names that JAX gave to operations.
"""

import dataclasses
import functools
import math
import re
from collections.abc import Iterator

# Bits of each type; complex numbers do not occur.
_BITS = {
  "pred": 8, "s2": 2, "u2": 2, "s4": 4, "u4": 4, "s8": 8, "u8": 8, "s16": 16,
  "u16": 16, "bf16": 16, "f16": 16, "s32": 32, "u32": 32, "f32": 32, "s64": 64,
  "u64": 64, "f64": 64, "token": 0, "opaque": 0, "f8e4m3fn": 8, "f8e5m2": 8,
}  # fmt: skip
_ARRAY = re.compile(r"\b([a-z][a-z0-9]*)\[([\d,<=]*)\](?:\{([^}]*)\})?")
_COMPUTATION = re.compile(r"(ENTRY )?%?([\w.\-]+) \(.*\{$")
_INSTRUCTION = re.compile(r"\s+(ROOT )?%?([\w.\-]+) = (.*)$")
_COMMENT = re.compile(r"/\*.*?\*/")
# Attributes that name a computation. Those inside fusions and reductions are
# left out, because their cost counts with the instruction that has them.
_CALLED = re.compile(
  r"\b(?:body|to_apply|calls|true_computation|false_computation)=%?([\w.\-]+)"
)
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")


@dataclasses.dataclass(frozen=True)
class Array:
  """An array of a shape.

  Attributes:
    type: such as "f32".
    sizes: of its axes.
    layout: the text in braces, such as "1,0:T(8,128)S(1)".
  """

  type: str
  sizes: tuple[int, ...]
  layout: str

  @property
  def bytes(self) -> int:
    """Size of its values."""
    return math.prod(self.sizes) * _BITS[self.type] // 8

  @property
  def padded_bytes(self) -> int:
    """Size in memory, where the last axes fill whole tiles."""
    order, _, rest = self.layout.partition(":")
    tile = re.match(r"T\(([\d,]+)\)", rest)
    if not tile or not self.sizes:
      return self.bytes
    # From the slowest axis to the fastest.
    sizes = [self.sizes[int(axis)] for axis in order.split(",")][::-1]
    tiles = [int(size) for size in tile[1].split(",")]
    sizes = [1] * (len(tiles) - len(sizes)) + sizes
    for place, size in enumerate(tiles, len(sizes) - len(tiles)):
      sizes[place] = -(-sizes[place] // size) * size
    return math.prod(sizes) * _BITS[self.type] // 8

  @property
  def memory_space(self) -> int:
    """0 is the device's main memory (HBM); a TPU's 1 is on the chip."""
    space = re.search(r"S\((\d+)\)", self.layout)
    return int(space[1]) if space else 0


@dataclasses.dataclass(frozen=True)
class Instruction:
  """One line of a computation.

  Attributes:
    name: its name, unique in a module.
    shape: text of the shape, a tuple's in parentheses.
    kind: such as "fusion" or "copy".
    operands: names of its operands.
    rest: text of its attributes.
  """

  name: str
  shape: str
  kind: str
  operands: tuple[str, ...]
  rest: str

  @functools.cached_property
  def arrays(self) -> tuple[Array, ...]:
    """Arrays of its result."""
    return tuple(
      Array(
        type_,
        tuple(int(size.lstrip("<=")) for size in sizes.split(",") if size),
        layout or "",
      )
      for type_, sizes, layout in _ARRAY.findall(self.shape)
    )

  @property
  def bytes(self) -> int:
    """Bytes of its result, without padding."""
    return sum(array.bytes for array in self.arrays)

  @property
  def padded_bytes(self) -> int:
    """Bytes of its result in memory."""
    return sum(array.padded_bytes for array in self.arrays)

  @functools.cached_property
  def op_name(self) -> str:
    """JAX's name of the operation; "" if the compiler added it."""
    found = re.search(r'op_name="([^"]*)"', self.rest)
    return found[1] if found else ""

  @functools.cached_property
  def called(self) -> tuple[str, ...]:
    """Names of the computations that it runs, a loop's condition left out."""
    names = _CALLED.findall(self.rest)
    for branches in _BRANCHES.findall(self.rest):
      names += re.findall(r"[\w.\-]+", branches)
    return tuple(names)

  def attribute(self, name: str) -> str:
    """Value of an attribute that is one word or a quoted text; "" if none."""
    found = re.search(rf'\b{name}"?[=:]%?"?([\w.\-$]+)', self.rest)
    return found[1] if found else ""


@dataclasses.dataclass(frozen=True)
class Module:
  """A compiled program.

  Attributes:
    computations: instructions by computation, then by name, in their order.
    entry: name of the computation that runs first.
  """

  computations: dict[str, dict[str, Instruction]]
  entry: str

  @functools.cached_property
  def by_name(self) -> dict[str, Instruction]:
    """All instructions; names are unique in a module."""
    return {
      name: instruction
      for instructions in self.computations.values()
      for name, instruction in instructions.items()
    }

  def turns(self, loop: Instruction) -> int | None:
    """How often a loop runs; None if that is known only at run time.

    A loop with a known number counts from 0, so that its condition compares
    with this number, its only integer constant.
    """
    condition = self.computations[loop.attribute("condition")]
    constants = [
      found[1]
      for x in self._with_fused(condition)
      if x.kind == "constant"
      and re.match(r"[su]\d+\[\]", x.shape)
      and (found := re.match(r"(\d+)\)", x.rest))
    ]
    return int(constants[0]) if len(constants) == 1 else None

  def _with_fused(
    self, instructions: dict[str, Instruction]
  ) -> Iterator[Instruction]:
    for instruction in instructions.values():
      yield instruction
      for name in instruction.called:
        yield from self._with_fused(self.computations[name])

  def inside(self, instruction: Instruction) -> list[Instruction]:
    """Instructions of the computations that it calls, however deep."""
    return [
      inner
      for name in instruction.called
      for inner in self._with_fused(self.computations[name])
    ]


def parse(text: str) -> Module:
  """Module of the text that `jax.stages.Compiled.as_text` returns.

  Raises:
    ValueError: if the text has no entry computation.
  """
  computations: dict[str, dict[str, Instruction]] = {}
  current: dict[str, Instruction] = {}
  entry = ""
  for line in text.splitlines():
    if found := _COMPUTATION.match(line):
      current = computations.setdefault(found[2], {})
      entry = found[2] if found[1] else entry
    elif found := _INSTRUCTION.match(line):
      current[found[2]] = _instruction(found[2], _COMMENT.sub("", found[3]))
  if not entry:
    raise ValueError("this text is no compiled HLO")
  return Module(computations, entry)


def _instruction(name: str, text: str) -> Instruction:
  end = _end_of_parentheses(text) if text.startswith("(") else text.index(" ")
  shape, text = text[:end], text[end:].lstrip()
  kind, _, text = text.partition("(")
  end = _end_of_parentheses(f"({text}") - 1
  inside, rest = text[: end - 1], text[end:]
  if kind in ("constant", "parameter"):
    return Instruction(name, shape, kind, (), text)
  operands = tuple(re.findall(r"%([\w.\-]+)", inside))
  return Instruction(name, shape, kind, operands, rest)


def _end_of_parentheses(text: str) -> int:
  """Position after the parenthesis that closes the first one."""
  depth = 0
  for place, letter in enumerate(text):
    depth += (letter == "(") - (letter == ")")
    if not depth:
      return place + 1
  return len(text)
