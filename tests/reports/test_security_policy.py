"""The policy names exactly the texts that may run."""

from __future__ import annotations

from utad_monai.reports.security_policy import content_security_policy


def test_texts_are_named_by_their_hashes_and_empty_ones_are_not() -> None:
    policy = dict(
        part.split(" ", 1) for part in content_security_policy(["alert(1)", ""], "p { color: red }").split("; ")
    )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == "'sha256-bhHHL3z2vDgxUt0W3dWQOrprscmda2Y5pLsLg4GF+pI='"
    assert policy["style-src"].startswith("'sha256-")
    assert policy["script-src"] != policy["style-src"]
