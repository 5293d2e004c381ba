"""The arithmetic that runs on the device: the scan over pictures (`scan`), gradients of single units (`gradients`),
activation maximisation (`ascent`), and loops compiled for the CPU (`loops`).

It takes tensors and returns tensors. Reading pictures, checkpoints and files is the stages' work."""
