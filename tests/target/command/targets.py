"""A target whose number is in a file."""

from __future__ import annotations

from target.command.spec import CommandSpec


def measured_by_file(tmp_path) -> CommandSpec:
    root = tmp_path / "directory"
    root.mkdir(exist_ok=True)
    (root / "tool.py").write_text("")
    return CommandSpec(
        name="command",
        root=root,
        file="tool.py",
        command="python tool.py",
        metric="ratio",
        metric_file="result.json",
        direction="maximize",
        limit_seconds=60,
        device="cpu",
        threads=1,
        disk_bytes=1 << 30,
    )
