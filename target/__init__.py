"""The training script that is searched, and the evaluation of it that nobody can fake."""
