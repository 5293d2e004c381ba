"""The way from a profile to an atlas: `pipeline` (the whole way on one page), `table` (one row per stage), the profile,
and the repair and verification of a finished atlas. `keys` has the fingerprints, which decide what is computed again;
by `checkpointed_pass` a long stage survives an interruption.

A stage is one file. It takes the inputs (`Inputs`) and the run (`Run`), calls `engine` and `methods`, and writes its
own files through `core.store`. It holds no mathematics of its own."""
