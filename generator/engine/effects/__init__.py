"""What channels do to the network's answer: the backward pass of whole pictures from one output, and what is kept of
it."""
