"""A published depth model as a model of the `depth` stage.

Must not know: how a network estimates depth (`large/models.py` opens it by name).
"""

from __future__ import annotations

from services.artifacts import digest
from services.catalogue import digest_of, locate
from services.depth.large.estimator import DepthEstimator
from services.depth.large.models import MODELS, LargeModel
from services.depth.large.writing import write_depth
from services.model_stage import Model
from services.stage import Params, Work


class PublishedModel(Model):
    """The model `name` of `services.profiles.MODELS["depth"]`, with the weights in the weights folder."""

    def __init__(self, name: str, model: LargeModel | None = None) -> None:
        """model: how it is loaded; by default as published."""
        self._name, self._model = name, model or MODELS[name]
        self._estimator: DepthEstimator | None = None

    def weights(self) -> str:
        return digest([digest_of(self._name), self._model.version])

    def load(self, params: Params) -> None:
        if self._estimator is None:
            self._estimator = self._model.load(locate(self._name))

    def run(self, work: Work) -> Params:
        assert self._estimator is not None
        return write_depth(work, self._estimator)
