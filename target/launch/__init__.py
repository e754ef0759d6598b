"""The evaluator's side of the zygote: starts it, lets it fork children, gives them a workspace, and ends them in time.

Lives here: `launcher`, the workspaces, the second try after a zygote died, the test of the layers of isolation.
May be used by: evaluators and `scoring`. It never imports `inside`: the zygote is a separate process, started by name.
Trusts: the zygote until a child runs. Files that a child left in its workspace are hostile.
"""
