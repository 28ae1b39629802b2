"""What the numbers and pictures of a foreign data set mean here: a YAML file that its user writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator

from clwm_common.actions import ACTION_DIM
from clwm_common.files.config_files import ConfigFileError, Strict, explain, read_yaml
from clwm_embodichain.exchange.units import GROUPS, Units
from clwm_embodichain.lerobot.layout import DataSetError, Info


class Channels(Strict):
    """Where in `feature` each group lies, in the order of the 30-number layout; a group left out is masked.

    An arm with fewer than seven joints fills the first ones. Poses are xyz in m and a quaternion xyzw.
    """

    feature: str
    left_joints: list[int] = Field(default=[], max_length=7)
    right_joints: list[int] = Field(default=[], max_length=7)
    left_gripper: list[int] = Field(default=[], max_length=1)
    right_gripper: list[int] = Field(default=[], max_length=1)
    left_eef: list[int] = Field(default=[], max_length=7)
    right_eef: list[int] = Field(default=[], max_length=7)

    @model_validator(mode="after")
    def _makes_sense(self) -> Channels:
        used = [index for group in GROUPS for index in getattr(self, group)]
        if not used:
            raise ValueError("no group of channels is given; expected one of " + ", ".join(GROUPS))
        if twice := sorted({index for index in used if used.count(index) > 1}):
            raise ValueError(f"number {twice[0]} of the feature is given twice")
        if min(used) < 0:
            raise ValueError(f"number {min(used)} is negative; expected 0 for the first one")
        for group in ("left_eef", "right_eef"):
            if len(getattr(self, group)) not in (0, 7):
                raise ValueError(f"{group} has {len(getattr(self, group))} numbers; expected 7: xyz and xyzw")
        return self

    def pairs(self) -> list[tuple[int, int]]:
        """(number of the source, number of the layout) of every channel that is there."""
        return [
            (source, place.start + offset)
            for group, place in GROUPS.items()
            for offset, source in enumerate(getattr(self, group))
        ]


class DataSetMap(Units):
    """state: what was measured; action: what was commanded. cameras: name here -> feature of the source.

    picture_size: px of the square pictures made of the middle of each. scene, goal: what episodes are filed under.
    """

    state: Channels
    action: Channels
    cameras: dict[str, str] = Field(min_length=1)
    picture_size: int = Field(default=128, gt=0)
    robot: str | None = None
    scene: str = "imported"
    goal: str = "demonstrated"

    @classmethod
    def load(cls, path: Path) -> DataSetMap:
        """Raises DataSetError, naming file, field, value and what was expected."""
        try:
            return cls.model_validate(read_yaml(path))
        except FileNotFoundError:
            raise DataSetError(f"{path} does not exist; docs/data.md shows how a map is written") from None
        except ConfigFileError as error:
            raise DataSetError(str(error)) from None
        except ValidationError as error:
            raise DataSetError(explain(path, error, cls)) from None

    def check(self, info: Info, folder: Path) -> None:
        """Raises DataSetError for what the data set does not have."""
        for name in (self.state.feature, self.action.feature):
            self._known(name, info, folder, pictures=False)
        for name in self.cameras.values():
            self._known(name, info, folder, pictures=True)
        for where, channels in (("state", self.state), ("action", self.action)):
            width = info.features[channels.feature].shape[0]
            if beyond := [source for source, _ in channels.pairs() if source >= width]:
                raise DataSetError(f"field '{where}': '{channels.feature}' has {width} numbers, and no {beyond[0]}")
        if {to for _, to in self.state.pairs()} != {to for _, to in self.action.pairs()}:
            raise DataSetError("fields 'state' and 'action' fill different channels of the layout; expected the same")

    @staticmethod
    def _known(name: str, info: Info, folder: Path, *, pictures: bool) -> None:
        there = [known for known, feature in info.features.items() if feature.is_pictures == pictures]
        if name not in there:
            what = "pictures" if pictures else "numbers"
            raise DataSetError(f"{folder} has no {what} called '{name}'; expected one of {', '.join(there)}")

    def mask(self) -> NDArray[np.bool_]:
        """(30,) which channels the source fills."""
        found = np.zeros(ACTION_DIM, bool)
        found[[to for _, to in self.state.pairs()]] = True
        return found

    def rows(self, channels: Channels, values: NDArray[Any]) -> NDArray[np.float64]:
        """Values (T, n) of a feature as rows (T, 30) in m and rad; masked channels are 0."""
        found = np.zeros((len(values), ACTION_DIM))
        for source, to in channels.pairs():
            found[:, to] = values[:, source]
        return self.physical(found, self.mask())
