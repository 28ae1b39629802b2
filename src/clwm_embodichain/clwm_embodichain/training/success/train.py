"""`clwm train-success`: a head that estimates whether what was asked for holds, for a policy that is there."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import torch
import typer

from clwm_common.files.model_files import ModelFiles
from clwm_common.files.policy_document import CheckpointError, PolicyInputs, read_policy_document
from clwm_common.provenance import commit
from clwm_common.terminal.console import PlainConsole
from clwm_embodichain.training.sentence_limit import unknown_sentences
from clwm_embodichain.training.success.courses import GOALS
from clwm_embodichain.training.success.data import (
    TRAINING_JITTER,
    TRAINING_STRENGTH,
    Looks,
    as_in_training,
    collect,
)
from clwm_embodichain.training.success.trainer import Embed, Sentences, Settings, calibrate, fit
from clwm_perception.encoder import Encoder
from clwm_policy.model.language import SentenceEncoder
from clwm_policy.model.success_head import FILE_NAME, SuccessFacts, save_success_head

CALIBRATION_SEED = 500  # seeds of training begin at 0
# Every state is seen in two looks: physics costs as much as pictures do.
DRESSES = {"training": as_in_training, "training-too": as_in_training}


def train(
    model: Annotated[str, typer.Option(help="name of a file in config/models")] = "nano",
    data: Annotated[Path, typer.Option(help="what was played is kept here, and used again")] = Path("out/success"),
    seeds: Annotated[str, typer.Option(help="of training, two courses each: ranges, such as 0-59,80-119")] = "0-59",
    calibration_seeds: Annotated[int, typer.Option(min=5, help="of the calibration")] = 25,
    out: Annotated[Path | None, typer.Option(help="the head's file; default: beside the policy")] = None,
    seed: Annotated[int, typer.Option(min=0, help="of the training")] = 0,
) -> None:
    """Train the policy's estimate of its success, on courses of events that the world judges: a goal is reached, stays,
    is undone, is missed; it or the other one is asked for, or nothing that a goal is about.

    How often the estimate is wrong is for `clwm bench estimate --write` to find out and to state in the file.
    """
    console = PlainConsole(highlight=False, soft_wrap=True)
    torch.set_num_threads(1)
    files, spans = ModelFiles.load(model), ranges(seeds)
    try:
        document = read_policy_document(files.policy.with_suffix(".json"))
        sentences = training_sentences(document.inputs, SentenceEncoder().embed)
        encoder = Encoder.load(files.encoder)
        document.check_encoder(encoder.weights_hash)
    except CheckpointError as error:
        console.error(error)
        raise typer.Exit(2) from None
    folder = data / encoder.weights_hash[:12]
    seen = Looks.joined(
        looks for span in spans for looks in collect(folder, DRESSES, span, encoder, console.print).values()
    )
    held_back = range(CALIBRATION_SEED, CALIBRATION_SEED + calibration_seeds)
    calibration = collect(folder, DRESSES, held_back, encoder, console.print)["training"]
    settings = replace(Settings(), seed=seed)
    head = fit(seen, sentences, settings)
    threshold = calibrate(head, calibration, sentences, settings)
    facts = SuccessFacts(
        encoder_sha256=encoder.weights_hash,
        sizes=head.sizes,
        goals=GOALS,
        threshold=threshold,
        chunks=settings.chunks,
        made={
            "settings": asdict(settings),
            "seeds": seeds,
            "courses": len(set(seen.course.tolist())),
            "looks": len(seen.course),
            "calibration_courses": len(set(calibration.course.tolist())),
            "looks_strength": TRAINING_STRENGTH,
            "camera_jitter": TRAINING_JITTER,
            "commit": commit(),
        },
    )
    path = out or files.policy.with_name(FILE_NAME)
    save_success_head(path, head, facts)
    console.print(f"{path}: says done from {threshold:.2f} on, {settings.chunks} chunks in a row")


def ranges(text: str) -> list[range]:
    """Of "0-59,80-119", both ends included. Raises typer.BadParameter."""
    found = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not (first + last).isdecimal() or not dash or not 0 <= int(first) <= int(last) < CALIBRATION_SEED:
            raise typer.BadParameter(
                f"--seeds is {text}; expected ranges below {CALIBRATION_SEED} (from there on they are the "
                "calibration's), such as 0-59,80-119"
            )
        found.append(range(int(first), int(last) + 1))
    return found


def training_sentences(inputs: PolicyInputs, embed: Embed) -> Sentences:
    """Those of the policy's goals, and every second one of what no goal is about. Raises CheckpointError."""
    if lacking := [goal for goal in GOALS if goal not in inputs.sentences]:
        raise CheckpointError(f"the policy was not trained for {lacking[0]}; a success head knows {', '.join(GOALS)}")
    return Sentences.embedded(inputs.sentences, unknown_sentences()[::2], embed)
