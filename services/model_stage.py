"""A stage whose work several models can do: the request names one, the stage hands over to it.

Must not know: any model. They are made when they are first asked for, so a process only imports and loads what it uses.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping

from services.errors import BadOption
from services.profiles import COMPACT
from services.stage import Params, Stage, Work


class Model(ABC):
    """One way to do a stage's work."""

    @abstractmethod
    def weights(self) -> str:
        """Digest of the weights; "" for a model that has none. Raises NotFound if they are not on this machine."""

    def load(self, params: Params) -> None:
        """Load the weights and warm up; called before every `run`, and cheap from the second time on."""

    @abstractmethod
    def run(self, work: Work) -> Params:
        """See `Stage.run`."""


class ModelStage(Stage):
    """A stage with the choice of `models`, by name; a request that names none gets the compact one."""

    def __init__(self, models: Mapping[str, Callable[[], Model]]) -> None:
        self._makers = dict(models)
        self._made: dict[str, Model] = {}

    def weights(self, params: Params) -> str:
        return self._chosen(params).weights()

    def load(self, params: Params) -> None:
        """Load the model that `params` name; a published one that was loaded for other requests makes room for it."""
        chosen = self._chosen(params)
        self._made = {name: model for name, model in self._made.items() if name == COMPACT or model is chosen}
        chosen.load(params)

    def run(self, work: Work) -> Params:
        return self._chosen(work.params).run(work)

    def _chosen(self, params: Params) -> Model:
        """Raises BadOption for a name that no model has."""
        name = str(params.get("model", COMPACT))
        if name not in self._makers:
            known = ", ".join(self._makers)
            raise BadOption(f"{self.name} has no model {name!r}; its models are {known}.", field="model")
        if name not in self._made:
            self._made[name] = self._makers[name]()
        return self._made[name]
