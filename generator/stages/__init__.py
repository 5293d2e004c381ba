"""The stages of a job, as pipeline.py calls them one after the other. Each takes up where an interrupted run stopped."""
