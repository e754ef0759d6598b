"""Programs: their text, their constants, and the rules for their text.

Lives here: `Program`, the constants that operators change, the contract of a `train.py`.
May be used by: everything. It imports nothing but the syntax tree, so it is safe on both sides of the boundary.
Trusts: no text. A text that does not parse is a `SyntaxError` or a `ContractError`, and no line of it is ever run.
"""

from target.program.program import IDS_BY, Program, canonical

__all__ = ["IDS_BY", "Program", "canonical"]
