"""From a torch module to a flat list of steps: tracing, operations, the graph and its forward pass, receptive fields,
residual blocks, weights files; and the networks that the atlas knows by name (`models`, one file per family).

Nothing here reads a picture or computes a gradient."""
