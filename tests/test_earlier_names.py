"""What bundles and packages of earlier versions name is still found, and such a package may run untrusted."""

from __future__ import annotations

import importlib
import json
import pydoc
from pathlib import Path

import pytest
from monai.bundle import ConfigParser

from utad_monai.bundle.trust import refuse_untrusted
from utad_monai.earlier_names import EARLIER_NAMES

PACKAGED = Path(__file__).with_name("packaged_inference_0_1.json")
"""The inference config that `utad-monai package` wrote before the sub-packages were laid out anew."""


@pytest.mark.parametrize("name", EARLIER_NAMES)
def test_earlier_name_gives_the_component_itself(name: str) -> None:
    found = pydoc.locate(name)  # as MONAI looks for what a `_target_` names
    assert found is not None
    assert found is pydoc.locate(EARLIER_NAMES[name])


def test_other_names_are_still_unknown() -> None:
    assert pydoc.locate("utad_monai.engines.Nothing") is None
    assert pydoc.locate("utad_monai.checkpoints.nothing") is None
    with pytest.raises(AttributeError, match=r"module 'utad_monai\.errors' has no attribute 'nothing'"):
        importlib.import_module("utad_monai.errors").nothing  # noqa: B018
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("utad_monai.nothing")


def test_config_of_an_earlier_package_is_trusted_and_builds() -> None:
    content = json.loads(PACKAGED.read_text(encoding="utf-8"))
    refuse_untrusted(content, PACKAGED)
    parser = ConfigParser(content)
    assert parser.get_parsed_content("device") is not None
    assert parser.get_parsed_content("network_def").generator.base_channels == 8
    evaluator = parser.get_parsed_content("evaluator", instantiate=False).get_config()
    assert pydoc.locate(evaluator["_target_"]) is pydoc.locate("utad_monai.apps.complete.VolumeSynthesizer")
