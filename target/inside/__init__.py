"""What runs in a process with candidate code, or is the memory that such a process is forked from.

Lives here: the zygote, and its children: pre-flight, training, the model server, the start of a device.
May be used by: nothing but the zygote, which is started by name. Nothing here may import `corpus` or `scoring`.
Trusts: nothing that it hears after the candidate has started, and nobody trusts what it says: `scoring` checks it.
"""
