"""The arithmetic that runs on the device: the scan over pictures (`scan`), gradients of single units, as in
guided backpropagation (`gradients`; the rules for a ReLU are in `relu_rules`), activation maximisation (`ascent`), and
loops compiled for the CPU (`loops`).

It takes tensors and returns tensors. Reading pictures, checkpoints and files is the stages' work."""
