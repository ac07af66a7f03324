"""The studies by name."""

from __future__ import annotations

from pathlib import Path

from ..core.registry import Registry
from .guided_study import STUDY as GUIDED
from .image_study import STUDY as OMNIGLOT
from .model_studies import STUDIES as MODELS
from .policy_studies import STUDIES as POLICIES
from .proposal_study import STUDIES as PROPOSALS
from .recurrent_studies import STUDIES as RECURRENT
from .study import Study

STUDIES: Registry[Study] = Registry("study", "mppi_maml_ros.studies")
"""All studies by name."""

for _study in (*POLICIES, *RECURRENT, GUIDED, OMNIGLOT, *MODELS, *PROPOSALS):
    STUDIES.register(_study.name, _study)


def with_data(study: Study, folder: Path | None) -> Study:
    """The study, told where its data lie; one that reads none is as it was."""
    return study if study.place is None else study.place(folder)
