"""The command that starts MLflow's user interface."""
