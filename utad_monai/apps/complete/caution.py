"""What a user must not believe of images that were made, in one paragraph."""

from __future__ import annotations

from collections.abc import Collection

from utad_monai.keys import Modality

_SHOWS_OEDEMA = {Modality.FLAIR, Modality.T2}


def caution(made: Collection[Modality], sources: Collection[Modality]) -> str:
    """Return the paragraph that belongs to synthetic images.

    Args:
        made: the modalities that were made.
        sources: what they were made from.
    """
    named = " and ".join(filter(None, [", ".join([*made][:-1]), *[*made][-1:]]))
    verb = "is" if len(made) == 1 else "are"
    sentences = [f"What not to believe: synthetic {named or 'images'} {verb} computed, not measured."]
    if Modality.T1CE in made:
        sentences.append("Enhancement is not predicted: a synthetic t1ce does not show what takes up contrast agent.")
    if _SHOWS_OEDEMA & set(made) and not _SHOWS_OEDEMA & set(sources):
        sentences.append("Small oedema is often missed when it is made from t1 or t1ce alone.")
    sentences.append(
        "A tumour that the real images hardly show is hardly there, and one may appear where there is none."
    )
    sentences.append("For research only, not for clinical use.")
    return " ".join(sentences)
