"""What a program is: its text, its constants, the rules that its text must keep.

Lives here: `Program`, the constants that operators move, the contract of a `train.py`.
May be used by: everything. It imports nothing but the syntax tree, so it is safe on both sides of the boundary.
Trusts: nothing in a text; whatever does not parse is a `SyntaxError` or a `ContractError`, and no line is ever run.
"""

from target.program.program import Program, canonical

__all__ = ["Program", "canonical"]
