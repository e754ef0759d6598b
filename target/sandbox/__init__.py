"""The sandbox of a candidate: landlock, seccomp, namespaces, resource limits, and the files that each role may use.

Lives here: one module for each layer, and `confinement`, which alone applies them.
May be used by: both sides of the boundary. The evaluator names the layers, the child applies them before anything else.
Trusts: the kernel. It knows no text and no candidate.
"""

from target.sandbox.confinement import (
    LANDLOCK,
    LAYERS,
    Confinement,
    confine,
    isolation_warning,
    layers_of,
    missing_layers,
    refuse_missing_layers,
    scrubbed_environment,
)

__all__ = [
    "LANDLOCK",
    "LAYERS",
    "Confinement",
    "confine",
    "isolation_warning",
    "layers_of",
    "missing_layers",
    "refuse_missing_layers",
    "scrubbed_environment",
]
