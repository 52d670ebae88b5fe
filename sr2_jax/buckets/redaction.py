"""Texts of errors without secrets that they may quote; no JAX.

Libraries quote requests: a signed URL, a header, a proxy with its password.
What a run says is kept in logs, which are mirrored and shown to others.
"""

import re

_HIDDEN = "***"
_NAME = (
  r"[\w-]*(?:signature|credential|token|secret|passw|private_?key|assertion"
  r"|authorization|access_?key)[\w-]*"
)
_QUOTE = r"""\\?["']"""
_PLAIN = r"""[^\s"'&,;<>}\\]"""
_RULES = tuple(
  (re.compile(pattern, re.IGNORECASE), replacement)
  for pattern, replacement in (
    # User and password of a URL; its query, which may be signed.
    (r"(\w://)[^/\s@\"']+@", r"\1"),
    (r"(\w://[^\s?\"'<>]*)\?[^\s\"'<>]*", r"\1"),
    (r"\b(bearer|basic)\s+[\w.~+/=-]{8,}", rf"\1 {_HIDDEN}"),
    # After a colon there may be words, as in "ExpiredToken: The provided ...".
    (
      rf"({_NAME}(?:{_QUOTE})?\s*)"
      rf"(?:=\s*(?:{_QUOTE})?{_PLAIN}+|:\s*(?:{_QUOTE}[^\"']+|{_PLAIN}{{16,}}))",
      rf"\1= {_HIDDEN}",
    ),
    (rf"<({_NAME})>[^<]*", rf"<\1>{_HIDDEN}"),
    # Keys of AWS, tokens of Google, signed tokens, keys of service accounts.
    (r"\bA(?:KIA|SIA)[A-Z0-9]{12,}|\bya29\.[\w.-]+", _HIDDEN),
    (r"\beyJ[\w-]{8,}[\w.-]*|-----BEGIN.*", _HIDDEN),
  )
)


def without_secrets(text: str) -> str:
  """A text in which stars are in the place of what may give access."""
  for pattern, replacement in _RULES:
    text = pattern.sub(replacement, text)
  return text
