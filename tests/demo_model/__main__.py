"""The command line of the recipe: `python -m tests.demo_model STEP --work FOLDER`, from the root of the repository.

Each step imports what it uses when it runs: most steps need neither torch nor espeak-ng.
"""
# ruff: noqa: PLC0415

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.demo_model.work import RecipeError, WorkFolder, needed

_STAGES = ("first", "second", "long-prompts")
_TYPES = ("float32", "float16", "int8", "int8_float16")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one step or all of them; the exit status is 1 if a step cannot be done."""
    parsed = _parser().parse_args(arguments)
    if parsed.smoke:
        parsed.english, parsed.german, parsed.shard_size = 400, 80, 120
        parsed.time_scale = 0.02
    work = WorkFolder(parsed.work)
    work.root.mkdir(parents=True, exist_ok=True)
    steps = list(_STEPS) if parsed.step == "all" else [parsed.step]
    try:
        for step in steps:
            print(f"== {step}", flush=True)
            _STEPS[step](work, parsed)
    except RecipeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        print(f"error: {error} (tests/demo_model/__init__.py says what each step needs)", file=sys.stderr)
        return 1
    return 0


def _tokenizer(work: WorkFolder, _: argparse.Namespace) -> None:
    from tests.demo_model.tokenizer import tokenizer_json

    work.tokenizer.write_text(tokenizer_json(), encoding="utf-8")
    print(work.tokenizer)


def _held_out(work: WorkFolder, _: argparse.Namespace) -> None:
    from tests.demo_model.heldout import choose_held_out, read_held_out

    held_out = choose_held_out()
    work.held_out.write_text(held_out.as_text(), encoding="utf-8")
    print(work.held_out)
    if held_out != read_held_out():
        print("these are not the sentences of tests/demo_model/heldout.txt: the grammar has changed")


def _bank(work: WorkFolder, parsed: argparse.Namespace) -> None:
    held_out_file = needed(work.held_out, "heldout")
    from tests.demo_model.bank import shard_files
    from tests.demo_model.heldout import read_held_out
    from tests.demo_model.synthesis import BankSize, write_bank

    if shard_files(work.bank):
        print(f"{work.bank} is there already: remove it to make another one")
        return
    held_out = read_held_out(held_out_file)
    size = BankSize(parsed.english, parsed.german, parsed.shard_size)
    write_bank(work.bank, size, held_out.english + held_out.german)


def _train(work: WorkFolder, parsed: argparse.Namespace) -> None:
    from tests.demo_model.stages import DELIVERED_STAGES, STAGES
    from tests.demo_model.train import TrainOptions, read_training_data, train

    stages = (STAGES[parsed.stage],) if parsed.stage else DELIVERED_STAGES
    data = read_training_data(work)
    for stage in stages:
        train(work, data, stage, TrainOptions(parsed.threads, parsed.time_scale, parsed.start))


def _export(work: WorkFolder, parsed: argparse.Namespace) -> None:
    from tokenizers import Tokenizer

    from tests.demo_model.export import export
    from tests.demo_model.train import load_checkpoint

    tokenizer = Tokenizer.from_file(str(needed(work.tokenizer, "tokenizer")))
    network = load_checkpoint(needed(parsed.checkpoint or work.checkpoint("second"), "train"))
    for quantization in parsed.type or ("float32", "int8"):
        folder = work.model(quantization)
        export(network, tokenizer, quantization, folder)
        print(f"{folder}: {sum(file.stat().st_size for file in folder.iterdir()):,} bytes")


def _evaluate(work: WorkFolder, parsed: argparse.Namespace) -> None:
    held_out_file = needed(work.held_out, "heldout")
    from tests.demo_model.evaluate import Candidate, evaluate, write_report
    from tests.demo_model.evaluation_speech import QUICK_SIZES, SMOKE_SIZES, SetSizes, make_evaluation_speech
    from tests.demo_model.heldout import read_held_out

    candidates = [Candidate(Path(folder), compute_type) for folder, compute_type in parsed.model or ()]
    if not candidates:
        float32, int8 = needed(work.model("float32"), "export"), needed(work.model("int8"), "export")
        candidates = [Candidate(float32, "float32"), Candidate(int8, "int8"), Candidate(float32, "int8")]
    held_out = read_held_out(held_out_file)
    sizes = SMOKE_SIZES if parsed.smoke else QUICK_SIZES if parsed.quick else SetSizes()
    speech = make_evaluation_speech(held_out, sizes, work.evaluation)
    evaluations = [evaluate(candidate, speech, parsed.threads) for candidate in candidates]
    write_report(work.evaluation / "report.json", evaluations)
    print(work.evaluation / "report.json")


_STEPS: dict[str, Callable[[WorkFolder, argparse.Namespace], None]] = {
    "tokenizer": _tokenizer,
    "heldout": _held_out,
    "bank": _bank,
    "train": _train,
    "export": _export,
    "evaluate": _evaluate,
}


def _parser() -> argparse.ArgumentParser:
    common = _group()
    common.add_argument("--work", type=Path, required=True, metavar="FOLDER", help="where all files are written")
    threads = _group()
    threads.add_argument("--threads", type=int, default=2, help="processor threads (default: 2)")
    bank, train, export, evaluate = _bank_options(), _train_options(), _export_options(), _evaluate_options()

    parser = argparse.ArgumentParser(
        prog="python -m tests.demo_model",
        description="Make the demo model: a small Whisper, trained from nothing on speech of espeak-ng.",
    )
    steps = parser.add_subparsers(dest="step", required=True, metavar="STEP")
    steps.add_parser("tokenizer", parents=[common], help="make tokenizer.json out of the words of the grammar")
    steps.add_parser("heldout", parents=[common], help="choose the sentences that the training must not hear")
    steps.add_parser("bank", parents=[common, bank], help="let espeak-ng speak the utterances of the training")
    steps.add_parser("train", parents=[common, threads, train], help="train the network, in two stages")
    steps.add_parser("export", parents=[common, export], help="write model folders for CTranslate2")
    steps.add_parser("evaluate", parents=[common, threads, evaluate], help="measure word error rates")
    everything = steps.add_parser(
        "all", parents=[common, threads, bank, train, export, evaluate], help="all steps in this order"
    )
    everything.add_argument(
        "--smoke", action="store_true", help="far too little of everything, to see that every step works"
    )
    parser.set_defaults(smoke=False)
    return parser


def _bank_options() -> argparse.ArgumentParser:
    group = _group()
    group.add_argument("--english", type=int, default=40_000, metavar="N", help="utterances (default: 40000)")
    group.add_argument("--german", type=int, default=7_000, metavar="N", help="utterances (default: 7000)")
    group.add_argument("--shard-size", type=int, default=2_000, metavar="N", help="utterances a file (default: 2000)")
    return group


def _train_options() -> argparse.ArgumentParser:
    group = _group()
    group.add_argument("--stage", choices=_STAGES, help="one stage only (default: first, then second)")
    group.add_argument("--start", type=Path, metavar="CHECKPOINT", help="begin with these weights")
    group.add_argument(
        "--time-scale", type=float, default=1.0, metavar="X", help="multiplies the minutes of each stage (default: 1)"
    )
    return group


def _export_options() -> argparse.ArgumentParser:
    group = _group()
    group.add_argument("--checkpoint", type=Path, help="the weights (default: those of the second stage)")
    group.add_argument("--type", choices=_TYPES, action="append", help="may be repeated (default: float32 and int8)")
    return group


def _evaluate_options() -> argparse.ArgumentParser:
    group = _group()
    group.add_argument(
        "--model",
        nargs=2,
        action="append",
        metavar=("FOLDER", "COMPUTE_TYPE"),
        help="may be repeated (default: the exported models, and the float32 one computed in int8)",
    )
    group.add_argument("--quick", action="store_true", help="a quarter of the sentences")
    return group


def _group() -> argparse.ArgumentParser:
    """Options to be shared by several steps."""
    return argparse.ArgumentParser(add_help=False)


if __name__ == "__main__":
    sys.exit(main())
