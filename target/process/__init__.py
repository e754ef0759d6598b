"""Process trees, seen from outside: who is in one, what it uses, what it writes, how it ends.

Lives here: the clock, the memory and disk that a tree holds, its log, directories that a candidate may have filled.
May be used by: both sides of the boundary. Import its modules one by one: the room exports nothing, to stay cheap.
Trusts: `/proc` and the kernel. Names and contents of files are hostile: links are not followed, depth is not limited.
"""
