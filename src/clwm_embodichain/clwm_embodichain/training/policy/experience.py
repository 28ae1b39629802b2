"""What a policy lived through, and a human who took over when it went wrong: which rows are imitated, and how much."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import NonNegativeFloat

from clwm_common.actions import ROW_DT
from clwm_common.files.config_files import Settings
from clwm_common.recordings.names import SUFFIX
from clwm_common.recordings.reader import RecordingError
from clwm_common.terminal.console import PlainConsole
from clwm_common.terminal.progress import progress
from clwm_embodichain.episodes.choices import GoalChoice, kinds_of
from clwm_embodichain.episodes.features import FeatureEpisode, PolicyDataError, encoded_once
from clwm_embodichain.episodes.storage import Episode
from clwm_embodichain.recordings.recorded_episode import recorded_episode
from clwm_embodichain.stream.sources import SampleCoder, TrainingSource
from clwm_embodichain.training.policy.samples import Coding
from clwm_embodichain.training.policy.streams import MixedStreams, RecordedStreams
from clwm_perception.encoder import Encoder
from clwm_policy.model.checkpoint import Scales

_EPISODE = ".npz"


class ExperienceSettings(Settings):
    """intervention_weight: what imitating a row of the human counts, one of the policy counting 1. before_takeover: s
    before the policy lost the arms that are not imitated, since it was about to fail then.
    """

    intervention_weight: NonNegativeFloat = 4.0
    before_takeover: NonNegativeFloat = 1.5


@dataclass(frozen=True)
class Experience:
    """Episodes with the weights of their rows, and how many rows are whose."""

    episodes: tuple[FeatureEpisode, ...]
    facts: dict[str, Any]


def row_weights(episode: Episode, settings: ExperienceSettings) -> NDArray[np.float32]:
    """(T,) what imitating each row counts.

    0: rows of held arms, those of discarded corrections and just before a take-over, and all that a human did not do
    of an episode that failed.
    """
    human, held = episode.interventions, episode.held
    weights = np.where(human, settings.intervention_weight, float(episode.success)).astype(np.float32)
    before = round(settings.before_takeover / ROW_DT)
    for takeover in np.flatnonzero(human & ~np.concatenate([[False], human[:-1]])):
        # Arms that were held before the human moved them had been lost by the policy already then.
        while held is not None and takeover > 0 and held[takeover - 1] and not human[takeover - 1]:
            takeover -= 1
        about_to_fail = slice(max(0, takeover - before), takeover)
        weights[about_to_fail] = np.where(human[about_to_fail], weights[about_to_fail], 0.0)
    return np.where(episode.imitable, weights, 0.0).astype(np.float32)


def experience_files(places: Sequence[Path]) -> list[Path]:
    """Recordings, and episodes in the format of `clwm data record`, in files and folders. Raises RecordingError."""
    found: list[Path] = []
    for place in places:
        here = [place]
        if place.is_dir():
            here = sorted(it for it in place.rglob("*") if it.suffix in (SUFFIX, _EPISODE) and it.name[0] != ".")
        if not here or not here[0].is_file():
            what = "has no recording in it" if place.is_dir() else "does not exist"
            raise RecordingError(f"{place} {what}; make some with `clwm record`")
        found += here
    return found


def load_experience(
    places: Sequence[Path], cache: Path, encoder: Encoder, settings: ExperienceSettings, console: PlainConsole
) -> Experience:
    """Read, encode and weigh. cache: keeps encoded pictures. Episodes of which nothing is to be imitated are left out.

    Raises RecordingError or EpisodeError naming the file, and PolicyDataError when nothing is left.
    """
    files, found = experience_files(places), []
    facts = {"recordings": len(files), "used": 0, "human_rows": 0, "policy_rows": 0, "rows_not_imitated": 0}
    size = encoder.checkpoint.preprocessing.size[0]
    with progress(console, "recordings", len(files)) as advance:
        for path in files:
            episode = recorded_episode(path, size) if path.suffix == SUFFIX else Episode.load(path)
            weights = row_weights(episode, settings)
            facts["rows_not_imitated"] += int((weights == 0.0).sum())
            advance(1, path.name)
            if not weights.any():
                continue
            facts["used"] += 1
            facts["human_rows"] += int((episode.interventions & (weights > 0.0)).sum())
            facts["policy_rows"] += int((~episode.interventions & (weights > 0.0)).sum())
            found.append(
                FeatureEpisode.of(episode, encoded_once(episode.images, cache / "experience", encoder), weights)
            )
    if not found:
        named = ", ".join(str(place) for place in places)
        raise PolicyDataError(f"nothing in {named} is to be imitated: all of it failed, was held or was discarded")
    return Experience(tuple(found), facts | settings.model_dump())


def require_goals(experience: Experience, choices: Sequence[GoalChoice]) -> None:
    """Raise PolicyDataError for a goal that is not trained, before anything is simulated."""
    known = kinds_of(choices)
    for episode in experience.episodes:
        if unknown := [kind for kind in episode.kinds if kind not in known]:
            raise PolicyDataError(
                f"a recording is of '{unknown[0]}', and trained are {', '.join(known)}; name its goal in --goals"
            )


def beside(
    source: TrainingSource, experience: Experience, coder: SampleCoder, streams: int, seed: int
) -> TrainingSource:
    """`source` with `streams` more that walk through the experience, whose goals are among the coder's."""
    samples = coder(experience.episodes, source.coding)
    walked = RecordedStreams(samples, streams, seed + 1)
    rows = experience.facts
    return replace(
        source,
        streams=MixedStreams(walked, source.streams),
        summary=f"{rows['used']} of {rows['recordings']} recordings with {rows['human_rows']} rows of a human, beside "
        f"{source.summary}",
        facts=lambda: source.facts() | {"experience": rows | {"walks": walked.walks}},
    )


def keep_coding(coding: Coding, out: Path) -> None:
    """What the weights of a checkpoint have learned to read, for the training in `out` that begins with them.

    Raises PolicyDataError when another training was begun there.
    """
    path = out / "coding.json"
    if not path.exists():
        coding.save(path)
    elif Scales.of(Coding.load(path)).model_dump_json() != Scales.of(coding).model_dump_json():
        raise PolicyDataError(f"{path} is not the checkpoint's: another training was begun there; give another --out")
