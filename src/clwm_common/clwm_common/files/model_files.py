"""Where a model is and how it is run: `config/models/<name>.yaml`, read by whoever starts one."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field, ValidationError

from clwm_common.files.config_files import ConfigFileError, Strict, explain, read_yaml
from clwm_common.robot.description import config_directory

RESTORE = (
    "restore models/ from the repository, or train with `clwm train-encoder` and `clwm train-policy --export FILE`"
)


class ModelFilesError(ValueError):
    """A model configuration that cannot be used; the message names the file, the field and what was expected."""


class ModelFiles(Strict):
    """The files of a model, as absolute paths, and how it is run unless somebody asks for something else."""

    encoder: Path = Field(strict=False, description="Hugging Face folder of the image encoder")
    policy: Path = Field(strict=False, description="policy .safetensors, its .json beside it")
    video_steps: int = Field(ge=1, description="flow steps of stage 1")
    action_steps: int = Field(ge=1, description="flow steps of stage 2")
    backends: tuple[str, ...] = Field(
        strict=False, min_length=1, description="what may run the policy, the first that can is used"
    )
    sai: str = Field(description="re-entry policy, sequential, fixed:<s_mid> or adaptive")
    tasks: tuple[str, ...] = Field(strict=False, min_length=1, description="what the policy was trained to do")
    demo: tuple[str, ...] = Field(strict=False, min_length=1, description="what `clwm demo` plays, in order")

    @classmethod
    def load(cls, name: str) -> ModelFiles:
        """Read `config/models/<name>.yaml`; paths in it count from the project's root. Raises ModelFilesError."""
        folder = config_directory() / "models"
        path = folder / f"{name}.yaml"
        if not path.is_file():
            known = ", ".join(sorted(found.stem for found in folder.glob("*.yaml")))
            raise ModelFilesError(f"model '{name}' is unknown: {path} does not exist; known models: {known}")
        try:
            found = cls.model_validate(read_yaml(path))
        except ConfigFileError as error:
            raise ModelFilesError(str(error)) from None
        except ValidationError as error:
            raise ModelFilesError(explain(path, error, cls)) from None
        root = project_root()
        return found.model_copy(update={"encoder": root / found.encoder, "policy": root / found.policy})

    def require_files(self) -> None:
        """Raises ModelFilesError for the first file of the model that is not there."""
        for path in (self.encoder / "config.json", self.policy, self.policy.with_suffix(".json")):
            if not path.is_file():
                raise ModelFilesError(f"{path} does not exist; {RESTORE}")


def project_root() -> Path:
    """Where models/ is: $CLWM_ROOT, else the folder that holds config/."""
    configured = os.environ.get("CLWM_ROOT")
    return Path(configured) if configured else config_directory().resolve().parent


def output_folder() -> Path:
    """`out/`, where commands write unless told otherwise: the project's, or here when the project is a wheel's."""
    root = project_root()
    return (Path.cwd() if (root / "__init__.py").exists() else root) / "out"
