"""One pass over the pictures: top-9, moments and the residual stream of every channel."""
