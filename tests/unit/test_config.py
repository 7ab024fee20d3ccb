import copy
import json
import re

import jsonschema
import pytest
import yaml

from gdyn.config import load_config, load_system, sections
from gdyn.config.docs import generate
from gdyn.config.models import Simulate, System
from gdyn.errors import ConfigError

GOOD = {
    "trajectory": {"files": ["a.lammpstrj"], "units": "metal", "timestep": 0.001, "frame_interval_ps": 0.5},
    "targets": {"selection": "element Li"},
    "graphs": {"neighbors": 12},
    "search": {"n_states": 2, "lag_ps": 10},
}


def write(folder, values, name="mine"):
    (folder / f"{name}.yaml").write_text(yaml.safe_dump(values))
    return load_config({"systems": name, "system_dir": str(folder)})


def load(folder, **changes):
    values = copy.deepcopy(GOOD)
    for path, value in changes.items():
        *sections_, key = path.split("__")
        at = values
        for section in sections_:
            at = at.setdefault(section, {})
        at[key] = value
    return load_system("mine", write(folder, values))


def problem(folder, **changes):
    with pytest.raises(ConfigError) as caught:
        load(folder, **changes)
    return str(caught.value)


def test_a_good_file_loads_with_its_defaults(tmp_path):
    system = load(tmp_path)
    assert system.search.n_states == [2]
    assert system.seeds == [1, 2, 3, 4, 5]
    assert system.trajectory.steps_per_frame == 500


def test_a_value_may_stand_for_a_list_of_one(tmp_path):
    assert load(tmp_path, search__lag_ps=[5, 10]).search.lag_ps == [5.0, 10.0]
    assert load(tmp_path, trajectory__files="b.dump").trajectory.files == ["b.dump"]
    assert load_config({"systems": "a"}).systems == load_config({"systems": ["a"]}).systems == ["a"]


def test_yaml_reads_5e_4_as_text_and_it_is_a_number_all_the_same(tmp_path):
    assert load(tmp_path, search__learning_rate="5e-4").search.learning_rate == [5e-4]


def test_unknown_key_names_the_file_the_key_and_the_nearest_one(tmp_path):
    sentence = problem(tmp_path, graphs__neighbours=12)
    assert sentence == f"{tmp_path}/mine.yaml: graphs.neighbours: unknown key, did you mean 'neighbors'?; " \
        "the keys here are: neighbors, shards"  # fmt: skip


def test_every_problem_is_told(tmp_path):
    sentences = problem(tmp_path, graphs__neighbors="twelve", training__max_epochs=2.5, kind=1).splitlines()
    assert len(sentences) == 3
    assert any("graphs.neighbors: should be a valid integer, but is 'twelve'" in s for s in sentences)
    assert any("training.max_epochs: should be a valid integer, but is 2.5" in s for s in sentences)


@pytest.mark.parametrize("value", [True, 12.5, "12", 0, None])
def test_wrong_types_of_a_count(tmp_path, value):
    assert "graphs.neighbors" in problem(tmp_path, graphs__neighbors=value)


@pytest.mark.parametrize("value", [True, "ten", float("nan"), -1])
def test_wrong_types_of_a_time(tmp_path, value):
    assert "search.lag_ps" in problem(tmp_path, search__lag_ps=value)


def test_missing_key_says_what_it_means(tmp_path):
    values = copy.deepcopy(GOOD)
    del values["trajectory"]["timestep"]
    with pytest.raises(ConfigError, match=r"trajectory\.timestep: this key is missing; add it \(Time step of that run"):
        load_system("mine", write(tmp_path, values))


@pytest.mark.parametrize("key", ["search__lag_ps", "kinetics__timescale_lags_ps"])
def test_lag_that_is_no_multiple_of_the_frame_interval(tmp_path, key):
    sentence = problem(tmp_path, **{key: 10.2})
    assert f"{key.replace('__', '.')}: 10.2 ps is not a whole multiple of the frame interval (0.5 ps)" in sentence
    assert "the nearest one is 10 ps" in sentence


def test_frame_interval_that_is_no_multiple_of_the_timestep(tmp_path):
    assert "trajectory.frame_interval_ps: 0.5005 ps" in problem(tmp_path, trajectory__frame_interval_ps=0.5005)


