"""Values that nobody expects, as JSON has them and as they are typed."""

# As JSON, by a short name.
AS_JSON = {
  "null": "null",
  "true": "true",
  "false": "false",
  "0": "0",
  "1": "1",
  "-1": "-1",
  "0.5": "0.5",
  "3e9": "3000000000",
  "2**63": str(2**63),
  "10**400": "1" + "0" * 400,
  "10**5000": "1" + "0" * 5000,
  "1e300": "1e300",
  "1e400": "1e400",
  "NaN": "NaN",
  "-Infinity": "-Infinity",
  "text": '"odd"',
  "no text": '""',
  "a number as text": '"1"',
  "a line": r'"a\nb\u001b[31m"',
  "a null character": r'"a\u0000b"',
  "half a character": r'"\ud800"',
  "long text": '"' + "x" * 100_000 + '"',
  "up": '"../../guard"',
  "URL": '"gs://bucket/x"',
  "list": "[]",
  "list of text": '["odd"]',
  "list of lists": "[[1], [2]]",
  "list of null": "[null]",
  "object": "{}",
  "object with a key": '{"odd": 1}',
  "deep": "[" * 100_000 + "]" * 100_000,
  "deep objects": '{"a":' * 5_000 + "1" + "}" * 5_000,
}

# What is long has a name in cases.
_LONG = {
  "<10**400>": "1" + "0" * 400,
  "<10**5000>": "1" + "0" * 5000,
  "<300 letters>": "x" * 300,
  "<5000 letters>": "x" * 5000,
  "<600 folders>": "a/" * 600,
}

# As typed after "--flag=".
TYPED = (
  "", " ", "0", "1", "-1", "2", "3", "0.5", "-0.0", "1e-400", "1e39", "1e400",
  "3000000000", "4294967296", str(2**63), *_LONG,
  "nan", "inf", "-inf", "1_000", "٣", "0x10", "1e3", "None", "null", "true",
  "maybe", "()", "[]", "1,1", "1,2", "2,1", ",", "1,", "a,b", "(1, 2)",
  "odd", "a b", "a\nb", "a\x1b[31mb", "a\0b", "\udcff", "é", ".", "here",
  "nowhere/here", "file.txt",
  "file.txt/below", "fifo", "dangling", "loop", "/dev/null",
  "/dev/null/x", "gs://bucket/x", "~nobody/x", "*", "[", "{}", "%s", "$x",
  "--", "-", "=", "last", "best", "test", "validation", "all", "auto", "none",
)  # fmt: skip

# As an experiment file has them.
PYTHON = (
  "None", "True", "0", "1", "-1", "2", "2.0", "0.5", "-0.0", "2**31", "2**63",
  "10**400", "1e39", "1e300", "float('inf')", "float('nan')", "'odd'", "''",
  "'1'", "'a\\nb'", "'a\\x00b'", "'\\ud800'", "'x' * 5000", "b'odd'", "()",
  "(1,)", "(1.0, 2.0)", "(1, 1)", "[1, 2]", "('odd',)", "(None,)", "((1,),)",
  "(float('nan'),)", "(10**400,)", "{1, 2}", "{'a': 1}", "object()", "print",
  "1j", "range(3)", "type('L', (list,), {})()",
  "__import__('ml_collections').ConfigDict({'odd': 1})",
  "__import__('numpy').float32(1)", "__import__('numpy').arange(2)",
  "__import__('pathlib').Path('odd')", "__import__('decimal').Decimal(1)",
  "__import__('fractions').Fraction(1, 2)",
)  # fmt: skip


def typed(word: str) -> str:
  """A word of a command with the values that a case only names."""
  for name, value in _LONG.items():
    word = word.replace(name, value)
  return word
