"""What rosbag2 writes about a bag besides its messages: in its own words, so that its tools find what they expect."""

from __future__ import annotations

from collections.abc import Mapping

import yaml

from clwm_operator.recorder.counts import TopicCount
from clwm_operator.recorder.messages import Topic

VERSION = 9  # of rosbag2's metadata in Jazzy
_FOREVER = {"sec": 9223372036, "nsec": 854775807}


def offered_qos(*, is_reliable: bool, is_latched: bool, depth: int) -> str:
    """A QoS profile as rosbag2 keeps it with each topic: `ros2 bag play` offers the topic again with it."""
    profile = {
        "history": "keep_last",
        "depth": depth,
        "reliability": "reliable" if is_reliable else "best_effort",
        "durability": "transient_local" if is_latched else "volatile",
        "deadline": dict(_FOREVER),
        "lifespan": dict(_FOREVER),
        "liveliness": "automatic",
        "liveliness_lease_duration": dict(_FOREVER),
        "avoid_ros_namespace_conventions": False,
    }
    return yaml.safe_dump([profile], sort_keys=False)


def bag_document(file: str, topics: Mapping[str, Topic], counts: Mapping[str, TopicCount]) -> str:
    """The content of a bag's metadata.yaml, for a bag of one file."""
    start = min((count.first for count in counts.values()), default=0)
    duration = max((count.last for count in counts.values()), default=0) - start
    messages = sum(count.messages for count in counts.values())
    times = {
        "starting_time": {"nanoseconds_since_epoch": start},
        "duration": {"nanoseconds": duration},
        "message_count": messages,
    }
    information = {
        "version": VERSION,
        "storage_identifier": "mcap",
        **times,
        "topics_with_message_count": [
            {
                "topic_metadata": {
                    "name": name,
                    "type": topics[name].kind,
                    "serialization_format": "cdr",
                    "offered_qos_profiles": yaml.safe_load(topics[name].qos),
                    "type_description_hash": "",
                },
                "message_count": count.messages,
            }
            for name, count in sorted(counts.items())
        ],
        "compression_format": "",
        "compression_mode": "",
        "relative_file_paths": [file],
        "files": [{"path": file, **times}],
        "custom_data": None,
        "ros_distro": "jazzy",
    }
    return yaml.safe_dump({"rosbag2_bagfile_information": information}, sort_keys=False)
