"""What the user asks of a running search: ideas, a pause, its end, trials to leave out; in files of its folder."""
