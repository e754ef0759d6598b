"""Executors that train on other hosts: through Ray, and through a batch system.

Lives here: the executors, what they start on a host, and what must be equal on all hosts.
May be used by: the configuration, by name. Ray and submitit are imported when they are needed.
Trusts: the hosts and everyone on their network, because Ray asks for no password. Candidates stay in their sandbox.
"""
