"""What the fetching process does with a model: has it downloaded, checks it, quantises it, gives it its place."""

import os
import shutil
from typing import Literal, cast

import stenod
from stenod import bundled, ctmodel, durable, quantize
from stenod.errors import UserError, printable
from stenod.hub import download, manifest, names, placing, store
from stenod.hub.fetch import Fetched, FetchError, Progress, Report, Request, Step

MEGABYTE = 1_000_000
_INT8_SHARE = 0.55  # of a float16 model; of a float32 one it is half that
_SPARE = 1.05


def make(request: Request, report: Report) -> Fetched:
    """Do what `fetch.fetch` says. Raise UserError."""
    folder = names.folder_name(request.name)
    if not folder or folder.startswith((".", "models--")) or "\0" in folder:
        raise FetchError(f"{request.name!r} cannot be the name of a model")
    if os.path.realpath(os.path.join(request.hub, folder)) == os.path.realpath(bundled.DEMO_MODEL):
        raise FetchError("the demo model is part of stenod and stays as it is")
    job = _Job(request, folder, report)
    try:
        with placing.claim(job.work):
            if placing.place(job.hub, job.work):  # an earlier attempt came this far
                done = job.finished()
                if done is not None:
                    return done
        with placing.claim(job.work):
            try:
                return job.run()
            except BaseException:
                placing.undo(job.work)
                raise
    except OSError as error:
        raise download.explain_file_error(error, job.hub) from error


