import pytest

from clwm_common.files.model_files import ModelFiles, ModelFilesError, output_folder

GOOD = (
    "encoder: a/encoder\npolicy: a/policy.safetensors\nvideo_steps: 4\naction_steps: 8\nsai: fixed:0.5\n"
    "backends: [torch]\ntasks: [lift_tray]\ndemo: [lift_tray]\n"
)


@pytest.fixture
def configure(tmp_path, monkeypatch):
    (tmp_path / "config/models").mkdir(parents=True)
    (tmp_path / "config/robots").mkdir()
    monkeypatch.setenv("CLWM_CONFIG", str(tmp_path / "config"))
    monkeypatch.delenv("CLWM_ROOT", raising=False)

    def write(text):
        (tmp_path / "config/models/tiny.yaml").write_text(text)
        return tmp_path

    return write


def test_paths_count_from_the_folder_that_holds_config(configure):
    root = configure(GOOD)
    files = ModelFiles.load("tiny")
    assert (files.encoder, files.policy) == (root / "a/encoder", root / "a/policy.safetensors")


def test_unknown_model_lists_the_known_ones(configure):
    configure(GOOD)
    with pytest.raises(ModelFilesError, match="model 'huge' is unknown.*known models: tiny"):
        ModelFiles.load("huge")


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (GOOD.replace("video_steps: 4", "video_steps: 0"), "video_steps"),
        (GOOD.replace("action_steps: 8", "action_steps: many"), "action_steps"),
        (GOOD.replace("sai: fixed:0.5\n", ""), "sai"),
        (GOOD.replace("[torch]", "[]"), "backends"),
        (GOOD.replace("tasks: [lift_tray]", "tasks: []"), "tasks"),
        (GOOD.replace("demo: [lift_tray]", "demo: []"), "demo"),
        (GOOD + "speed: 3\n", "speed"),
        (GOOD + "polcy: 3\n", "polcy': no such field; did you mean 'policy'"),
        (GOOD.replace("video_steps: 4", "video_steps: true"), "video_steps"),
    ],
)
def test_wrong_or_missing_field_is_named(configure, text, field):
    configure(text)
    with pytest.raises(ModelFilesError, match=f"tiny.yaml: field '{field}"):
        ModelFiles.load("tiny")


def test_a_file_that_is_not_utf8_is_refused_with_the_byte_and_its_place(configure):
    root = configure("")
    (root / "config/models/tiny.yaml").write_bytes(b"# \xfc\n")
    with pytest.raises(ModelFilesError, match="tiny.yaml is not UTF-8: byte 0xFC at position 2, line 1"):
        ModelFiles.load("tiny")


@pytest.mark.parametrize("missing", ["a/encoder/config.json", "a/policy.safetensors", "a/policy.json"])
def test_a_file_of_the_model_that_is_missing_is_named_with_a_remedy(configure, missing):
    root = configure(GOOD)
    for name in ("a/encoder/config.json", "a/policy.safetensors", "a/policy.json"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    ModelFiles.load("tiny").require_files()
    (root / missing).unlink()
    with pytest.raises(ModelFilesError, match=f"{missing} does not exist; restore models/"):
        ModelFiles.load("tiny").require_files()


def test_commands_write_into_the_project_but_never_into_an_installed_package(configure, tmp_path, monkeypatch):
    root = configure(GOOD)
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    assert output_folder() == root / "out"
    (root / "__init__.py").touch()  # as in a wheel, where config/ lies in a package
    assert output_folder() == here / "out"
