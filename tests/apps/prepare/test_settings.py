"""Settings are plain words and plain data."""

from __future__ import annotations

import json

from utad_monai.apps.prepare.settings import REFERENCE_ORDER, PreparationSettings
from utad_monai.data.sequences import RawRole
from utad_monai.keys import Modality


def test_every_modality_has_its_role_and_may_be_the_reference() -> None:
    assert [role.modality for role in RawRole if role.modality] == list(Modality)
    assert set(REFERENCE_ORDER) == set(Modality)
    assert RawRole.SEGMENTATION.modality is None


def test_description_is_plain_data() -> None:
    description = PreparationSettings(reference=Modality.T1).description()
    assert json.loads(json.dumps(description)) == description
    assert description["reference"] == "t1"
    assert description["brain_mask"] == "auto"
