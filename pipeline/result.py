"""What a run came to: the numbers people ask for, as one value, for Python, JSON and the table."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recycle_pipeline.pipeline.config import RunConfig
from recycle_pipeline.pipeline.config_file import read_run_config
from recycle_pipeline.pipeline.importing.request import without_search
from recycle_pipeline.pipeline.manifest import StageEntry, read_manifest
from recycle_pipeline.pipeline.run_folder import RunFolder
from recycle_pipeline.pipeline.stages.pack import FROM_FILE
from recycle_pipeline.pipeline.stages.stage import Context
from recycle_pipeline.pipeline.stages.verify_summary import read_summary
from recycle_pipeline.pipeline.standing import standing


@dataclass(frozen=True)
class RunResult:
    """A finished run.

    Attributes:
        folder: where its files are.
        config: resolved settings.
        stages: the manifest's entry of each stage, by name.
    """

    folder: RunFolder
    config: RunConfig
    stages: dict[str, StageEntry]

    @staticmethod
    def of(context: Context) -> "RunResult":
        """What the folder holds now: the manifest's stages, and verify.json even where a gate was missed.

        Of verify.json what is of the files that are there: `export` may have written others since.
        """
        folder = context.folder
        stages = read_manifest(folder.manifest).stages
        entry = stages.get("verify")
        if folder.verify.is_file() and "export" in stages and (facts := read_summary(folder.verify)):
            nothing = StageEntry("", {}, {}, {}, "", 0.0, {}, {})
            stages["verify"] = dataclasses.replace(entry or nothing, facts=facts)
        # Without an entry a gate was missed, and `export` has taken verify.json away.
        if entry and (stands := standing(folder, {}, entry)).gone:
            if held := stands.holds(stages["verify"].facts):
                stages["verify"] = dataclasses.replace(entry, facts=held)
            else:
                del stages["verify"]
        return RunResult(folder, context.config, stages)

    @property
    def ticket(self) -> Path:
        return self.folder.ticket

    @property
    def models(self) -> dict[str, Path]:
        """The exported forms, by name."""
        return {form: self.folder.model(form) for form in self.config.export}

    def facts(self, stage: str) -> dict[str, Any]:
        """What a stage found; empty where it did not run."""
        entry = self.stages.get(stage)
        return entry.facts if entry else {}

    def to_json(self) -> dict[str, Any]:
        """Plain types, for `--json`."""
        return {
            "schema": 1,
            "kind": "run",
            "folder": str(self.folder.root),
            "files": {name: str(path) for name, path in self._files().items() if path.is_file()},
            "config": self._settings(),
            "stages": {name: {"seconds": e.seconds, **e.facts} for name, e in self.stages.items()},
        }

    def _settings(self) -> dict[str, Any]:
        """Those that hold here: a ticket that was packed from a file has none of a search."""
        settings, pack = self.config.to_dict(), self.stages.get("pack")
        if pack is None or "search" in self.stages or FROM_FILE not in pack.inputs:
            return settings
        return without_search(settings, data="data" in read_run_config(self.folder.config))

    def _files(self) -> dict[str, Path]:
        folder = self.folder
        files = {"ticket": folder.ticket, "verify": folder.verify, "manifest": folder.manifest}
        files |= {"card": folder.card, "report": folder.report}
        return files | {"metrics": folder.metrics} | self.models
