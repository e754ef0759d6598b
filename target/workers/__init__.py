"""Workers, each of which evaluates one program at a time, and the pools that give them tasks.

Lives here: a pool with its queue, the thread that keeps one worker alive, the worker process on this machine.
May be used by: executors, and hosts of a cluster.
Trusts: the worker, which is ours; a worker may die at any time. What it answers was checked by its evaluator.
"""

from target.workers.pool import Pool, Worker, WorkerDied
from target.workers.process import WorkerProcess

__all__ = ["Pool", "Worker", "WorkerDied", "WorkerProcess"]
