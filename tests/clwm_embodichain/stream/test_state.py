"""A stream goes forward only."""

import itertools

import pytest

from clwm_embodichain.stream.state import StreamState

CREATED, STARTING, READY, FAILED, STOPPED = StreamState


def test_a_stream_follows_its_edges_and_no_others():
    allowed = {
        (CREATED, STARTING),
        *((CREATED, FAILED), (STARTING, FAILED), (READY, FAILED)),
        *((STARTING, READY), (STARTING, STOPPED), (READY, STOPPED)),
    }
    for edge in itertools.product(StreamState, repeat=2):
        if edge in allowed:
            assert edge[0].then(edge[1]) is edge[1]
        else:
            with pytest.raises(ValueError, match=f"{edge[0].value} cannot become {edge[1].value}"):
                edge[0].then(edge[1])
