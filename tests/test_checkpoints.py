import pytest

import methods
from models.config import load_config, sources
from models.image_captioner.image_to_text import BlipCaptioner
from tests.checkpoints import __main__ as program
from tests.checkpoints.published import available, write
from tests.checkpoints.vocabularies import byte_level_bpe, word_piece, words
from utils.errors import UserError

BLIP = "Salesforce/blip-image-captioning-base"


@pytest.fixture
def blip(tmp_path):
    return write(BLIP, tmp_path / "blip", tiny=True)


def test_what_is_written_loads(blip):
    assert BlipCaptioner.from_pretrained(blip).provenance["family"] == "blip"


def test_files_of_others_are_left_alone(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UserError, match="expected an empty folder or none, found files in"):
        write(BLIP, tmp_path, tiny=True)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_writing_is_whole_repeatable_and_not_done_twice(blip, tmp_path):
    weights = blip / "model.safetensors"
    assert write(BLIP, tmp_path / "again", tiny=True).joinpath("model.safetensors").read_bytes() == weights.read_bytes()
    before = weights.stat().st_mtime_ns
    write(BLIP, blip, tiny=True)
    assert weights.stat().st_mtime_ns == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again", "blip"]


def test_an_unknown_architecture_is_answered_with_the_known(tmp_path):
    with pytest.raises(UserError, match=f"no architecture is known here for nobody/nothing; known: .*{BLIP}"):
        write("nobody/nothing", tmp_path / "x")


@pytest.mark.parametrize("size", [300, 30524])
def test_word_pieces_fill_the_size_and_read_any_word(size):
    vocab = word_piece(["[PAD]", "[UNK]"], size)
    assert len(vocab) == size and sorted(vocab.values()) == list(range(size))
    assert list(vocab)[:2] == ["[PAD]", "[UNK]"] and {"a", "##z"} <= set(vocab)


@pytest.mark.parametrize(("suffix", "last"), [("", False), ("</w>", False), ("", True)])
def test_byte_level_vocabularies_fill_the_size(suffix, last):
    vocab, merges = byte_level_bpe(["<s>", "</s>"], 60000, suffix, last)
    assert len(vocab) == 60000 and sorted(vocab.values()) == list(range(60000)) and merges == []
    assert (vocab["<s>"], vocab["</s>"]) == ((59998, 59999) if last else (0, 1))


def test_words_never_run_out_and_are_distinct():
    assert len(set(words(200_000))) == 200_000


def test_a_config_of_random_networks_is_written_and_reads_back(tmp_path):
    mine = tmp_path / "mine.yaml"
    mine.write_text(f"roles:\n  image_captioner:\n    family: blip\n    weights: {BLIP}\n    max_new_tokens: 5\n")
    path = program.main(["--config", str(mine), "--tiny", "--out", str(tmp_path / "random")])
    config = load_config(path, methods=methods.available())
    (source,) = sources(config)
    folder = tmp_path / "random" / "Salesforce--blip-image-captioning-base-tiny"  # never taken for one of full size
    assert source.weights == str(folder) and (folder / "config.json").is_file()
    assert config.roles["image_captioner"]["max_new_tokens"] == 5 and "RANDOM WEIGHTS" in config.summary
    assert config.methods["cross_modal"]["min_similarity"] == -1  # every stage shall work


def test_every_architecture_stands_in_one_file():
    assert available()[BLIP] == "blip"
