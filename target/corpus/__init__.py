"""The text: downloaded or found, tokenised, split, and hidden from candidates.

Lives here: the held-out text, and the search for copies of it among files that candidates may read.
May be used by: the evaluator and `scoring`. Never by `inside`: a process with candidate code must not hold this text.
Trusts: hashes. Each file of a prepared corpus is compared with the hash that it was written with.
"""

from target.corpus.prepared import BOS, CorpusFiles, find_corpus, prepare_corpus

__all__ = ["BOS", "CorpusFiles", "find_corpus", "prepare_corpus"]
