"""The graph is complete, its parameters are known to the nodes, and what is wrong in a file is named."""

import importlib
import json
import shutil

import pytest
import yaml

from clwm_bringup import graph
from clwm_common.files.model_files import ModelFilesError, project_root
from clwm_common.robot.description import RobotError, config_directory
from clwm_common.ros.lifecycle import ClwmNode


@pytest.fixture
def specs():
    return {spec.name: spec for spec in graph.build_graph(graph.StackOptions(task="place_block", seed=7))}


def test_there_are_four_processes_named_as_their_nodes(specs):
    assert list(specs) == ["sim", "perception", "executor", "policy"]


def test_a_robot_with_a_driver_of_its_own_is_not_simulated():
    specs = graph.build_graph(graph.StackOptions(robot="dual_fr3_franka"))
    assert [spec.name for spec in specs] == ["perception", "executor", "policy"]


DRIVERS = ["left_arm", "left_hand", "right_arm", "right_hand"]


def test_arms_by_libfranka_have_a_process_for_each_arm_and_hand_beside_the_world_behind_them():
    specs = graph.build_graph(graph.StackOptions(robot="dual_fr3_libfranka"))
    assert [spec.name for spec in specs] == ["sim", *DRIVERS, "perception", "executor", "policy"]
    assert specs[1].parameters == {"robot": "dual_fr3_libfranka", "arm": "left"}
    for spec in specs[1:5]:
        setup = (project_root() / "src" / spec.package / "setup.py").read_text()
        assert f"{spec.executable} = {spec.module}:main" in setup
    assert graph.simulated_robot("dual_fr3_libfranka").is_simulated


def test_with_a_rate_all_but_the_world_live_by_its_clock(own_config):
    sim, *others = graph.build_graph(graph.StackOptions(robot="dual_fr3_libfranka", rate=0.5))
    assert sim.parameters["rate"] == 0.5 and sim.parameters["patience"] > 0.0
    assert all(spec.parameters["use_sim_time"] is True for spec in others)
    assert "use_sim_time" not in sim.parameters


def test_real_arms_have_no_world_and_no_rate(own_config):
    path = own_config / "robots/dual_fr3_libfranka.yaml"
    path.write_text(path.read_text().replace("127.0.0", "172.16.0"))
    specs = graph.build_graph(graph.StackOptions(robot="dual_fr3_libfranka"))
    assert [spec.name for spec in specs] == [*DRIVERS, "perception", "executor", "policy"]
    with pytest.raises(graph.GraphError, match="is not simulated, and lives by real time"):
        graph.build_graph(graph.StackOptions(robot="dual_fr3_libfranka", rate=1.0))
    with pytest.raises(graph.GraphError, match="may be real"):
        graph.simulated_robot("dual_fr3_libfranka")


def test_with_simulated_time_and_no_rate_the_world_makes_it_in_real_time_and_an_outside_driver_its_own():
    specs = {spec.name: spec.parameters for spec in graph.build_graph(graph.StackOptions(sim_time=True))}
    assert specs["sim"]["rate"] == 1.0 and "use_sim_time" not in specs["sim"]
    assert all(specs[name]["use_sim_time"] is True for name in ("perception", "executor", "policy"))
    outside = graph.build_graph(graph.StackOptions(robot="dual_fr3_franka", sim_time=True))
    assert all(spec.parameters["use_sim_time"] for spec in outside)
    with pytest.raises(graph.GraphError, match="with --sim-time, by the pace of a simulator of its own; leave out"):
        graph.build_graph(graph.StackOptions(robot="dual_fr3_franka", sim_time=True, rate=2.0))


def test_what_breaks_things_on_purpose_is_refused_on_a_robot_that_may_be_real():
    assert graph.simulated_robot("dual_fr3_mujoco").name == "dual_fr3_mujoco"
    with pytest.raises(graph.GraphError, match="'dual_fr3_franka' has a driver of its own and may be real"):
        graph.simulated_robot("dual_fr3_franka")


@pytest.mark.parametrize("name", ["sim", "perception", "executor", "policy"])
def test_every_parameter_is_declared_by_its_node_with_the_same_type(specs, name):
    module = importlib.import_module(specs[name].module)
    (kind,) = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, ClwmNode) and value is not ClwmNode
    ]
    table = {row.name: type(row.default) for row in kind.PARAMETERS}
    given = {key: type(value) for key, value in specs[name].parameters.items()}
    assert {key: table.get(key) for key in given} == given


def test_every_process_is_an_executable_of_its_package(specs):
    for spec in specs.values():
        setup = (project_root() / "src" / spec.package / "setup.py").read_text()
        assert f"{spec.executable} = {spec.module}:main" in setup


def test_parameters_reach_the_command_line_with_their_types(specs):
    command = specs["sim"].command("python")
    assert command[:3] == ["python", "-m", "clwm_sim.node"]
    values = dict(word.split(":=", 1) for word in command if ":=" in word and not word.startswith("__"))
    assert {name: json.loads(value) for name, value in values.items()} == specs["sim"].parameters


def test_a_hash_that_looks_like_a_number_stays_text():
    spec = graph.NodeSpec("policy", "p", "e", "m", {"encoder_hash": "12345e67"})
    assert yaml.safe_load(spec.command()[-1].split(":=")[1]) == "12345e67"


