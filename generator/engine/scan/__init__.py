"""What a pass over the pictures computes, batch by batch: `scan` the top-9 and the statistics of every channel,
`stream_state` and `stream_rescaled` the residual stream, `features` the vector before the classifier.

The passes themselves, which read the pictures and survive an interruption, are stages: `stages/scan.py`,
`stages/stream_readings.py`, `stages/residual_stream.py` and `stages/network_outputs.py`."""
