import pytest

from models.audio_tagger.label_names import label_names
from utils.language.audioset import labels


@pytest.mark.parametrize("form", ["LABEL_{}", "{}"])
def test_527_numbers_are_audiosets_in_order(form):
    names = label_names([form.format(index) for index in range(527)])
    assert names == list(labels()) and names[0] == "Speech" and names[526] == "Field recording"


def test_machine_ids_are_looked_up_in_any_order_and_number():
    assert label_names(["/m/0bt9lr", "/m/09x0r", "/t/dd00001", "/m/nobody"]) == [
        "Dog",
        "Speech",
        "Baby laughter",
        "/m/nobody",
    ]


@pytest.mark.parametrize("given", [["LABEL_0", "LABEL_1"], ["dog", "/m/09x0r"], [], [f"dog {i}" for i in range(527)]])
def test_names_and_other_numbers_stay(given):
    assert label_names(given) == given
