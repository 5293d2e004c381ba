"""Training studies of network designs on the drawn world, and the training of the demo's own networks.

The only room that trains. Its results are tables, which the site shows; no stage depends on it."""
