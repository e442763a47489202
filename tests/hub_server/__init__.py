"""A hub on loopback for tests: what huggingface.co says to huggingface_hub, from folders, with faults by script."""
