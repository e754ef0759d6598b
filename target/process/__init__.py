"""Process trees, seen from outside: their processes, what they use, what they write, how they end.

Lives here: the clock, the memory and disk that a tree holds, its log, directories that a candidate may have filled.
May be used by: both sides of the boundary. Import its modules one by one: the package exports nothing, to load fast.
Trusts: `/proc` and the kernel. Names and contents of files are hostile: links are not followed, depth is not limited.
"""
