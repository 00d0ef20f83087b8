"""Captions and words as one sentence."""

import pytest

from app.alt_text import clean, compose, list_sure, shorten

CAPTION = "a man with a beard is standing in front of a long wooden fence near the old harbour"
WORDS = "Larkfield Paper Company INVOICE Fine stationery and print 18 Mill Lane, Brookhaven Phone: 555 0142"


@pytest.mark.parametrize(
    ("caption", "words", "expected"),
    [
        ("a dog on a hill", "", "A dog on a hill."),
        ("a dog on a hill.", "", "A dog on a hill."),
        ("a blue sign", "MIND THE STEP", "A blue sign, with the text “MIND THE STEP”."),
        ("a blue sign", "PLATFORM 4\n\nMIND  THE\tSTEP\n", "A blue sign, with the text “PLATFORM 4 MIND THE STEP”."),
        ("", "MIND THE STEP", "The text “MIND THE STEP”."),
        ("a big dog, a big dog, and a cat", "", "A big dog, and a cat."),
        ("", "", ""),
        ("  ", " \n ", ""),
        ("an image of", "", ""),
        ("a sign", "he said “no”", "A sign, with the text “he said 'no'”."),
        ("a sign", 'he said "no"', 'A sign, with the text “he said "no"”.'),
        ("a sign", "no", "A sign, with the text “no”."),
        ("Ein Schild", "Straße 5", "Ein Schild, with the text “Straße 5”."),
    ],
)
def test_one_sentence(caption: str, words: str, expected: str) -> None:
    assert compose(caption, words, 250) == expected


@pytest.mark.parametrize(
    "opening",
    [
        "an image of", "a picture of", "a photo of", "a photograph of", "the photo of", "a photography of", "photo of",
        "a close up of", "a close-up of", "a closeup of", "a close up photo of", "there is a photo of",
        "this is a picture of",
        "An Image Of", "an image of a picture of", "there is an image showing", "arafed image of", "a arafed photo of",
    ],
)  # fmt: skip
def test_that_it_is_an_image_goes_without_saying(opening: str) -> None:
    assert compose(f"{opening} a red boat", "", 250) == "A red boat."


@pytest.mark.parametrize(
    "caption", ["a painting of a boat", "people taking a photo of a boat", "a boat beside a picture of a harbour"]
)
def test_what_the_picture_shows_stays(caption: str) -> None:
    assert compose(caption, "", 250) == f"{caption.capitalize()}."


@pytest.mark.parametrize("nonsense", ["arafed", "araffe", "araffed", "arafe", "araffes", "arafes", "Arafed"])
@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("{} man in a hat", "Man in a hat"),
        ("a {} man in a hat", "Man in a hat"),
        ("there are two {} birds", "There are two birds"),
        ("a bird, {}, on a roof", "A bird, on a roof"),
    ],
)
def test_nonsense_is_left_out(nonsense: str, caption: str, expected: str) -> None:
    assert clean(caption.format(nonsense)) == expected


@pytest.mark.parametrize("word", ["giraffe", "carafe", "carafes", "Arafat", "paraffin"])
def test_words_that_look_like_nonsense_stay(word: str) -> None:
    assert word in compose(f"beside a {word} there", "", 250)


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("a bald bald bald man", "A bald man"),
        ("a man in a hat in a hat in a hat", "A man in a hat"),
        ("a dog and a cat and a cat", "A dog and a cat"),
        ("red, red, red flowers", "Red flowers"),
        ("The the dog", "The dog"),
        ("a man with a red hat with a red hat by the sea", "A man with a red hat by the sea"),
        ("a dog a man a dog", "A dog a man a dog"),
    ],
)
def test_what_is_said_again_and_again_is_said_once(caption: str, expected: str) -> None:
    assert clean(caption) == expected


@pytest.mark.parametrize("caption", ["", "a dog", CAPTION, "x" * 400, "x " * 200, "a, b; c. " * 40])
@pytest.mark.parametrize("words", ["", "EXIT", WORDS, "x" * 400, "y " * 200, "¶ “” " * 50])
def test_the_limit_is_kept_at_every_length(caption: str, words: str) -> None:
    for length in range(20, 301):
        text = compose(caption, words, length)
        assert len(text) <= length
        assert bool(text) == bool(caption.strip() or words.strip()), (length, text)
        assert text == text.strip()
        assert "\n" not in text
        assert text.count("“") == text.count("”") <= 1


@pytest.mark.parametrize("length", range(20, 120))
def test_a_caption_is_cut_between_words(length: int) -> None:
    text = compose(CAPTION, "", length)
    whole = CAPTION.capitalize()
    if len(whole) < length:
        assert text == f"{whole}."
    else:
        kept = text.removesuffix("….")
        assert kept != text
        assert whole.startswith(f"{kept} ")


@pytest.mark.parametrize("length", range(60, 200, 7))
def test_a_long_transcription_is_cut_between_words(length: int) -> None:
    text = compose("a letter", WORDS * 5, length)
    lead = "A letter, with the text “"
    assert text.startswith(lead)
    kept = text.removeprefix(lead).removesuffix("…”.")
    assert (WORDS * 5)[len(kept)] in " ,.:;", "what is cut off begins after a word"
    assert (WORDS * 5).startswith(kept)
    assert len(text) > length - 20, "the room is used"


def test_words_alone_are_said_even_where_the_room_is_short() -> None:
    assert compose("", "PLATFORM 4", 20) == "“PLATFORM 4”"
    assert compose("", "PLATFORM 4 MIND THE STEP", 20) == "“PLATFORM 4 MIND…”"


def test_words_that_have_no_room_are_left_out_rather_than_cut_to_a_stump() -> None:
    assert compose(CAPTION, WORDS, len(CAPTION) + 25) == f"{CAPTION.capitalize()}."


@pytest.mark.parametrize(
    ("text", "length", "expected"),
    [
        ("one two three", 13, "one two three"),
        ("one two three", 12, "one two…"),
        ("one two three", 8, "one two…"),
        ("one two three", 7, "one…"),
        ("one, two", 6, "one…"),
        ("unbreakable", 5, "unbr…"),
        ("", 5, ""),
    ],
)
def test_shorten(text: str, length: int, expected: str) -> None:
    assert shorten(text, length) == expected


@pytest.mark.parametrize(
    ("things", "words", "length", "expected"),
    [
        (["broccoli", "table"], "", 250, "Photo: broccoli, table"),
        ([], "PLATFORM 4\n\nMIND  THE STEP\n", 250, "Text: PLATFORM 4 MIND THE STEP"),
        (["bus", "street"], "STOP", 250, "Photo: bus, street. Text: STOP"),
        (["bus", "street"], "STOP", 28, "Photo: bus. Text: STOP"),
        (["bus"], "one two three", 14, "Text: one two…"),
        (["sign"], "STOP", 250, "Text: STOP"),
        (["white", "building", "jumping", "rides", "sign"], "", 250, "Photo: building, sign"),
        ([], "", 250, ""),
    ],
)
def test_without_a_sentence_only_what_is_sure_is_said(
    things: list[str], words: str, length: int, expected: str
) -> None:
    assert list_sure(things, words, length) == expected
    assert len(expected) <= length
