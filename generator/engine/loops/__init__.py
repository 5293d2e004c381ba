"""Loops compiled by numba for the CPU. Each has an equivalent in torch and a test that both agree."""