def test_the_options_choices_of_sai_and_backends_override_the_models():
    options = graph.StackOptions(sai="sequential", backends=("torch",))
    policy = next(s for s in graph.build_graph(options) if s.name == "policy")
    assert policy.parameters["sai"] == "sequential" and policy.parameters["backends"] == ["torch"]


def test_an_unknown_model_is_refused_with_the_known_ones():
    with pytest.raises(ModelFilesError, match="model 'huge' is unknown: .* known models: .*nano"):
        graph.build_graph(graph.StackOptions(model="huge"))


def test_an_unknown_robot_is_refused():
    with pytest.raises(RobotError, match="known robots"):
        graph.build_graph(graph.StackOptions(robot="huge"))


@pytest.fixture
def own_config(tmp_path, monkeypatch):
    """A copy of config/ that a test may change; models stay those of the project."""
    shutil.copytree(config_directory(), tmp_path / "config")
    monkeypatch.setenv("CLWM_ROOT", str(project_root()))
    monkeypatch.setenv("CLWM_CONFIG", str(tmp_path / "config"))
    return tmp_path / "config"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"sim: {}\nexecuter: {}\n", "field 'executer': no such node; did you mean 'executor'"),
        (b"sim: 128\n", "field 'sim' is 128; expected names and values"),
        (b"- sim\n", "holds list; expected names and values"),
        (b"sim: {}\nsim: {}\n", "'sim' is given twice"),
        (b"# gr\xfcn\n", "stack.yaml is not UTF-8: byte 0xFC at position 4"),
        (b"sim: [\n", "stack.yaml is not YAML"),
    ],
)
def test_what_is_wrong_in_the_stacks_file_is_named_before_a_process_starts(own_config, text, reason):
    (own_config / "stack.yaml").write_bytes(text)
    with pytest.raises(graph.GraphError, match=reason):
        graph.build_graph(graph.StackOptions())


def test_a_stack_without_its_file_is_refused(own_config):
    (own_config / "stack.yaml").unlink()
    with pytest.raises(graph.GraphError, match="stack.yaml does not exist; restore it"):
        graph.build_graph(graph.StackOptions())


def test_a_model_whose_files_are_missing_is_refused_before_a_process_starts(own_config):
    model = own_config / "models/nano.yaml"
    model.write_text(model.read_text().replace("nano/policy.safetensors", "nano/other.safetensors"))
    with pytest.raises(ModelFilesError, match="models/nano/other.safetensors does not exist; restore"):
        graph.build_graph(graph.StackOptions())


@pytest.mark.parametrize("sai", ["fast", "fixed:2", "fixed:", "adaptive:x"])
def test_an_unknown_re_entry_policy_is_refused_before_a_process_starts(sai):
    with pytest.raises(graph.GraphError, match="re-entry policy|s_mid"):
        graph.build_graph(graph.StackOptions(sai=sai))


@pytest.mark.parametrize("name", graph.PROFILE_VARIABLES)
def test_a_transport_profile_under_either_name_is_taken_for_both(name):
    environment = graph.environment({name: "/mine.xml"})
    assert {environment[each] for each in graph.PROFILE_VARIABLES} == {"/mine.xml"}


def test_an_empty_variable_says_as_little_as_none():
    assert graph.environment({"ROS_AUTOMATIC_DISCOVERY_RANGE": ""})["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"


@pytest.mark.parametrize(
    ("file", "before", "after", "said"),
    [
        ("robots/dual_fr3_mujoco.yaml", "[head, left_wrist, right_wrist]", "[left_wrist, head, right_wrist]",
         "cameras are left_wrist, head, right_wrist; the policy was trained on head, left_wrist, right_wrist"),
        ("robots/dual_fr3_mujoco.yaml", "[head, left_wrist, right_wrist]", "[head, left_wrist, right_wrist, chest]",
         "cameras are head, left_wrist, right_wrist, chest"),
        ("stack.yaml", "execution_horizon: 12", "execution_horizon: 13", "execution_horizon is 13; .* 12 or 16"),
        ("stack.yaml", "execution_horizon: 12", "adapt_pace: true", "execution_horizon_min is 10; .* 12 or 16"),
        ("stack.yaml", "image_size: 128", "image_size: 256", "they are 256 x 256; .* trained on 128 x 128"),
        ("stack.yaml", "backend: auto", "pool: 4", "4 x 4 features a camera, the encoder gives 2 x 2"),
    ],
)  # fmt: skip
def test_a_robot_or_setting_that_the_model_was_not_trained_for_is_refused_before_anything_starts(
    own_config, file, before, after, said
):
    text = (own_config / file).read_text()
    assert before in text
    (own_config / file).write_text(text.replace(before, after))
    with pytest.raises(graph.GraphError, match=said):
        graph.build_graph(graph.StackOptions())


def test_executor_and_policy_are_told_what_the_checkpoint_says(specs):
    policy = specs["policy"].parameters
    assert specs["executor"].parameters["policy_document"] == policy["checkpoint"].replace(".safetensors", ".json")
    assert policy["encoder_hash"].startswith("1bed92f27068")


def test_what_the_user_has_set_in_the_environment_stays():
    assert graph.environment({"MUJOCO_GL": "osmesa"})["MUJOCO_GL"] == "osmesa"
    assert graph.environment({})["ROS_AUTOMATIC_DISCOVERY_RANGE"] == "LOCALHOST"
