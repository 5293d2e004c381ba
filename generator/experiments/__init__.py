"""Training studies of network designs on the drawn world, and the training of the demo networks.

This is the only room that trains networks. It writes tables, which the site shows. No stage depends on it."""
