"""Arrays in a checkpoint's document: lists of numbers that are read with the checks which make them mean something."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import PlainSerializer, PlainValidator


def stored(dtype: type, *shape: int | None) -> Any:
    """The type of a field that is an array, None where an axis may have any length, and that JSON holds as lists."""

    def read(value: Any) -> NDArray[Any]:
        try:
            array = np.asarray(value, dtype=dtype)
        except (TypeError, ValueError) as error:
            raise ValueError(f"cannot be read as numbers ({error})") from None
        if array.ndim != len(shape) or any(wanted and array.shape[axis] != wanted for axis, wanted in enumerate(shape)):
            raise ValueError(f"has shape {array.shape}; expected {shape}")
        if not (finite := np.isfinite(array)).all():
            at = tuple(map(int, np.argwhere(~finite)[0]))
            raise ValueError(f"entry {at} is {array[at]}; expected finite numbers")
        return array

    return Annotated[NDArray[Any], PlainValidator(read), PlainSerializer(lambda array: array.tolist())]
