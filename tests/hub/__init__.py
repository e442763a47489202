"""The hub, with a server on loopback and real processes."""
