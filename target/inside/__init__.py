"""Code that runs in processes with candidate code, or in the zygote from which they are forked.

Lives here: the zygote, and its children: pre-flight, training, the model server, the start of a device.
May be used by: nothing but the zygote, which is started by name. Nothing here may import `corpus` or `scoring`.
Trusts: no input after the candidate has started. Its own output is not trusted either: `scoring` checks it.
"""
