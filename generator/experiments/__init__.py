"""The papers' designs compared at a small scale, on the drawn world. One file an experiment; `atlas experiments`."""
