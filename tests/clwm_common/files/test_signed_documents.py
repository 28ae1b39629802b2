"""A document is read as it was written, and refused when it was changed since."""

import json

import pytest

from clwm_common.files.signed_documents import document_hash, read_signed


def write(path, content):
    path.write_text(json.dumps({**content, "document_sha256": document_hash(content)}))


def read(path):
    return read_signed(path, "sample/1", ValueError, absent="write it", foreign="a sample", remedy="write it again")


@pytest.mark.parametrize(
    "facts",
    [
        {2: 5, 10: 7, 1: 3},
        {"2": 5, "10": 7},
        {"inside": [{"reuses": {0: 1, 12: 4, 3: 2}}]},
        {"-1": 0, "-10": 0},
        {"007": 1, "7": 2},
        {},
    ],
)
def test_a_document_is_read_as_it_was_written_whatever_its_keys_are(tmp_path, facts):
    write(tmp_path / "it.json", {"format": "sample/1", "facts": facts})
    assert read(tmp_path / "it.json")["facts"] == json.loads(json.dumps(facts))


def test_a_document_in_which_a_number_was_changed_is_refused(tmp_path):
    path = tmp_path / "it.json"
    write(path, {"format": "sample/1", "facts": {2: 5, 10: 7}})
    path.write_text(path.read_text().replace("7", "8"))
    with pytest.raises(ValueError, match="was changed after it was written; write it again"):
        read(path)
