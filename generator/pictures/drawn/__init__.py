"""The drawn world: pictures of known objects in known places, sizes and lights, drawn by code.

The demo network is trained on them, and measurements are checked against what was drawn."""
