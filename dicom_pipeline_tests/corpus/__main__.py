"""Write the corpus to a folder: ``python -m dicom_pipeline_tests.corpus --out DIR``."""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

from dicom_pipeline_tests.corpus.cases import Expectation, Fails
from dicom_pipeline_tests.corpus.catalogue import all_cases, core_cases


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m dicom_pipeline_tests.corpus", description=__doc__
    )
    parser.add_argument("--out", type=Path, required=True, help="a folder, made if need be")
    parser.add_argument("--core", action="store_true", help="only the objects of every run")
    arguments = parser.parse_args()
    out: Path = arguments.out
    out.mkdir(parents=True, exist_ok=True)
    index = {}
    for case in core_cases() if arguments.core else all_cases():
        expectation = case.write(out / f"{case.name}.dcm")
        index[case.name] = _told(expectation)
        if not isinstance(expectation, Fails):
            np.save(out / f"{case.name}.npy", expectation.pixels)
    (out / "corpus.json").write_text(json.dumps(index, indent=1, sort_keys=True) + "\n")


def _told(expectation: Expectation) -> dict[str, Any]:
    if isinstance(expectation, Fails):
        return {"fails": sorted(expectation.codes)}
    return {"shown": list(expectation.pixels.shape), "tolerance": expectation.tolerance}


if __name__ == "__main__":
    main()
