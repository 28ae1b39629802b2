"""Where a camera's pictures come from, as `camera_sources` of a robot's file says, and what is made of them."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import AfterValidator, Field, PositiveInt, model_validator

from clwm_common.files.config_files import Strict
from clwm_common.names import topic_name

OwnTopic = Annotated[str, AfterValidator(lambda name: name and topic_name(name))]
_UNIT = 1e-3  # how far from 1 the length of a written quaternion may be


class Crop(Strict):
    """The part of a picture that is used, px of the picture as it is sent (rectified, if it is)."""

    left: int = Field(ge=0)
    top: int = Field(ge=0)
    width: int = Field(ge=1)
    height: int = Field(ge=1)


class Mounting(Strict):
    """Where a camera is: pose of its optical frame (x right, y down, z forward) in the frame `parent`.

    position: m. orientation: unit quaternion xyzw.
    """

    parent: Literal["world", "left_hand", "right_hand"]
    position: Annotated[list[float], Field(min_length=3, max_length=3)]
    orientation: Annotated[list[float], Field(min_length=4, max_length=4)]

    @model_validator(mode="after")
    def _is_unit(self) -> Mounting:
        length = float(np.linalg.norm(self.orientation))
        if abs(length - 1.0) > _UNIT:
            raise ValueError(f"orientation {self.orientation} has length {length:.4f}; expected a unit quaternion xyzw")
        return self


class CameraSource(Strict):
    """A camera's topic and its pictures.

    topic: empty for /cameras/<name>/image_raw, with /compressed behind it when transport is `compressed`.
    info_topic: of its CameraInfo; empty for camera_info beside the pictures.
    rectify: straighten pictures by the CameraInfo; without one they cannot be used.
    significant_bits: of a value of 16 bits; 12 for a camera that leaves the upper 4 empty.
    crop: `none`; `centre`, the largest part in the middle with the proportions that the encoder takes; or a part.
    resize: of what was cropped: `none`, `scale` (proportions as they are), `stretch` (to any proportions).
    simulated_size: width and height that clwm_sim sends, what it renders enlarged into `crop`; None: as it is rendered.
    """

    topic: OwnTopic = ""
    transport: Literal["raw", "compressed"] = "raw"
    info_topic: OwnTopic = ""
    rectify: bool = False
    significant_bits: int = Field(16, ge=8, le=16)
    crop: Literal["none", "centre"] | Crop = "none"
    resize: Literal["none", "scale", "stretch"] = "none"
    simulated_size: Annotated[list[PositiveInt], Field(min_length=2, max_length=2)] | None = None
    mounting: Mounting | None = None

    @model_validator(mode="after")
    def _has_a_place_for_what_is_rendered(self) -> CameraSource:
        if self.simulated_size is None:
            return self
        (width, height), crop = self.simulated_size, self.crop
        if not isinstance(crop, Crop) or crop.width != crop.height:
            raise ValueError(f"crop is {crop}; simulated_size needs left, top, width, height, as wide as high")
        right, bottom = crop.left + crop.width, crop.top + crop.height
        if right > width or bottom > height:
            raise ValueError(f"crop reaches to {right} x {bottom}; simulated_size is {width} x {height}")
        return self

    def named(self, camera: str) -> CameraSource:
        """With the topics that the camera `camera` has when none are given."""
        is_raw = self.transport == "raw"
        topic = self.topic or f"/cameras/{camera}/image_raw" + ("" if is_raw else "/compressed")
        place = topic if is_raw else topic.rpartition("/")[0]
        beside = f"{place.rpartition('/')[0]}/camera_info"
        return self.model_copy(update={"topic": topic, "info_topic": self.info_topic or beside})
