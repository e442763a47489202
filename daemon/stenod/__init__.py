"""stenod, the stenographer daemon: recordings go into a folder, transcripts come out."""

__version__ = "0.1.0"
