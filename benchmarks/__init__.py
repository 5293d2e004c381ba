"""Benchmarks: ours and the alternative in turn, in one run, as ratios. Results are in RESULTS.md."""
