"""`stenod hub ...`: the commands for the models. Part of the command line: it prints and exits."""

import os
import sys
import time
from typing import Any

import click
import msgspec

from stenod import config, retention
from stenod.cli_config import settings_for
from stenod.errors import UserError, printable
from stenod.hub import fetch, manifest, names, store

with_config = click.option("--config", "config_file", metavar="FILE", help="The configuration, if not the usual one.")
as_json = click.option("--json", "json_wanted", is_flag=True, help="Print JSON, for programs.")


commands = click.Group("hub")


@commands.command(name="list")
@with_config
@as_json
def list_(config_file: str | None, *, json_wanted: bool) -> None:
    """List the models and what int8 saves."""
    settings = settings_for(config_file)
    models = store.entries(settings.hub)
    used = store.resolve(settings.model.name, settings.hub, settings.model.compute_type)
    configured = used.folder if used else ""
    if json_wanted:
        _print_json([{**msgspec.to_builtins(entry), "configured": entry.folder == configured} for entry in models])
        return
    from stenod import screens_hub

    screens_hub.show_models(settings.hub, models, configured, settings.model.name if not used else "", time.time())


@commands.command()
@click.argument("name")
@click.option("--revision", default="", metavar="COMMIT", help="This commit of the repository, not its newest.")
@click.option("--keep-original", is_flag=True, help="Keep the model as it was published beside its int8 form.")
@click.option("--again", is_flag=True, help="Fetch it although it is there.")
@with_config
@as_json
def pull(
    name: str, revision: str, config_file: str | None, *, keep_original: bool, again: bool, json_wanted: bool
) -> None:
    """Fetch the model NAME and keep it as int8.

    NAME is small, large-v3-turbo, ... or the OWNER/NAME of a repository.
    """
    settings = settings_for(config_file)
    model = settings.model
    there = store.resolve(name, settings.hub, model.compute_type)
    kept = any(entry.name == store.original_of(name) for entry in store.entries(settings.hub))
    is_done = there is not None and (there.is_int8 or not names.wants_int8(model.compute_type))
    if there is not None and is_done and not again and (kept or not keep_original):
        _say(json_wanted, f"{name} is there already: {printable(there.folder)} ({there.form})", folder=there.folder)
        return
    repositories = names.repositories(name, model.compute_type, model.published)
    if keep_original:  # a published int8 model has no original to keep
        repositories = [each for each in repositories if each == names.STANDARD.get(name, each)]
    if not repositories:
        raise UserError(
            f"{name!r} is not the name of a model that can be fetched",
            next_step=f"Known: {', '.join(names.STANDARD)}; or the OWNER/NAME of any repository.",
        )
    request = fetch.Request(
        name=name,
        hub=settings.hub,
        compute_type=model.compute_type,
        repositories=tuple(repositories),
        keep_original=keep_original or model.keep_original,
        revision=revision or (model.revision if name == model.name else ""),
    )
    _fetch(request, json_wanted=json_wanted)


@commands.command()
@click.argument("path", type=click.Path(exists=True, file_okay=False))
@click.option("--name", default="", help="What to call it. Default: the folder's name.")
@with_config
@as_json
def add(path: str, name: str, config_file: str | None, *, json_wanted: bool) -> None:
    """Copy a model from a folder, as int8.

    The folder PATH stays as it is.
    """
    settings = settings_for(config_file)
    name = name or os.path.basename(os.path.abspath(path))
    if any(entry.name == name for entry in store.entries(settings.hub)):
        raise UserError(
            f"there is a model {name!r} in the hub already, and it is left as it is",
            next_step=f"Give this one another --name, or remove that one first: stenod hub remove {name}",
        )
    _quantize(settings, name, os.path.abspath(path), copy=True, json_wanted=json_wanted)


@commands.command()
@click.argument("model", metavar="NAME|PATH")
@with_config
@as_json
def quantize(model: str, config_file: str | None, *, json_wanted: bool) -> None:
    """Make a model int8, once and for good.

    NAME is one of the hub, which is replaced by its int8 form; PATH is a folder, which stays.
    """
    settings = settings_for(config_file)
    if names.is_path(model) or os.path.isdir(model):
        folder = os.path.abspath(os.path.expanduser(model))
        _quantize(settings, os.path.basename(folder), folder, json_wanted=json_wanted)
        return
    candidates = [entry for entry in store.entries(settings.hub) if entry.name == model and not entry.problems]
    if not candidates:
        raise UserError(f"there is no model {model!r} in the hub", next_step=f"Get it with: stenod hub pull {model}")
    wide = next((entry for entry in candidates if not entry.is_int8), None)
    if wide is None:
        _say(json_wanted, f"{model} is int8 already: it is taken as it is", folder=candidates[0].folder)
        return
    _quantize(settings, model, wide.folder, json_wanted=json_wanted)


