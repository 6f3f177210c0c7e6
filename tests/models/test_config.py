import subprocess
import sys

import pytest

import methods
from models.config import ROLES, ROOT, config_names, families, family_class, load_config, settings_of, sources
from utils.cli import DEFAULT_CONFIG as DEFAULT
from utils.errors import UserError

CONFIG = """
summary: a test
roles:
  image_captioner: {family: blip, weights: some/where/else, repetition_penalty: 1.0}
  segmenter: {family: clipseg, weights: CIDAS/clipseg-rd64-refined, revision: abc}
  audio_tagger: {family: audio_classification, weights: some/where/else}
"""


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(CONFIG)
    return path


def test_the_default_names_a_bundled_network_for_every_role():
    config = load_config(DEFAULT)
    assert config.name == DEFAULT and config.path == ROOT / "configs" / f"{DEFAULT}.yaml"
    assert tuple(config.roles) == ROLES and "\n" not in config.summary and config.summary
    assert {source.weights.rpartition("/")[0] for source in sources(config)} == {f"models/{DEFAULT}"}
    assert load_config() == config


def test_every_bundled_config_is_valid():
    assert DEFAULT in config_names()
    for name in config_names():
        assert load_config(name).name == name


def test_a_file_of_ones_own(path):
    config = load_config(path)
    assert config.name == "mine" and config.summary == "a test" and config.methods == {}
    assert config.roles["segmenter"] == {
        "family": "clipseg",
        "weights": "CIDAS/clipseg-rd64-refined",
        "revision": "abc",
    }


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("image_captioner.repetition_penalty=2", 2),
        ("image_captioner.repetition_penalty=2.5e0", 2.5),
        ("image_captioner.repetition_penalty=1e-3", 0.001),
        ("image_captioner.max_new_tokens=30", 30),
        ("image_captioner.weights=a=b", "a=b"),
    ],
)
def test_overrides_are_yaml(path, override, value):
    role, key = override.partition("=")[0].split(".")
    assert load_config(path, [override]).roles[role][key] == value


def test_the_last_override_wins_and_the_file_is_not_touched(path):
    overrides = ["segmenter.revision=one", "segmenter.revision=two"]
    assert load_config(path, overrides).roles["segmenter"]["revision"] == "two"
    assert load_config(path).roles["segmenter"]["revision"] == "abc"


def test_an_override_may_add_a_role(path):
    config = load_config(path, ["audio_text.family=clap", "audio_text.weights=laion/clap-htsat-unfused"])
    assert config.roles["audio_text"] == {"family": "clap", "weights": "laion/clap-htsat-unfused"}


def test_an_override_may_set_a_method(path):
    config = load_config(path, ["cross_modal.min_similarity=0.1"], methods.available())
    assert config.methods == {"cross_modal": {"min_similarity": 0.1}}


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["segmentr.weights=x"], "unknown role or method 'segmentr'.*known:.*segmenter"),
        (["segmenter.wieghts=x"], "unknown setting 'wieghts'.*known: family, weights, revision, license, dtype"),
        (["image_captioner.penalty=1"], "unknown setting 'penalty'.*max_new_tokens, repetition_penalty"),
        (["segmenter.family=clipsg"], "unknown family 'clipsg'.*known: clipseg"),
        (["audio_text.family=clap"], "role audio_text .*needs audio_text.weights"),
        (["image_captioner.max_new_tokens=many"], "max_new_tokens must be of the kind of its default 16; found 'many'"),
        (["image_captioner.max_new_tokens=true"], "found True"),
        (["segmenter.weights"], "expected ROLE.key=value or METHOD.key=value, found 'segmenter.weights'"),
        (["segmenter=x"], "expected ROLE.key=value"),
        (["segmenter.revision=[1"], "is not YAML"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_would(path, overrides, sentence):
    with pytest.raises(UserError, match=sentence):
        load_config(path, overrides, methods.available())


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("roles: [clap]", "roles in .* must map"),
        ("- a", "must hold summary, roles, methods; found list"),
        ("", "must hold summary, roles, methods; found NoneType"),
        ("rolls: {}", "unknown key 'rolls'.*known: summary, roles, methods"),
        ("roles: {painter: {}}", "unknown role 'painter'.*audio_text"),
        ("methods: {guess: {}}", "unknown method 'guess'"),
        ("roles: {", "is not YAML"),
    ],
)
def test_files_of_another_form_are_refused(tmp_path, text, sentence):
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(UserError, match=sentence):
        load_config(tmp_path / "bad.yaml", methods=methods.available())