class _Job:
    """One model on its way into the hub."""

    def __init__(self, request: Request, folder: str, report: Report) -> None:
        self.hub = os.path.abspath(request.hub)
        self.work = placing.work_folder(self.hub, folder)
        self._request = request
        self._folder = folder
        self._target = os.path.join(self.hub, folder)
        self._download = os.path.join(self.work, placing.DOWNLOAD)
        self._parts = os.path.join(self.work, placing.PARTS)
        self._report = report

    def finished(self) -> Fetched | None:
        """Return the model if it is in its place in the wanted form."""
        found = store.describe(self._target, self._request.name, "plain")
        noted = manifest.read(self._target)
        if noted is None or found.problems or found.is_int8 != names.wants_int8(self._request.compute_type):
            return None
        return self._fetched(noted, "an interrupted fetch is finished: ")

    def run(self) -> Fetched:
        """Make it, holding the work folder."""
        return self._from_folder() if self._request.source else self._from_network()

    def _from_network(self) -> Fetched:
        request, wants_int8 = self._request, names.wants_int8(self._request.compute_type)
        repository = self._look()
        self._check_space(repository)
        self._get(repository)
        form = self._form(repository)
        if form == "int8" and not wants_int8:
            raise FetchError(
                f"{repository.name} has int8 weights only, and compute type {request.compute_type} needs others",
                next_step="Set the compute type to int8, or name a repository with float weights.",
            )
        files = {
            file.name: manifest.FileRecord(
                os.path.getsize(os.path.join(self._download, file.name)),
                file.sha256 or manifest.sha256(os.path.join(self._download, file.name)),
            )
            for file in repository.files
        }
        original = self._manifest(form, files, repository.name, repository.commit)
        if form == "int8" or not wants_int8:
            manifest.write(self._download, original)
            already = " already, taken as it is" if wants_int8 else ""
            return self._placed(placing.DOWNLOAD, original, f"{repository.name} is {form}{already}: ")
        if request.keep_original:
            manifest.write(self._download, original)
        return self._quantised(self._download, original, "download" if request.keep_original else "")

    def _look(self) -> download.Repository:
        """Return the first of the repositories that can be used. Raise FetchError if there is none."""
        request = self._request
        refusals: list[download.RefusedError] = []
        for name in request.repositories:
            self._say("looking", f"for {request.name} in {name}")
            try:
                return download.look(name, request.revision)
            except download.RefusedError as error:
                refusals.append(error)
        if not refusals:
            raise FetchError(
                f"nobody knows where model {request.name!r} is published",
                next_step=download.suggestion(request.name) or "Name a repository: OWNER/NAME.",
            )
        if len(refusals) == 1:
            raise refusals[0]
        raise FetchError(
            f"model {request.name} cannot be fetched: none of its repositories can be used",
            problems=tuple(refusal.message for refusal in refusals),
            next_step=refusals[-1].next_step,
        )

    def _check_space(self, repository: download.Repository) -> None:
        """See to it that the original and its int8 form fit on the disk at once."""
        to_load_bytes = weights_bytes = 0
        for file in repository.files:
            there = [os.path.join(self._download, file.name), self._part(file)]
            there_bytes = sum(os.path.getsize(path) for path in there if os.path.isfile(path))
            to_load_bytes += max(0, (file.size_bytes or 0) - there_bytes)
            weights_bytes += file.size_bytes or 0 if file.name == "model.bin" else 0
        # Whether it is int8 already shows only once it is there; the published ones say so in their names.
        is_float = names.wants_int8(self._request.compute_type) and "int8" not in repository.name.lower()
        int8_bytes = round(weights_bytes * _INT8_SHARE) if is_float else 0
        needed_bytes, free_bytes = round((to_load_bytes + int8_bytes) * _SPARE), shutil.disk_usage(self.work).free
        if needed_bytes > free_bytes:
            raise FetchError(
                f"there is not enough space in {printable(self.hub)} for {repository.name}: it needs "
                f"{needed_bytes / MEGABYTE:.0f} MB ({to_load_bytes / MEGABYTE:.0f} MB to download, "
                f"{int8_bytes / MEGABYTE:.0f} MB for its int8 form), and {free_bytes / MEGABYTE:.0f} MB are free",
                next_step="Make room on this file system.",
                retryable=True,
            )

    def _get(self, repository: download.Repository) -> None:
        """Have exactly the files of `repository` in the download folder, each of them checked."""
        wanted = {
            self._download: {file.name for file in repository.files},
            self._parts: {os.path.basename(self._part(file)) for file in repository.files},
        }
        for folder, kept in wanted.items():
            os.makedirs(folder, exist_ok=True)
            for name in set(os.listdir(folder)) - kept:  # of another commit, or of an attempt that went further
                placing.delete(os.path.join(folder, name))
        total_bytes = sum(file.size_bytes or 0 for file in repository.files)
        before_bytes, text = 0, ""

        def report(step: Step, done_bytes: int, size_bytes: int) -> None:
            if step == "downloading":
                done_bytes, size_bytes = before_bytes + done_bytes, max(total_bytes, before_bytes + done_bytes)
            self._say(step, text, done_bytes, size_bytes)

        # The small ones first: much of what can be wrong shows before the gigabytes are there.
        for file in sorted(repository.files, key=lambda file: file.size_bytes or 0):
            text = f"{repository.name} {file.name}"
            download.get(file, repository, self._part(file), os.path.join(self._download, file.name), report)
            before_bytes += file.size_bytes or 0
        durable.sync_folder(self._download)

    def _part(self, file: download.RemoteFile) -> str:
        return os.path.join(self._parts, f"{file.identity or 'unknown'}-{file.name}")

    def _form(self, repository: download.Repository) -> str:
        """Return the form of what has been downloaded. Raise FetchError, and drop it, if it is no Whisper."""
        try:
            model = ctmodel.inspect(os.path.join(self._download, "model.bin"))
            problem = "" if model.specification == "WhisperSpec" else f"it is a {printable(model.specification)}"
        except UserError as error:
            problem = error.message
        if problem:
            placing.delete(self._download)
            raise FetchError(f"{repository.name} has no Whisper model in CTranslate2's format", problems=(problem,))
        return store.form_of(model)

    def _from_folder(self) -> Fetched:
        request, source = self._request, os.path.abspath(self._request.source)
        if not names.wants_int8(request.compute_type):
            raise FetchError(f"compute type {request.compute_type} leaves nothing to quantise")
        if not os.path.isdir(source):
            raise FetchError(f"{printable(source)} is not a folder")
        found = store.describe(source, request.name, "plain")
        if found.problems:
            raise FetchError(f"model {printable(source)} is not whole", problems=found.problems)
        noted = manifest.read(source)
        if noted is None:
            noted = self._manifest(found.form, {}, *_origin(source))
        if found.is_int8 and request.copy:
            return self._copied(source, noted)
        if found.is_int8:
            placing.clear(self.work)
            text = f"{printable(source)} is int8 already, taken as it is"
            return Fetched(source, noted.source, noted.revision, "int8", text)
        is_own = os.path.realpath(source) == os.path.realpath(self._target)
        keep = is_own and request.keep_original
        if keep and not noted.files:
            placing.delete(os.path.join(source, f"{manifest.FILE}.tmp"))  # of an attempt that was killed: no file of it
            noted = self._manifest(found.form, manifest.records(source), noted.source, noted.revision)
            manifest.write(source, noted)
        fetched = self._quantised(source, noted, "replaced" if keep else "")
        if not request.keep_original:
            self._remove_cached(source)
        return fetched

    def _copied(self, source: str, noted: manifest.Manifest) -> Fetched:
        """Put a copy of the int8 model in `source` into its place."""
        made = os.path.join(self.work, placing.QUANTIZED)
        placing.delete(made)
        os.makedirs(made)
        for name in (quantize.MODEL, *quantize.others_of(source)):
            with open(os.path.join(source, name), "rb") as original, open(os.path.join(made, name), "xb") as copy:
                shutil.copyfileobj(original, copy)
                copy.flush()
                os.fsync(copy.fileno())
        files = manifest.records(made)
        changed = tuple(f"{name} has changed" for name in files if noted.files.get(name, files[name]) != files[name])
        if changed:
            raise FetchError(f"model {printable(source)} is damaged", problems=changed)
        noted = self._manifest(
            "int8",
            files,
            noted.source,
            noted.revision,
            original_size_bytes=noted.original_size_bytes,
            quantized_from=noted.quantized_from,
        )
        manifest.write(made, noted)
        durable.sync_folder(made)
        return self._placed(placing.QUANTIZED, noted, f"copied from {printable(source)}: ")

    def _remove_cached(self, source: str) -> None:
        """Remove what was quantised if it is a model of the hub in Hugging Face's cache layout, its only revision."""
        snapshots = os.path.dirname(source)
        cache, is_only = os.path.dirname(snapshots), len(os.listdir(os.path.dirname(source))) == 1
        is_cache = names.of_cache_folder(os.path.basename(cache)) is not None
        if is_cache and is_only and os.path.basename(snapshots) == "snapshots" and os.path.dirname(cache) == self.hub:
            placing.delete(cache)

    def _quantised(
        self, source: str, original: manifest.Manifest, keep: Literal["", "download", "replaced"]
    ) -> Fetched:
        """Make the int8 form of the model in `source`, verified, and put it in its place."""
        made = os.path.join(self.work, placing.QUANTIZED)
        placing.delete(made)
        wanted = self._request.compute_type
        result = quantize.quantize(
            source,
            made,
            cast("ctmodel.ComputeType", wanted if wanted in ctmodel.COMPUTE_TYPES else "int8"),
            lambda done, total: self._say("quantising", f"{original.form} -> int8", done, total),
        )
        noted = self._manifest(
            "int8",
            {file.name: manifest.FileRecord(file.size_bytes, file.sha256) for file in result.files},
            original.source,
            original.revision,
            original_size_bytes=result.source_size_bytes,
            quantized_from=original.form,
        )
        manifest.write(made, noted)
        size_bytes = noted.files["model.bin"].size_bytes
        sizes = f"{result.source_size_bytes / MEGABYTE:.0f} -> {size_bytes / MEGABYTE:.0f} MB"
        return self._placed(placing.QUANTIZED, noted, f"{original.form} made int8, {sizes}: ", keep)

    def _placed(
        self, made: str, noted: manifest.Manifest, text: str, keep: Literal["", "download", "replaced"] = ""
    ) -> Fetched:
        found = store.describe(os.path.join(self.work, made), self._request.name, "plain")
        if found.problems:
            raise FetchError(f"model {self._request.name} is not whole", problems=found.problems)
        placing.commit(self.work, placing.Ready(self._folder, made, noted, keep))
        placing.place(self.hub, self.work)
        return self._fetched(noted, text)

    def _fetched(self, noted: manifest.Manifest, text: str) -> Fetched:
        return Fetched(self._target, noted.source, noted.revision, noted.form, text + printable(self._target))

    def _manifest(
        self,
        form: str,
        files: dict[str, manifest.FileRecord],
        source: str,
        revision: str,
        *,
        original_size_bytes: int = 0,
        quantized_from: str = "",
    ) -> manifest.Manifest:
        return manifest.Manifest(
            name=self._request.name,
            form=form,
            source=source,
            revision=revision,
            original_size_bytes=original_size_bytes,
            quantized_from=quantized_from,
            stenod=stenod.__version__,
            made_at=manifest.now_text(),
            files=files,
        )

    def _say(self, step: Step, text: str, done_bytes: int = 0, total_bytes: int = 0) -> None:
        self._report(Progress(step, done_bytes, total_bytes, text))


def _origin(source: str) -> tuple[str, str]:
    """Return where the model in the folder `source` comes from: the repository and commit of a cache, or the folder."""
    snapshots, revision = os.path.split(source)
    cache = os.path.basename(os.path.dirname(snapshots))
    if os.path.basename(snapshots) == "snapshots" and names.of_cache_folder(cache) is not None:
        return cache.partition("--")[2].replace("--", "/", 1), revision
    return printable(source), ""
