"""Complete a cohort: every missing modality of every case, written, marked and accounted for."""

from utad_monai.apps.complete.case_completer import CaseCompleter, PlannedVolume
from utad_monai.apps.complete.cohort import Completed, Completion, Plan, complete_cohort, merge_shards, plan_completion
from utad_monai.apps.complete.manifest import (
    MANIFEST_FILE,
    MANIFEST_JSON,
    CaseResult,
    VolumeResult,
    log_result,
    write_manifest,
)
from utad_monai.apps.complete.settings import CompletionSettings, Shard, ShardError, chosen_shard
from utad_monai.apps.complete.synthetic_files import SyntheticFiles, write_volume
from utad_monai.apps.complete.volume_synthesizer import VolumeSynthesizer

__all__ = [
    "MANIFEST_FILE",
    "MANIFEST_JSON",
    "CaseCompleter",
    "CaseResult",
    "Completed",
    "Completion",
    "CompletionSettings",
    "Plan",
    "PlannedVolume",
    "Shard",
    "ShardError",
    "SyntheticFiles",
    "VolumeResult",
    "VolumeSynthesizer",
    "chosen_shard",
    "complete_cohort",
    "log_result",
    "merge_shards",
    "plan_completion",
    "write_manifest",
    "write_volume",
]
