"""The gradient of single units at the input pixels, within the unit's cone: guided backpropagation, deconvnet and plain
gradient. `unit_gradients` is the entry; `backward` is the backward pass, `switches` what a forward pass keeps for it.

`methods/gradients.py` turns gradients into pictures."""
