import subprocess
import sys

import pytest

import methods
from models.config import ROLES, ROOT, config_names, families, family_class, load_config, sources
from utils.cli import DEFAULT_CONFIG as DEFAULT
from utils.cli import Range, check_setting, settings_of
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
        (["image_captioner.max_new_tokens=many"], "max_new_tokens must be a whole number from 1 up; found 'many'"),
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


def test_every_number_of_a_family_and_every_none_declares_its_range():
    for role in ROLES:
        for name in families(role):
            for key, setting in settings_of(family_class(role, name)).items():
                default = setting.default[0] if isinstance(setting.default, tuple) else setting.default
                if type(default) in (int, float, type(None)):
                    assert any(isinstance(one, Range) for one in setting.annotation.__metadata__), (role, name, key)
                if setting.default is not None:
                    check_setting(key, setting.default, setting)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("audio_tagger.audio_classification.activation", "relu"),
        ("image_captioner.classifier.scales", [32]),
        ("segmenter.class_map.scales", [256, 63]),
        ("segmenter.class_map.scales", []),
        ("segmenter.grounded_sam.box_threshold", 1.0),
        ("segmenter.grounded_sam.box_threshold", -0.1),
        ("segmenter.grounded_sam.max_boxes", 0),
        ("segmenter.grounded_sam.mask_temperature", 0.0),
        ("segmenter.sam3.source", "masks"),
        ("segmenter.sam3.score_threshold", 1.0),
        ("segmenter.sam3.min_presence", -1.0),
        ("segmenter.sam3.mask_temperature", -2.0),
        ("segmenter.asda.resize_mode", "crop"),
        ("segmenter.sam_clip.points_per_side", 0),
        ("segmenter.sam_clip.max_proposals", 0),
        ("segmenter.sam_clip.crop_context", -0.1),
        ("segmenter.sam_clip.background", "black"),
        ("segmenter.sam_clip.mask_temperature", 0.0),
        ("segmenter.sam_clip.negatives", []),
    ],
)
def test_settings_out_of_their_family_s_range_are_refused(setting, value):
    role, family, key = setting.split(".")
    with pytest.raises(UserError, match=rf"^{key} must be .*; found "):
        check_setting(key, value, settings_of(family_class(role, family))[key])


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
        ("image_captioner.max_new_tokens=0", "max_new_tokens must be a whole number from 1 up; found 0"),
        ("audio_tagger.window_seconds=-3", "window_seconds must be a number from 0.1 to 3600, of seconds; found -3"),
        ("audio_tagger.window_seconds=.nan", "window_seconds must be a number from 0.1 to 3600, of seconds; found nan"),
        ("audio_tagger.activation=tanh", "audio_tagger.activation must be one of .*softmax.*; found 'tanh'"),
        ("segmenter.revision=5", "segmenter.revision must be str; found 5"),
        (
            "audio_tagger.window_seconds=abc",
            "window_seconds must be a number from 0.1 to 3600, of seconds; found 'abc'",
        ),
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


NINE = ", ".join(["*{}"] * 9)
LAUGHS = "\n".join(f"{chr(98 + i)}: &{chr(98 + i)} [{NINE.format(*[chr(97 + i)] * 9)}]" for i in range(9))
MERGED = "\n".join(f"{chr(98 + i)}: &{chr(98 + i)} {{<<: [{NINE.format(*[chr(97 + i)] * 9)}]}}" for i in range(9))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("summary: a\nroles: {}\nsummary: b\n", "has the key 'summary' twice.*line 1"),
        ("roles:\n  segmenter: {family: clipseg, weights: a/b, weights: c/d}\n", "has the key 'weights' twice"),
        (f"a: &a [lol, lol]\n{LAUGHS}\n", "more than 100000 values"),
        (f"a: &a {{x: 1, y: 2}}\n{MERGED}\n", "more than 100000 values"),
        ("roles: &a\n  segmenter: *a\n", "more than 100000 values"),
        ("[" * 700 + "]" * 700, "nested too deeply"),
        ("roles: " + "{a: " * 700 + "}" * 700, "nested too deeply"),
        ("1: {}\n", "unknown key 1 .*known: summary, roles, methods"),
        ("roles: {2024-01-01: {}}\n", "unknown role '2024-01-01'"),
        ("roles: {segmenter: {1: x, family: clipseg, weights: a/b}}\n", "unknown setting 1 in role segmenter"),
        ("methods: {true: {}}\n", "unknown method True"),
        ("roles: {[a]: {}}\n", "is not YAML"),
        ("roles: {segmenter: {family: clipseg, weights: !!timestamp nonsense}}\n", "is not YAML"),
        ("roles: {segmenter: {family: clipseg, weights: !!int ''}}\n", "is not YAML"),
        ("summary: \x07\n", "is not YAML"),
    ],
)
def test_no_yaml_is_too_odd_for_one_sentence(tmp_path, text, sentence):
    (tmp_path / "odd.yaml").write_text(text)
    with pytest.raises(UserError, match=sentence) as refused:
        load_config(tmp_path / "odd.yaml", methods=methods.available())
    assert "\n" not in str(refused.value)


def test_a_date_is_a_text_and_an_alias_is_what_it_names(tmp_path):
    (tmp_path / "mine.yaml").write_text(
        "roles:\n  segmenter: {family: clipseg, weights: &w a/b, revision: 2024-13-45}\n"
        "  image_captioner: &c {family: blip, weights: *w}\n  audio_tagger: {<<: *c, family: audio_classification}\n"
    )
    roles = load_config(tmp_path / "mine.yaml").roles
    assert roles["segmenter"]["revision"] == "2024-13-45"
    assert roles["audio_tagger"] == {"family": "audio_classification", "weights": "a/b"}
    (tmp_path / "mine.yaml").write_text("roles:\n  segmenter: {family: clipseg, weights: a/b}\n")
    for value in ("2024-01-01", "2024-13-45", "2024-01-01T25:61:61"):
        found = load_config(tmp_path / "mine.yaml", [f"segmenter.revision={value}"]).roles
        assert found["segmenter"]["revision"] == value


@pytest.mark.parametrize(
    ("override", "sentence"),
    [
        ("segmenter.license=" + "[" * 700, "nested too deeply"),
        ("segmenter.masks.x=1", "unknown setting 'masks'"),
        ("5.weights=x", "unknown role or method '5'"),
        ("segmenter.1=x", "unknown setting '1'"),
        ("segmenter.weights={a: 1, a: 2}", "has the key 'a' twice"),
        ("segmenter.weights={1: 2}", "needs segmenter.weights"),
        ("segmenter.weights=\udcff", "is not YAML"),
    ],
)
def test_no_override_is_too_odd_for_one_sentence(path, override, sentence):
    with pytest.raises(UserError, match=sentence):
        load_config(path, [override])
