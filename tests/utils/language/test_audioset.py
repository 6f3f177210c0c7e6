"""The table from sounds to things: complete, in order, concrete, the same for like and like."""

from __future__ import annotations

import csv
import hashlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from utils.language import audioset
from utils.language.phrases import fill

ROWS = list(csv.DictReader(audioset.TABLE.read_text(encoding="utf-8").splitlines()))
# Of the official class_labels_indices.csv: the display names and the mids, one a line.
LABELS_SHA256 = "0b14c3a038e682627b9d4133084a7b63f805a7ab61896c5df8d3ec227af18c18"
MIDS_SHA256 = "fbd94e8a38594c56e778359b1bf3c59f4c669023df8780e7a234d87b93f6e463"

ABSTRACT = (
    "accent alarm ambience animation applause bang beat beep call cry dance echo effect event footstep genre hum "
    "impact laughter melody mood movement music noise nothing pitch recording rhythm scene shout silence singing song "
    "sound speech thing tone vibration voice weather wind"
)
PLURAL_ONLY = {"bagpipes", "fireworks", "scissors", "tubular bells"}
SINGULAR_IN_S = {"bus", "double bass", "glass"}

# Every thing is one of these kinds: a new word has to be put somewhere, and what fits nowhere cannot be seen.
KINDS = {
    "person": "person man woman child baby choir crowd hand musician orchestra",
    "animal": "animal dog wolf cat cow bull goat sheep horse pig lion tiger rat mouse frog snake whale insect "
    "cricket_insect mosquito housefly bee wasp bird chicken rooster turkey duck goose parrot pigeon dove crow owl",
    "instrument": "musical_instrument string_instrument guitar electric_guitar bass_guitar acoustic_guitar "
    "steel_guitar banjo sitar mandolin zither ukulele violin cello double_bass harp piano musical_keyboard "
    "electric_piano pipe_organ electric_organ synthesizer drum_machine harpsichord drum percussion_instrument "
    "drum_kit snare_drum bass_drum steel_drum timpani tabla cymbal hi-hat wood_block tambourine rattle maraca gong "
    "tubular_bells xylophone marimba glockenspiel vibraphone brass_instrument french_horn trumpet trombone "
    "wind_instrument flute saxophone clarinet harmonica accordion bagpipes didgeridoo shofar theremin turntable "
    "tuning_fork singing_bowl guitar_tuner guitar_pedal vinyl_record",
    "bell": "bell church_bell jingle_bell bicycle_bell chime wind_chime cowbell doorbell alarm_clock",
    "vehicle": "vehicle car truck bus van motorcycle bicycle train tram airplane helicopter boat ship sailboat "
    "canoe kayak rowboat motorboat tractor tank skateboard race_car ice_cream_truck emergency_vehicle police_car "
    "fire_truck ambulance steam_locomotive train_car subway_train",
    "part": "car_window tire jet_engine propeller engine",
    "nature": "water stream river waterfall ocean wave steam fire flame smoke lightning storm_cloud tree leaf "
    "wood log volcano explosion",
    "house": "door sliding_door window cupboard cabinet drawer faucet sink bathtub toilet lighthouse",
    "kitchen": "plate cooking_pot frying_pan cutlery fork spoon knife cutting_board food microwave blender kettle "
    "bowl cup glass bottle",
    "device": "hair_dryer electric_toothbrush vacuum_cleaner electric_shaver razor computer_keyboard laptop "
    "typewriter telephone cell_phone clock wristwatch loudspeaker warning_siren smoke_detector fire_alarm "
    "sewing_machine electric_fan ceiling_fan air_conditioner cash_register printer camera television radio water_pump",
    "tool": "tool hammer jackhammer saw drill circular_saw power_tool chainsaw lawn_mower dental_drill axe rasp "
    "sander sandpaper metal_file ratchet_wrench wrench gear pulley machine spray_bottle spray_can hose",
    "weapon": "gun rifle pistol machine_gun toy_gun cannon whip bow_and_arrow arrow firecracker fireworks",
    "belonging": "shoe toothbrush zipper key keychain coin scissors playing_card pen pencil whistle basketball "
    "ball paper plastic_bag fabric",
}
KIND_OF = {word.replace("_", " "): kind for kind, text in KINDS.items() for word in text.split()}


def test_every_label_is_there_once_in_the_official_order():
    assert list(ROWS[0]) == ["index", "mid", "label", "things", "last_member"]
    assert [row["index"] for row in ROWS] == [str(index) for index in range(527)]
    assert len({row["mid"] for row in ROWS}) == 527
    assert all(re.fullmatch(r"/[mtg]/[a-z0-9_]+", row["mid"]) for row in ROWS)
    assert audioset.labels() == tuple(row["label"] for row in ROWS)
    assert hashlib.sha256("\n".join(audioset.labels()).encode()).hexdigest() == LABELS_SHA256
    assert hashlib.sha256("\n".join(row["mid"] for row in ROWS).encode()).hexdigest() == MIDS_SHA256


