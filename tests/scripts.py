"""Pages in the scripts that only tesseract reads, drawn with fonts of Debian: the first article of the Universal
Declaration of Human Rights, as the languages have it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

FONTS = Path("/usr/share/fonts")
WIDTH, MARGIN = 1000, 60


@dataclass(frozen=True)
class Language:
    """A language to draw: its code, that of tesseract, a font, and a text."""

    code: str
    name: str
    font: str
    text: str


LANGUAGES = (
    Language("ru", "rus", "FreeSerif",
        "Все люди рождаются свободными и равными в своем достоинстве и правах. Они наделены разумом и совестью и "
        "должны поступать в отношении друг друга в духе братства."),
    Language("el", "ell", "FreeSerif",
        "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα. Είναι προικισμένοι με "
        "λογική και συνείδηση, και οφείλουν να συμπεριφέρονται μεταξύ τους με πνεύμα αδελφοσύνης."),
    Language("ar", "ara", "Amiri-Regular",
        "يولد جميع الناس أحرارا متساوين في الكرامة والحقوق. وقد وهبوا عقلا وضميرا وعليهم أن يعامل بعضهم بعضا بروح "
        "الإخاء."),
    Language("he", "heb", "FreeSans",
        "כל בני אדם נולדו בני חורין ושווים בערכם ובזכויותיהם. כולם חוננו בתבונה ובמצפון, לפיכך חובה עליהם לנהוג איש "
        "ברעהו ברוח של אחווה."),
    Language("hi", "hin", "Lohit-Devanagari",
        "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है। उन्हें बुद्धि और "
        "अन्तरात्मा की देन प्राप्त है और परस्पर उन्हें भाईचारे के भाव से बर्ताव करना चाहिए।"),
    Language("th", "tha", "Garuda",
        "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ ต่างมีเหตุผลและมโนธรรม "
        "และควรปฏิบัติต่อกันด้วยเจตนารมณ์แห่งภราดรภาพ"),
    Language("ko", "kor", "NanumMyeongjo",
        "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다. 인간은 천부적으로 "
        "이성과 양심을 부여받았으며 서로 형제애의 정신으로 행동하여야 한다."),
)  # fmt: skip


def font_file(name: str) -> Path:
    """Return the file of a font by its name.

    Raises:
        FileNotFoundError: no package with it is installed; .ci/programs.sh names them.
    """
    for file in sorted(FONTS.rglob(f"{name}.*")):
        return file
    raise FileNotFoundError(name)


def draw(language: Language, height: int = 32, font: Path | None = None) -> tuple[Image.Image, list[str]]:
    """Return a page with the text of a language, and its lines from top to bottom, each in logical order."""
    face = ImageFont.truetype(font or font_file(language.font), height, layout_engine=ImageFont.Layout.RAQM)
    lines = _wrapped(language.text.split(), face)
    image = Image.new("RGB", (WIDTH, 2 * MARGIN + 2 * height * len(lines)), "white")
    pen = ImageDraw.Draw(image)
    right = language.code in ("ar", "he")
    for number, line in enumerate(lines):
        place = (WIDTH - MARGIN if right else MARGIN, MARGIN + 2 * height * number)
        pen.text(
            place,
            line,
            fill="black",
            font=face,
            anchor="ra" if right else "la",
            direction="rtl" if right else "ltr",
            language=language.code,
        )
    return image, lines


def _wrapped(words: Sequence[str], font: ImageFont.FreeTypeFont) -> list[str]:
    lines = [""]
    for word in words:
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > WIDTH - 2 * MARGIN:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
