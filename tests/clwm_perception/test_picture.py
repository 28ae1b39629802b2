"""A picture's features are worked out once, early when that helps, and never by surprise."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest

from clwm_perception.picture import Picture

FEATURES = np.full((1, 1, 2), 7.0, np.float16)


class Immediate:
    """An executor without a thread; counts."""

    def __init__(self):
        self.submitted = 0

    def submit(self, function, *args):
        self.submitted += 1
        future = Future()
        try:
            future.set_result(function(*args))
        except Exception as error:
            future.set_exception(error)
        return future


def encode():
    return FEATURES


def test_nothing_is_encoded_before_it_is_asked_for():
    executor = Immediate()
    picture = Picture(encode, executor)
    assert not picture.is_started and executor.submitted == 0


def test_features_are_worked_out_once_however_often_they_are_started_or_read():
    executor = Immediate()
    picture = Picture(encode, executor)
    picture.start()
    picture.start()
    assert picture.features() is picture.features() is FEATURES
    assert executor.submitted == 1


def test_features_wait_for_what_was_started_elsewhere():
    may_go_on = threading.Event()

    def slow():
        assert may_go_on.wait(10.0)
        return encode()

    with ThreadPoolExecutor(1) as executor:
        picture = Picture(slow, executor)
        picture.start()
        threading.Timer(0.02, may_go_on.set).start()
        assert picture.features() is FEATURES


def test_what_encoding_raises_comes_out_where_the_features_are_read():
    def fail():
        raise ValueError("too dark")

    picture = Picture(fail, Immediate())
    picture.start()
    with pytest.raises(ValueError, match="too dark"):
        picture.features()