UNFILLED = """\
# FILL_IN in a comment is nobody's business
trajectory:
  files: [a.lammpstrj]
  units: FILL_IN    # real, metal
  timestep: 0.001
  frame_interval_ps: 0.5
  elements: {1: FILL_IN, 2: Li,
             3: FILL_IN}
targets: {selection: element FILL_IN}
graphs: {neighbors: 12}
search:
  n_states: 2
  lag_ps:
    - 10
    - FILL_IN
scales:
  test: {FILL_IN: 1}
"""


def test_what_is_not_filled_in_is_told_with_its_line(tmp_path):
    (tmp_path / "mine.yaml").write_text(UNFILLED)
    with pytest.raises(ConfigError) as caught:
        load_system("mine", load_config({"systems": "mine", "system_dir": str(tmp_path)}))
    sentences = str(caught.value).split("\n")
    found = [sentence.split(": is still 'FILL_IN'; write its value there")[0] for sentence in sentences]
    assert found == [
        f"{tmp_path}/mine.yaml, line {line}: {key}"
        for line, key in (
            (4, "trajectory.units"),
            (7, "trajectory.elements[1]"),
            (8, "trajectory.elements[3]"),
            (9, "targets.selection"),
            (15, "search.lag_ps[1]"),
            (17, "scales.test.FILL_IN"),
        )
    ]


def test_a_type_map_that_gdyn_new_leaves_open_is_no_species(tmp_path):
    sentence = problem(tmp_path, trajectory__elements={1: "FILL_IN", 2: "S"})
    assert re.search(r"mine\.yaml, line \d+: trajectory\.elements\[1\]: is still 'FILL_IN'", sentence)