def test_an_unknown_name_is_answered_with_the_known_ones():
    with pytest.raises(UserError, match=f"no config 'bsae'; bundled at present: .*{DEFAULT}.*YAML file of your own"):
        load_config("bsae")


def test_every_family_can_be_built_from_its_settings_alone():
    for role in ROLES:
        for name in families(role):
            model_class = family_class(role, name)
            assert model_class.family == name
            assert all(setting.default is not setting.empty for setting in settings_of(model_class).values())


def test_naming_a_config_imports_nothing_heavy():
    code = "import sys, models.config, models.loading; sys.exit(bool({'torch', 'transformers'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_another_family_starts_from_nothing(tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text(
        "roles:\n  segmenter:\n    family: grounded_sam\n    box_threshold: 0.2\n"
        "    detector: {weights: a/b}\n    masks: {weights: c/d}\n"
    )
    other = load_config(mine, ["segmenter.weights=e/f", "segmenter.family=clipseg"])
    assert other.roles["segmenter"] == {"family": "clipseg", "weights": "e/f"}
    same = load_config(mine, ["segmenter.family=grounded_sam", "segmenter.masks.weights=e/f"])
    assert same.roles["segmenter"]["masks"] == {"weights": "e/f"} and same.roles["segmenter"]["box_threshold"] == 0.2
    with pytest.raises(UserError, match="needs segmenter.weights"):
        load_config(mine, ["segmenter.family=clipseg"])


def test_other_weights_drop_what_was_said_of_the_ones_before(tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text(
        "roles:\n  segmenter:\n    family: clipseg\n    weights: a/b\n    license: GPL-2.0\n    revision: abc\n"
        "    trust_remote_code: true\n    dtype: bfloat16\n"
    )
    other = load_config(mine, ["segmenter.license=MIT", "segmenter.weights=c/d"]).roles["segmenter"]
    assert other == {"family": "clipseg", "weights": "c/d", "license": "MIT", "dtype": "bfloat16"}
    assert load_config(mine, ["segmenter.weights=a/b"]).roles["segmenter"]["revision"] == "abc"
    assert "license" not in load_config(mine, ["segmenter.weights=c/d"]).roles["segmenter"]


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("segmenter.dtype=float8", "segmenter.dtype must be one of float32, bfloat16, float16; found 'float8'"),
        ("image_captioner.max_new_tokens=0", "max_new_tokens must be a number above 0; found 0"),
        ("audio_tagger.window_seconds=abc", "window_seconds must be a number above 0; found 'abc'"),
    ],
)
def test_values_no_network_could_work_with(path, override, sentence):
    with pytest.raises(UserError, match=sentence):
        load_config(path, [override])


def test_a_config_that_is_no_text(tmp_path):
    (tmp_path / "mine.yaml").write_bytes(b"\xff\xfe\x00roles")
    with pytest.raises(UserError, match="cannot read .*mine.yaml.*expected a YAML file in UTF-8"):
        load_config(tmp_path / "mine.yaml")


def test_only_the_roles_that_are_used_are_looked_into(path):
    path.write_text(CONFIG + "  audio_text: {family: clap, weights: a/b, speed: 3}\n")
    config = load_config(path, ["segmenter.revision=x"], used=["image_captioner"])
    assert [source.role for source in sources(config, ["segmenter"])] == ["segmenter"]
    with pytest.raises(UserError, match="unknown setting 'speed'"):
        load_config(path, used=["audio_text"])
    with pytest.raises(UserError, match="unknown setting 'speed'"):
        load_config(path, ["audio_text.revision=x"], used=["segmenter"])
