"""The stages of a job, as pipeline.py calls them. Each takes up where an interrupted run stopped."""
