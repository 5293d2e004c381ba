"""The way from a profile to an atlas: the profile, the stages in their order (`pipeline`), their fingerprints, and the
verification of a finished atlas.

A stage reads inputs, calls `engine` and `methods`, and writes its own files through `core.store`. It holds no
mathematics of its own."""
