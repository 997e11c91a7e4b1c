"""Cohorts: layouts, splits, preprocessing and memory-mapped slices."""

from utad_monai.data.brain_box import fit_to_brains
from utad_monai.data.cohort import PreparedCohort, prepare_cohort
from utad_monai.data.complete import CompleteSlices, EvaluationCases, InferenceCases, single_case, the_case
from utad_monai.data.layouts import (
    BIDS,
    BRATS_2017_TO_2021,
    BRATS_2023,
    LAYOUTS,
    MSD_TASK01,
    TABLE,
    Case,
    FoundCohort,
    Layout,
    find_cases,
    look_for_cases,
)
from utad_monai.data.paired import PairedSlices, training_slices
from utad_monai.data.preprocessing import Preprocessing, load_case, slice_case
from utad_monai.data.quality.finding import CohortError, Finding
from utad_monai.data.slice_store import SlicedCase, SliceStore, prepare_slices
from utad_monai.data.split import keep_split, split_by_patient
from utad_monai.data.unpaired import EpochSampler, ShuffledSampler, UnpairedSlices

__all__ = [
    "BIDS",
    "BRATS_2017_TO_2021",
    "BRATS_2023",
    "LAYOUTS",
    "MSD_TASK01",
    "TABLE",
    "Case",
    "CohortError",
    "CompleteSlices",
    "EpochSampler",
    "EvaluationCases",
    "Finding",
    "FoundCohort",
    "InferenceCases",
    "Layout",
    "PairedSlices",
    "PreparedCohort",
    "Preprocessing",
    "ShuffledSampler",
    "SliceStore",
    "SlicedCase",
    "UnpairedSlices",
    "find_cases",
    "fit_to_brains",
    "keep_split",
    "load_case",
    "look_for_cases",
    "prepare_cohort",
    "prepare_slices",
    "single_case",
    "slice_case",
    "split_by_patient",
    "the_case",
    "training_slices",
]