@pytest.mark.parametrize(
    ("index", "mid", "label"),
    [
        (0, "/m/09x0r", "Speech"),
        (75, "/m/05tny_", "Bark"),
        (137, "/m/04rlf", "Music"),
        (308, "/m/0912c9", "Vehicle horn, car horn, honking"),
        (345, "/m/08j51y", "Dental drill, dentist's drill"),
        (433, "/g/122z_qxw", "Firecracker"),
        (526, "/m/07hvw1", "Field recording"),
    ],
)
def test_rows_are_where_taggers_have_them(index, mid, label):
    assert (ROWS[index]["mid"], ROWS[index]["label"]) == (mid, label)


@pytest.mark.parametrize(
    ("label", "things"),
    {
        "Speech": ("person",),
        "Male speech, man speaking": ("man", "person"),
        "Female singing": ("woman", "person"),
        "Child speech, kid speaking": ("child", "person"),
        "Baby cry, infant cry": ("baby", "child"),
        "Rapping": ("person",),
        "Beatboxing": ("person",),
        "Choir": ("choir", "person"),
        "Clapping": ("hand", "person"),
        "Applause": ("crowd", "person"),
        "Walk, footsteps": ("person", "shoe"),
        "Bark": ("dog",),
        "Whimper (dog)": ("dog",),
        "Meow": ("cat",),
        "Bleat": ("goat", "sheep"),
        "Crowing, cock-a-doodle-doo": ("rooster", "chicken", "bird"),
        "Cricket": ("cricket insect", "insect"),
        "Strum": ("guitar",),
        "Bass drum": ("bass drum", "drum"),
        "Rimshot": ("snare drum", "drum"),
        "Pizzicato": ("violin", "cello"),
        "Change ringing (campanology)": ("church bell", "bell"),
        "Scratching (performance technique)": ("turntable", "vinyl record"),
        "Thunder": ("lightning",),
        "Waterfall": ("waterfall",),
        "Crackle": ("fire", "flame"),
        "Vehicle horn, car horn, honking": ("car", "truck"),
        "Fire engine, fire truck (siren)": ("fire truck",),
        "Tire squeal": ("car", "tire"),
        "Fixed-wing aircraft, airplane": ("airplane",),
        "Train horn": ("train",),
        "Knock": ("door",),
        "Slam": ("door",),
        "Chopping (food)": ("knife", "cutting board"),
        "Typing": ("computer keyboard", "laptop", "typewriter"),
        "Tick-tock": ("clock",),
        "Dial tone": ("telephone",),
        "Gunshot, gunfire": ("gun", "rifle", "pistol"),
        "Fireworks": ("fireworks",),
        "Eruption": ("volcano",),
        "Shatter": ("glass", "window"),
        "Basketball bounce": ("basketball",),
        "Whip": ("whip",),
        "Television": ("television",),
        "Radio": ("radio",),
    }.items(),
)
def test_what_makes_a_sound(label, things):
    assert audioset.things(label) == things


@pytest.mark.parametrize(
    "label",
    [
        "Music", "Pop music", "Rock music", "Jazz", "Opera", "Theme music", "Sad music", "Song", "Wind", "Rain",
        "Wind noise (microphone)", "Silence", "Sine wave", "Sound effect", "Inside, small room",
        "Outside, rural or natural", "Reverberation", "Echo", "Noise", "Static", "Mains hum", "Sidetone", "White noise",
        "Vibration", "Field recording", "Alarm", "Beep, bleep", "Clang", "Hiss", "Squeak", "Boom", "Bang",
        "Speech synthesizer",
    ],
)  # fmt: skip
def test_what_nothing_visible_makes(label):
    assert audioset.things(label) == ()


@pytest.mark.parametrize("label", ["dog", "bark", "Speech ", "speech", "", "Dog, Bark", "Snap"])
def test_what_is_no_label(label):
    assert audioset.things(label) is None


def test_no_thing_stands_twice_in_a_row_and_the_lists_are_clean():
    for row in ROWS:
        things = audioset.things(row["label"])
        assert ";".join(things) == row["things"]  # no empty or padded entries
        assert len(set(things)) == len(things) <= 4, row


def test_a_thing_is_a_lower_case_singular_noun():
    things = audioset.vocabulary()
    assert [thing for thing in things if not re.fullmatch(r"[a-z]+(?:[ -][a-z]+){0,2}", thing)] == []
    assert {thing for thing in things if thing.endswith("s")} == PLURAL_ONLY | SINGULAR_IN_S
    assert {thing for thing in things if thing.endswith("ing")} == {"lightning"}
    assert {thing for thing in things if thing.split()[0] in {"a", "an", "the", "some"}} == set()
    assert fill("A photo of {}", things[0]) == "A photo of person"


def test_a_thing_is_concrete_and_of_one_kind():
    things = audioset.vocabulary()
    assert {thing for thing in things if thing.split()[-1] in ABSTRACT.split()} == {
        "fire alarm"
    }  # the red box on the wall
    assert sorted(KIND_OF) == sorted(things)  # a new word is put into its kind, or cannot be seen
    assert sum(len(text.split()) for text in KINDS.values()) == len(KIND_OF)