def test_what_is_not_filled_in_in_the_configuration_itself(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("systems: [a]\ndefaults:\n  trajectory: {units: FILL_IN}\n")
    values = yaml.safe_load(path.read_text())
    for where, place in ((path, f"{path}, line 3"), ("elsewhere.yaml", "elsewhere.yaml")):
        with pytest.raises(ConfigError, match=rf"^{re.escape(place)}: defaults\.trajectory\.units: is still 'FILL_IN'"):
            load_config(values, where)


def test_elements_are_elements_or_declared(tmp_path):
    found = load(tmp_path, trajectory__elements={1: "Li", 2: "CH2"}, trajectory__species={"CH2": 14.027})
    assert found.trajectory.elements == {1: "Li", 2: "CH2"}
    sentences = problem(tmp_path, trajectory__elements={1: "LI", 2: "li", 3: "D"}).split("\n")
    assert sentences == [
        f"{tmp_path}/mine.yaml: trajectory.elements[{type_}]: should be a chemical element{meant}, or a name that is "
        f"declared with its mass under trajectory.species, but is {name!r}"
        for type_, name, meant in (
            (1, "LI", " (did you mean 'Li'?)"), (2, "li", " (did you mean 'Li'?)"), (3, "D", "")
        )
    ]  # fmt: skip
    assert "trajectory.species.D" in problem(tmp_path, trajectory__species={"D": 0.0})
    assert "trajectory.species" in problem(tmp_path, trajectory__species={"a b": 1.0})


def test_timestep_is_in_the_unit_of_its_style(tmp_path):
    assert load(tmp_path, trajectory__units="real", trajectory__timestep=2.0).trajectory.steps_per_frame == 250


def test_splits_that_overlap(tmp_path):
    sentence = problem(tmp_path, splits__validation=[0.3, 0.5])
    assert "splits: train ends at 0.4 but validation begins at 0.3: the splits overlap" in sentence
    assert "begin validation at 0.4 or later" in sentence


def test_split_that_is_empty(tmp_path):
    assert "splits: train begins at 0.4 and ends at 0.4" in problem(tmp_path, splits__train=[0.4, 0.4])


def test_either_dumps_or_a_simulation(tmp_path):
    assert "either trajectory.files" in problem(tmp_path, simulate={"deck": "in.x", "length_ps": 100})
    values = copy.deepcopy(GOOD)
    del values["trajectory"]["files"]
    with pytest.raises(ConfigError, match=r"either trajectory\.files"):
        load_system("mine", write(tmp_path, values))


def test_lag_longer_than_a_split_of_the_simulation(tmp_path):
    values = copy.deepcopy(GOOD) | {"simulate": {"deck": "in.x", "length_ps": 100}}
    del values["trajectory"]["files"]
    with pytest.raises(ConfigError, match=r"a lag of 10 ps does not fit into the 10 ps of the validation split"):
        load_system("mine", write(tmp_path, values))


def test_a_seed_twice(tmp_path):
    assert "names a seed twice" in problem(tmp_path, seeds=[1, 1])


def test_bond_of_an_unknown_site_type(tmp_path):
    sites = {
        "types": {"a": {"fractional": [[0, 0, 0]], "core_radius_A": 1}},
        "bonds": [{"between": ["a", "b"], "within_A": 3}],
    }
    assert "the site type 'b', which is not under types (a)" in problem(tmp_path, sites=sites)


def test_not_yaml_names_the_line(tmp_path):
    (tmp_path / "mine.yaml").write_text("a: [1\nb: 2\n")
    config = load_config({"systems": "mine", "system_dir": str(tmp_path)})
    with pytest.raises(ConfigError, match=r"mine\.yaml, line 2: this is not YAML"):
        load_system("mine", config)


def test_no_such_system_suggests_one(tmp_path):
    config = write(tmp_path, GOOD)
    with pytest.raises(ConfigError, match="did you mean 'mine'"):
        load_system("mini", config)


def test_unknown_key_on_the_command_line():
    with pytest.raises(ConfigError, match="sistems: unknown key, did you mean 'systems'"):
        load_config({"systems": "toy", "sistems": "toy"})


def test_defaults_lie_under_every_system(tmp_path):
    write(tmp_path, GOOD | {"training": {"patience": 7}})
    defaults = {"training": {"patience": 2, "max_epochs": 9}, "kinetics": {"chunks": 8}}
    config = load_config({"systems": "mine", "system_dir": str(tmp_path), "defaults": defaults})
    system = load_system("mine", config)
    assert (system.training.patience, system.training.max_epochs, system.kinetics.chunks) == (7, 9, 8)


def test_trials_are_named_by_their_values_and_a_new_one_moves_none(tmp_path):
    before = load(tmp_path, search__width=[16, 32])
    after = load(tmp_path, search__width=[16, 24, 32], search__lag_ps=[5, 10])
    assert set(before.trials) < set(after.trials)
    assert "n_states~2_lag_ps~10_width~16_convolutions~2_learning_rate~0.005" in before.trials
    assert len(after.trials) == 6


def test_a_search_that_is_left_out_finds_both(tmp_path):
    system = load(tmp_path, search={}, seeds=[3, 4])
    assert (system.search.n_states, system.search.lag_ps) == ("auto", "auto")
    assert [trial.n_states for trial in system.trials.values()] == [2, 3, 4, 5, 6, 7, 8]
    assert {trial.lag_ps for trial in system.trials.values()} == {0.0}
    assert "n_states~2_lag_ps~auto_width~16_convolutions~2_learning_rate~0.005" in system.trials
    (pilot,) = system.pilots.values()
    assert (pilot.n_states, pilot.lag_ps) == (4, 5 * system.trajectory.frame_interval_ps)
    splits = system.splits.of_first_model
    assert (splits.train, splits.validation, splits.test) == ((0.0, 0.25), (0.25, 0.5), (0.5, 1.0))
    apart = load(tmp_path, search={}, splits={"train": [0.5, 1], "validation": [0, 0.2], "test": [0.2, 0.5]}).splits
    assert apart.of_first_model == apart
    assert not load(tmp_path, search={"lag_ps": 10}).pilots
    assert [trial.lag_ps for trial in load(tmp_path, search={"lag_ps": 10}).trials.values()] == [10.0] * 7


@pytest.mark.parametrize(
    ("key", "value", "sentence"),
    [
        ("search__n_states", "many", "search.n_states: should be 'auto', or a valid integer, but is 'many'"),
        ("search__n_states", [2, "x"], "search.n_states[1]: should be a valid integer, but is 'x'"),
        ("search__n_states", [], "search.n_states: should be 'auto', or have at least 1 of them"),
        ("search__lag_ps", 0, "search.lag_ps: should be 'auto', or greater than 0, but is 0"),
        ("kinetics__chunks", 2, "kinetics.chunks: should be 'auto', or greater than or equal to 3, but is 2"),
    ],
)
def test_a_value_of_none_of_several_kinds_is_one_sentence(tmp_path, key, value, sentence):
    assert problem(tmp_path, **{key: value}).endswith(sentence)


def test_sections_survive_the_way_through_plain_values(tmp_path):
    system = load(tmp_path, search__lag_ps=[5, 10], trajectory__elements={1: "Li", 2: "S"})
    plain = json.loads(json.dumps(system.model_dump(mode="json", include={"trajectory", "splits", "sites"})))
    back = sections(plain)
    assert back["trajectory"] == system.trajectory
    assert back["splits"] == system.splits
    assert back["sites"] is None


def test_generated_files_are_up_to_date():
    for path, text in generate().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is out of date: make docs"


def test_schemas_accept_the_files_of_the_project(root):
    schema = json.loads((root / "config/schema/system.schema.json").read_text())
    files = sorted((root / "config/systems").glob("*.yaml"))
    assert files
    for path in files:
        jsonschema.validate(yaml.safe_load(path.read_text()), schema)
        load_system(path.stem, load_config({"systems": path.stem, "system_dir": str(root / "config/systems")}))
    schema = json.loads((root / "config/schema/config.schema.json").read_text())
    jsonschema.validate(yaml.safe_load((root / "config/config.yaml").read_text()), schema)


def test_schema_refuses_what_the_models_refuse(root):
    schema = json.loads((root / "config/schema/system.schema.json").read_text())
    for section, key, value in (("graphs", "neighbours", 12), ("graphs", "neighbors", "x"), ("search", "n_states", 1)):
        values = copy.deepcopy(GOOD)
        values[section][key] = value
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(values, schema)


SCALED = """
scale: small
trajectory: {files: a.lammpstrj, units: metal, timestep: 0.001, frame_interval_ps: 1}
targets: {selection: element Li}
graphs: {neighbors: 12}
search: {n_states: 2, lag_ps: 10, width: 8}
scales:
  small: {search: {lag_ps: 5}}
  test: {search: {lag_ps: 2}, seeds: [9]}
"""


def test_scales_replace_keys(tmp_path):
    (tmp_path / "a.yaml").write_text(SCALED)
    for chosen, lag, seeds in ((None, 5, 5), ("test", 2, 1), ("paper", 5, 5)):
        system = load_system("a", load_config({"systems": "a", "system_dir": str(tmp_path), "scale": chosen}))
        assert system.search.lag_ps == [lag]
        assert system.search.width == [8]
        assert len(system.seeds) == seeds
    (tmp_path / "a.yaml").write_text(SCALED.replace("scale: small", "scale: huge"))
    with pytest.raises(ConfigError, match="scale: 'huge' is not among scales \\(small, test\\); choose one of them"):
        load_system("a", load_config({"systems": "a", "system_dir": str(tmp_path)}))


def applying(tmp_path, **changes):
    """A system that applies the model of another, as a file, and its content as read."""
    write(tmp_path, GOOD, "origin")
    other = {key: GOOD[key] for key in ("trajectory", "targets")} | {"apply": "origin"} | changes
    return load_system("other", write(tmp_path, other, "other"))


def test_a_model_that_is_applied_brings_its_settings(tmp_path):
    system = applying(tmp_path)
    origin = load_system("origin", write(tmp_path, GOOD, "origin"))
    assert system.graphs == origin.graphs
    assert system.search == origin.search
    assert system.splits.test == (0.2, 1.0)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"search": {"n_states": 2, "lag_ps": 10}}, "search: the model of origin brings this with it"),
        ({"graphs": {"neighbors": 5}}, "graphs.neighbors: 5, but the model of origin was trained on"),
        ({"apply": "other"}, "apply: 'other' has no model of its own"),
    ],
)
def test_what_contradicts_a_model_that_is_applied_is_told(tmp_path, changes, said):
    with pytest.raises(ConfigError, match=re.escape(said)):
        applying(tmp_path, **changes)


