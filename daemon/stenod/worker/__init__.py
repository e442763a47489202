"""The worker: the only process that loads a model. Started by `stenod.transcriber` as `python -m stenod.worker`."""