def test_a_label_that_names_a_thing_names_that_thing_first():
    things, otherwise = set(audioset.vocabulary()), set()
    named = 0
    for label in audioset.labels():
        own = re.sub(r" \(.*\)", "", label).split(",")[0].lower()  # "Fly, housefly", "Police car (siren)"
        own = own if own in things else own.removesuffix("s")
        named += own in things
        if own in things and audioset.things(label)[:1] != (own,):
            otherwise.add(label)
    assert named == 162
    assert otherwise == {
        "Rattle",  # of a snake, or of anything
        "Marimba, xylophone",  # the other is the better known
        "Rowboat, canoe, kayak",
        "Arrow",  # an arrow alone is a sign; it is the bow that sounds
        "Engine",  # the whole before its part, from here on
        "Jet engine",
        "Propeller, airscrew",
    }


def spanned(first: str, last: str) -> list[str]:
    labels = audioset.labels()
    return list(labels[labels.index(first) : labels.index(last) + 1])


@pytest.mark.parametrize(
    ("first", "last", "kinds", "nothing"),
    [
        ("Speech", "Children playing", "person", {"Speech synthesizer", "Synthetic singing"}),
        ("Animal", "Whale vocalization", "animal bell", {"Hiss", "Patter", "Rattle"}),
        ("Musical instrument", "Scratching (performance technique)", "instrument bell person", set()),
        ("Vehicle", "Accelerating, revving, vroom", "vehicle part tool", set()),
        ("Door", "Sliding door", "house bell", set()),
        ("Dishes, pots, and pans", "Blender", "kitchen", set()),
        ("Telephone", "Busy signal", "device", set()),
        ("Tools", "Drill", "tool", set()),
        ("Gunshot, gunfire", "Firecracker", "weapon", set()),
    ],
)
def test_like_sounds_are_made_by_like_things(first, last, kinds, nothing):
    found = {label: audioset.things(label) for label in spanned(first, last)}
    assert {label for label, things in found.items() if not things} == nothing
    for label, things in found.items():
        assert not things or KIND_OF[things[0]] in kinds.split(), label


def test_genres_moods_and_uses_of_music_name_nothing_but_voices():
    named = {label: audioset.things(label) for label in spanned("Pop music", "Scary music")}
    voices = {"Beatboxing": ("person",), "Vocal music": ("person",), "A capella": ("person",)}
    assert {label: things for label, things in named.items() if things} == voices


def test_channels_and_places_name_nothing():
    assert all(audioset.things(label) == () for label in spanned("Silence", "Vibration"))


def test_the_vocabulary_is_every_thing_once():
    vocabulary = audioset.vocabulary()
    assert len(set(vocabulary)) == len(vocabulary)
    assert set(vocabulary) == {thing for row in ROWS for thing in row["things"].split(";") if thing}
    assert vocabulary[:4] == ("person", "man", "woman", "child")


def test_the_table_is_read_when_it_is_needed_and_once():
    code = (
        "import pathlib; read = []; open_ = pathlib.Path.open\n"
        "pathlib.Path.open = lambda self, *a, **k: read.append(self.name) or open_(self, *a, **k)\n"
        "from utils.language import audioset; first = list(read)\n"
        "audioset.labels(), audioset.things('Dog'), audioset.vocabulary(); print(first, read)"
    )
    root = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.stdout.strip() == "[] ['audioset_things.csv']", done.stderr


@pytest.mark.parametrize(
    ("family", "inside", "outside"),
    [
        ("Animal", {"Dog", "Bark", "Whale vocalization"}, {"Animal", "Applause", "Children playing", "Music"}),
        ("Dog", {"Bark", "Whimper (dog)"}, {"Cat", "Dog"}),
        ("Musical instrument", {"Violin, fiddle", "Scratching (performance technique)"}, {"Music", "Pop music"}),
        ("Bowed string instrument", {"Double bass", "Violin, fiddle"}, {"Trombone", "Flute"}),
        ("Vehicle", {"Car", "Helicopter", "Skateboard"}, {"Engine", "Steam", "Chainsaw"}),
        ("Engine", {"Chainsaw", "Accelerating, revving, vroom"}, {"Door", "Skateboard"}),
        ("Bark", set(), {"Yip"}),
        ("dog", set(), {"Bark"}),
    ],
)
def test_members_of_a_family(family, inside, outside):
    members = set(audioset.members(family))
    assert inside <= members and not outside & members and bool(inside) == bool(members)


def test_families_lie_within_families():
    """No two of them cross: what is behind a family's first member and its last is all inside."""
    spans = [(int(row["index"]), int(row["last_member"])) for row in ROWS if row["last_member"]]
    assert len(spans) > 60 and all(first < last < 527 for first, last in spans)
    for first, last in spans:
        assert all(end <= last for start, end in spans if first < start <= last)
