"""The drawn world: pictures drawn by code, whose objects, positions, sizes and lighting are known exactly.

The demo network is trained on them, and measurements are checked against the known truth."""
