#!/usr/bin/env python3
"""Makes the tables of crates/control/src/catalogue/data from an installed peer, with its own Python:

    python catalogue.py crates/control/src/catalogue/data

`models.tsv` has one model a line and, after a tab, the provider that the peer sees in its name; the others are answers
of the peer as they are.
"""

import json
import pathlib
import sys

from openhands.sdk.llm.utils.unverified_models import (
    _extract_model_and_provider,
    _get_litellm_provider_names,
    get_supported_llm_models,
)
from openhands.sdk.llm.utils.verified_models import VERIFIED_MODELS


def main(folder):
    folder = pathlib.Path(folder)
    models = sorted(set(get_supported_llm_models()))
    lines = [f"{model}\t{_extract_model_and_provider(model)[0]}\n" for model in models]
    (folder / "models.tsv").write_text("".join(lines))
    for name, answer in {
        "providers": {"providers": sorted(_get_litellm_provider_names())},
        "verified": {"models": VERIFIED_MODELS},
    }.items():
        (folder / f"{name}.json").write_text(json.dumps(answer, separators=(",", ":")) + "\n")


main(sys.argv[1])