@commands.command()
@click.argument("name", required=False)
@with_config
@as_json
def verify(name: str | None, config_file: str | None, *, json_wanted: bool) -> None:
    """Check every file of the models.

    Against what was noted when they were made; of NAME alone, if it is given.
    """
    settings = settings_for(config_file)
    models = [entry for entry in store.entries(settings.hub) if name in {None, entry.name}]
    if not models:
        raise UserError(f"there is no model {name!r} in the hub")
    results: list[dict[str, Any]] = []
    for entry in models:
        check = manifest.check(entry.folder, thorough=True)
        problems = list(dict.fromkeys([*check.problems, *entry.problems]))
        results.append(
            {"name": entry.name, "folder": entry.folder, "problems": problems, "manifest": check.has_manifest}
        )
        if not json_wanted:
            known = (
                "every file as it was made" if check.has_manifest else "its files are there (no manifest to compare)"
            )
            print(f"{entry.name}: {'; '.join(problems) if problems else f'sound: {known}'}")
    if json_wanted:
        _print_json(results)
    if any(result["problems"] for result in results):
        if not json_wanted:
            print("Remove a damaged model (stenod hub remove NAME) and fetch it again (stenod hub pull NAME).")
        sys.exit(1)


@commands.command()
@click.option("--dry-run", is_flag=True, help="Say what would go, and remove nothing.")
@with_config
@as_json
def prune(config_file: str | None, *, dry_run: bool, json_wanted: bool) -> None:
    """Remove what the `prune` rules say.

    Those of the configuration; and what interrupted fetches left, after a day.
    """
    settings = settings_for(config_file)
    plan = retention.due(
        store.entries(settings.hub),
        retention.leftovers(settings.hub),
        retention.Rules(settings.prune.hub_size, settings.prune.unused_for),
        _configured_folders(settings),
        time.time(),
    )
    results = [(removal, "") for removal in plan] if dry_run else retention.apply(plan)
    if json_wanted:
        _print_json([{**msgspec.to_builtins(removal), "failed": failed} for removal, failed in results])
    else:
        verb = "would go" if dry_run else "removed"
        for removal, failed in results:
            outcome = f"cannot be removed: {failed}" if failed else verb
            print(f"{printable(removal.name)} ({removal.size_bytes / 1e6:.1f} MB) {outcome}: {removal.reason}")
        freed = sum(removal.size_bytes for removal, failed in results if not failed)
        print(f"{freed / 1e6:.1f} MB {'would be' if dry_run else 'are'} freed." if results else "Nothing to remove.")
    if any(failed for _, failed in results):
        sys.exit(1)


@commands.command()
@click.argument("name")
@with_config
@as_json
def remove(name: str, config_file: str | None, *, json_wanted: bool) -> None:
    """Delete the model NAME."""
    settings = settings_for(config_file)
    models = [entry for entry in store.entries(settings.hub) if entry.name == name]
    if not models:
        raise UserError(f"there is no model {name!r} in the hub")
    for entry in models:
        store.remove(entry)
        size = f"{entry.size_bytes / 1e6:.1f} MB"
        _say(json_wanted, f"{name} removed ({size}): {printable(entry.folder)}", folder=entry.folder)


@commands.command()
@click.argument("name")
@click.argument("files", nargs=-1, metavar="[AUDIO]...", type=click.Path(exists=True, dir_okay=False))
@click.option("--against", default="float32", show_default=True, help="The compute type to compare int8 with.")
@click.option("--original", metavar="NAME|PATH", help="The float model, if it was not kept in the hub.")
@click.option("--reference", metavar="FOLDER", help="Texts of what is said: NAME.txt for each recording.")
@click.option("--language", default="auto", show_default=True, help="The language spoken.")
@with_config
@as_json
def compare(
    name: str,
    files: tuple[str, ...],
    against: str,
    original: str | None,
    reference: str | None,
    language: str,
    config_file: str | None,
    *,
    json_wanted: bool,
) -> None:
    """Measure what int8 saves, and costs.

    Size, load time, memory, speed and words, on this machine: with your own recordings, or with the samples that ship
    with stenod.
    """
    from stenod import bundled, demo, screens_hub
    from stenod import compare as comparison

    settings = settings_for(config_file)
    if not files:
        files = tuple(os.path.join(bundled.SAMPLES, sample.file) for sample in demo.samples())
        reference = reference or bundled.SAMPLES
    texts = [comparison.reference_for(path, reference) if reference else None for path in files]
    options = msgspec.structs.replace(settings.transcription, language=language)
    rows = comparison.run(
        comparison.forms(name, settings.hub, against, original), files, texts, options, settings.model.cpu_threads
    )
    if json_wanted:
        _print_json([screens_hub.comparison_values(row) for row in rows])
    else:
        screens_hub.show_comparison(name, rows)


def _configured_folders(settings: config.Config) -> set[str]:
    entry = store.resolve(settings.model.name, settings.hub, settings.model.compute_type)
    return {entry.folder} if entry else set()


def _quantize(settings: config.Config, name: str, source: str, *, json_wanted: bool, copy: bool = False) -> None:
    compute_type = settings.model.compute_type if names.wants_int8(settings.model.compute_type) else "int8"
    request = fetch.Request(
        name=name,
        hub=settings.hub,
        compute_type=compute_type,
        repositories=(),
        keep_original=settings.model.keep_original,
        source=source,
        copy=copy,
    )
    _fetch(request, json_wanted=json_wanted)


def _fetch(request: fetch.Request, *, json_wanted: bool) -> None:
    from stenod import screens_hub

    fetched = screens_hub.show_fetch(request, quiet=json_wanted)
    _say(
        json_wanted,
        f"{request.name}: {fetched.text}",
        folder=fetched.folder,
        form=fetched.form,
        revision=fetched.revision,
    )


def _say(json_wanted: bool, text: str, **values: str) -> None:  # noqa: FBT001 - passed on as it came
    if json_wanted:
        _print_json(values)
    else:
        print(text)


def _print_json(value: object) -> None:
    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())
