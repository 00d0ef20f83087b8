"""The samples that models are measured on: pictures with captions, and images of lines with their text."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps

from models.training.datasets import check_folder, read_captions, read_split
from models.training.formats import DatasetError


@dataclass(frozen=True)
class Sample:
    """An image, and its captions or the one text that is written on it."""

    image: Path
    texts: tuple[str, ...]

    def open(self) -> Image.Image:
        """Return the image as models take it: upright, RGB, transparency on white.

        Raises:
            DatasetError: the file is not an image, or a broken one.
        """
        try:
            with Image.open(self.image) as file:
                image = ImageOps.exif_transpose(file)
                if image.has_transparency_data:
                    image = image.convert("RGBA")
                    image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
                return image.convert("RGB")
        except Exception as error:
            # Decoders raise whatever they meet in a broken file.
            raise DatasetError(f"{self.image} cannot be read as an image: {error}") from error


def captioned(images: Path, captions: Path, split: Path | None = None, skip_missing: bool = False) -> list[Sample]:
    """Return the pictures of a captions file, or those of them that a split file names, in that file's order.

    Args:
        images: the folder of the pictures.
        captions: in any format of models/training/formats.py.
        split: a file of image names, one a line.
        skip_missing: leave out pictures that are not in the folder, instead of refusing.

    Raises:
        DatasetError: a file, the folder or a picture is missing, or there is nothing in it.
    """
    check_folder(images)
    known = read_captions(captions)
    names = read_split(split, known) if split else list(known)
    samples = [Sample(images / name, tuple(known[name])) for name in names]
    if not skip_missing:
        _check_there(samples, "--split can name those to use, --skip-missing leaves out those that are not there")
        return samples
    there = [sample for sample in samples if sample.image.is_file()]
    if not there:
        raise DatasetError(f"{images} has none of the {len(names)} images of {split or captions}")
    return there


def written(folder: Path) -> list[Sample]:
    """Return the lines of a folder: `lines.tsv` has a file name, a tab and the text in each row.

    The images are in a folder `lines` beside that file, as in copies of the IAM database, or in the same folder.

    Raises:
        DatasetError: the folder, the file or an image is missing, or a row is not as above.
    """
    check_folder(folder)
    listing = folder / "lines.tsv"
    images = folder / "lines" if (folder / "lines").is_dir() else folder
    try:
        rows = listing.read_text(encoding="utf-8-sig").split("\n")
    except FileNotFoundError:
        raise DatasetError(f"{listing} is not there: it should list file names, a tab, and the text of each") from None
    except (OSError, ValueError) as error:
        raise DatasetError(f"{listing} cannot be read: {error}") from error
    samples = []
    for number, row in enumerate(rows, start=1):
        name, _, text = row.partition("\t")
        if name.strip() and text.strip():
            samples.append(Sample(images / name.strip(), (text.strip(),)))
        elif row.strip():
            raise DatasetError(f"{listing}:{number}: not a file name, a tab and a text")
    if not samples:
        raise DatasetError(f"{listing} is empty")
    _check_there(samples, f"{listing} lists what should be")
    return samples


def _check_there(samples: Sequence[Sample], remedy: str) -> None:
    missing = [sample.image.name for sample in samples if not sample.image.is_file()]
    if missing:
        names = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        folder = samples[0].image.parent
        raise DatasetError(f"{folder} lacks {len(missing)} of {len(samples)} images ({names}): {remedy}")