def test_variables_of_each_run():
    simulate = {"deck": "in", "length_ps": 100, "runs": 2, "variables": {"T": [300, 400], "P": 1}}
    assert [Simulate(**simulate).variables_of(run) for run in (0, 1)] == [{"T": 300, "P": 1}, {"T": 400, "P": 1}]
    with pytest.raises(ValueError, match="has 2 values for 3 runs"):
        Simulate(**simulate | {"runs": 3})


SIMULATED = {"deck": "in.x", "length_ps": 300}


@pytest.mark.parametrize(
    ("simulate", "sentence"),
    [
        ({"part_ps": 0.3}, "simulate.part_ps: 0.3 ps is not a whole multiple of the frame interval"),
        ({"threads": 2}, "threads: 2 threads need styles that use them"),
        ({"gpus": 1}, "gpus: 1 GPUs need styles that use them"),
        ({"suffix": "gpu"}, "suffix: gpu needs a GPU"),
    ],
)
def test_what_a_run_cannot_be(simulate, sentence):
    values = copy.deepcopy(GOOD) | {"simulate": SIMULATED | simulate}
    del values["trajectory"]["files"]
    with pytest.raises(ValueError, match=sentence):
        System.model_validate(values)


@pytest.mark.parametrize(("part_ps", "shards", "goes_on", "fits"), [
    (100, 2, True, True), (299.5, 2, True, False), (100, 201, True, False), (299.5, 2, False, True),
    (1000, 601, True, True), (1000, 602, True, False), (300, 602, False, False),
])  # fmt: skip
def test_the_last_part_has_frames_for_all_of_its_shards(part_ps, shards, goes_on, fits):
    """At 0.5 ps a frame."""
    values = copy.deepcopy(GOOD) | {"simulate": SIMULATED | {"part_ps": part_ps}}
    del values["trajectory"]["files"]
    values["trajectory"]["frame_interval_ps"] = 0.5
    values["graphs"]["shards"] = shards
    system = System.model_validate(values)
    if fits:
        assert system.n_parts(goes_on) == (-(-300 // part_ps) if goes_on else 1)
    else:
        with pytest.raises(ConfigError, match=r"graphs\.shards: the last part of a run of 300 ps"):
            system.n_parts(goes_on)


FRAMES = b"ITEM: TIMESTEP\n0\n..."


@pytest.fixture
def simulated(tmp_path, monkeypatch):
    """Runs a, b and c of a system, of which ``write_run`` writes frames; its configuration as it is now."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GDYN_RUNS_SO_FAR", raising=False)
    (tmp_path / "results/mine/simulation").mkdir(parents=True)
    simulate = {"deck": "in.x", "runs": 3, "length_ps": 200}
    trajectory = {name: value for name, value in GOOD["trajectory"].items() if name != "files"}
    config = write(tmp_path, GOOD | {"simulate": simulate, "trajectory": trajectory | {"labels": ["a", "b", "c"]}})

    def write_run(run, frames):
        (tmp_path / f"results/mine/simulation/{run}.lammpstrj").write_bytes(FRAMES.replace(b"...", b"\n") * frames)

    return config, write_run


def test_runs_that_have_hardly_begun_are_named_and_block_no_others(simulated, tmp_path):
    config, write_run = simulated
    with pytest.raises(ConfigError, match="mine: until: no run has written 3 frames yet under results/mine/simulation"):
        load_system("mine@now", config)
    write_run(1, 100)
    write_run(2, 3)  # the last of which may not be whole
    now = load_system("mine@now", config).trajectory
    assert (now.files, now.labels, now.not_begun) == (["results/mine/simulation/1.lammpstrj"], ["b"], ["a", "c"])
    write_run(2, 4)
    assert load_system("mine@now", config).trajectory.not_begun == ["a"]
    path = tmp_path / "results/mine/simulation/2.lammpstrj"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert load_system("mine@now", config).trajectory.not_begun == ["a"]
    path.write_bytes(b"ITE")
    assert load_system("mine@now", config).trajectory.not_begun == ["a", "c"]


def test_the_jobs_of_a_workflow_look_at_the_runs_that_it_has_found(simulated, monkeypatch):
    config, write_run = simulated
    write_run(1, 100)
    monkeypatch.setenv("GDYN_RUNS_SO_FAR", json.dumps({"mine": [1]}))
    write_run(0, 100)
    assert load_system("mine@now", config).trajectory.labels == ["b"]


def test_what_is_looked_at_now_needs_all_of_the_model_that_is_applied(simulated, tmp_path):
    config, write_run = simulated
    write_run(0, 100)
    other = yaml.safe_load((tmp_path / "mine.yaml").read_text())
    write(tmp_path, GOOD, "origin")
    del other["search"]
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(other | {"apply": "origin"}))
    (tmp_path / "results/origin/selected").mkdir(parents=True)
    (tmp_path / "results/origin/selected/model.pt").touch()
    with pytest.raises(ConfigError, match=r"until: results/origin/selected/choice\.json is not there yet"):
        load_system("mine@now", config)
