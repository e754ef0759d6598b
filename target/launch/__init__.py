"""The evaluator's end of the zygote: starts it, has it fork children, gives them a workspace, ends them by the clock.

Lives here: `launcher`, the workspaces, the second try after a zygote died, the trial of the layers of isolation.
May be used by: evaluators and `scoring`. It never imports `inside`: the zygote is started by name, in a process apart.
Trusts: the zygote until a child runs. What a child left in its workspace is hostile.
"""
