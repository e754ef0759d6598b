"""The training script that is searched, and its evaluation, which a candidate cannot fake."""
