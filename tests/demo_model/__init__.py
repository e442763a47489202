"""How the demo model in hub/demo is made: a small Whisper, trained from nothing on synthetic speech.

`python -m tests.demo_model --help`, from the root of the repository, lists the steps; hub/README.md says what the
model is good for. The steps `tokenizer` and `heldout` need only what the daemon needs; `bank` and `evaluate` need
espeak-ng's library, `bank` also scipy; `train` and `export` need torch:

    apt-get install espeak-ng
    pip install -e . torch==2.13.0 scipy

Nothing in this package does anything when it is imported, and every step writes only below its `--work` folder.
"""
