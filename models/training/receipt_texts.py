"""Lines of text as receipts, labels and tickets have them: shops, addresses, items, amounts, dates, codes, thanks.

Nothing here is taken from a data set. Words are those of shops in English, Malay, German, French, Spanish and Italian;
codes and names of no meaning keep a reader from guessing.
"""

import random
import string
from functools import cache

_SHOP = """
total subtotal cash change date time number item items price amount tax invoice receipt thank you please come again
goods sold are not returnable refundable exchange within days with original strictly no refund served by cashier
operator salesperson counter terminal station table order token member card points discount rounding adjustment
rounded summary code name page description quantity qty unit company reg registration limited service charge included
inclusive excluding exclusive payable due balance tendered paid visa mastercard credit debit approval trace batch host
customer copy merchant signature required welcome visit feedback survey download free gift voucher valid until terms
and conditions apply keep this bill for your reference must be in good condition state transaction void reprint
duplicate document simplified sales net gross weight tare each dozen pack box bottle bag roll set pair pieces litre
kilo gram deposit return fee delivery take away dine pax room guest check closed open opening hours daily monday
tuesday wednesday thursday friday saturday sunday january february march april june july august september october
november december street road lane avenue floor suite building centre mall park industrial north south east west city
town phone fax mobile email website tel hotline wholesale retail dealing trading enterprise hardware stationery
restaurant bakery pharmacy clinic supermarket market mart store stores shop express group holdings international
services solutions auto parts petrol diesel pump station book books tape glue paint brush screw bolt nut cable wire
bulb lamp switch plug pipe valve hose bucket broom wash cleaner soap shampoo tissue towel paper pen pencil file folder
envelope ink toner battery charger adapter apple banana orange lemon lime mango grape melon carrot potato tomato onion
garlic ginger chilli rice noodle bread bun cake butter cheese milk yogurt egg eggs chicken beef lamb fish prawn crab
soup salad burger fries pizza pasta sauce sugar salt pepper oil tea coffee latte juice water drink cola soda beer wine
ice cream chocolate biscuit candy mint nuts vanilla strawberry original classic regular large medium small hot cold
fresh frozen spicy crispy extra double single
"""
_OTHER = """
jalan taman lorong bandar kampung kedai perniagaan restoran jumlah tunai baki harga barang terima kasih sila datang
lagi selamat cukai resit nombor tarikh masa summe gesamt betrag bar gegeben rückgeld mwst steuer rechnung datum
uhrzeit danke für ihren einkauf straße stück pfand netto brutto kasse bediener montant tva ttc espèces rendu monnaie
merci de votre visite à bientôt ticket caisse prix quantité remise carte bancaire importe efectivo cambio gracias por
su compra fecha hora tienda factura cantidad precio iva totale contanti resto scontrino grazie arrivederci prezzo
pezzi
"""
_FORMS = "SDN BHD|LTD|GMBH|INC|CO|PLC|LLC|S.A.|PTE LTD|(M) SDN BHD|& SONS|SARL"
_LABELS = """
TEL|FAX|TEL NO|GST|GST NO|GST REG NO|CO REG NO|COMPANY NO|REG NO|INVOICE NO|INV NO|RECEIPT|RECEIPT NO|DOC NO|BILL
NO|DATE| TIME|CASHIER|COUNTER|TABLE|TERMINAL|SALESPERSON|REF|TRANS|ID|PID|NO|ITEM(S)|TOTAL QTY|SUB
TOTAL|SUBTOTAL|TOTAL| GRAND TOTAL|NET TOTAL|TOTAL SALES|TOTAL AMT|CASH|CHANGE|ROUNDING|ROUNDING ADJ|DISCOUNT|TAX|GST
6%|TAX TOTAL|AMOUNT| AMOUNT DUE|BALANCE|VISA|TOTAL (RM)|TAX (RM)|AMT (RM)|AMOUNT (RM)|VAT|VAT NO|USt-
IdNr|SUMME|MwSt|TOTAL TTC|TVA|IVA
"""
TECHNICAL = 0.2  # of all lines: what stands on screens and labels of machines
_CURRENCIES = ("RM", "RM", "RM ", "$", "EUR ", "€", "£", "USD ", "S$", "")
_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"  # of codes, where an O would be taken for a zero, and an I for a one
_UNITS = ("ML", "L", "KG", "G", "GM", "MM", "CM", "PCS", "PC", "S", "X", "W", "V", "M", "OZ", "LB", "INCH", "PKT")


@cache
def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


@cache
def _phrases(text: str) -> tuple[str, ...]:
    return tuple(phrase.strip() for phrase in text.split("|"))


def receipt_line(chance: random.Random) -> str:
    """Return a line of a receipt, most of them in capitals."""
    if chance.random() < TECHNICAL:
        return _technical(chance)
    kinds = (_label, _label, _item, _item, _amounts, _sentence, _sentence, _address, _code, _amount, _date, _nonsense)
    text = chance.choice(kinds)(chance)
    draw = chance.random()
    if draw < 0.55:
        text = text.upper()
    elif draw < 0.7:
        text = text.title()
    return " ".join(text.split())[:48].strip() or "0"


def _some(chance: random.Random, fewest: int, most: int) -> str:
    words = _words(_OTHER) if chance.random() < 0.15 else _words(_SHOP)
    text = " ".join(chance.choice(words) for _ in range(chance.randint(fewest, most)))
    return chance.choice((text, text, text.title(), text.capitalize()))


def _sentence(chance: random.Random) -> str:
    return _some(chance, 1, 7) + chance.choice(("", "", ".", "!", " !", ",", " :", ":", " ???", " **"))


def _label(chance: random.Random) -> str:
    label = chance.choice(_phrases(_LABELS))
    mark = chance.choice((":", ": ", " : ", " :", " ", ". ", "#: ", " ....... "))
    value = chance.choice((_amount, _code, _date, _sentence, _digits, lambda _: ""))(chance)
    return chance.choice((label, label, label.title())) + mark + value


def _item(chance: random.Random) -> str:
    size = f"{chance.randint(1, 1000)}{chance.choice(('', ' '))}{chance.choice(_UNITS)}"
    tail = chance.choice(("", size, f"({size})", f"[{size}]", _code(chance), f"- {chance.randint(1, 48)}"))
    return f"{chance.choice(('', '', _digits(chance), 'SR:', '*'))} {_some(chance, 1, 4)} {tail}"


def _amounts(chance: random.Random) -> str:
    count = chance.randint(1, 24)
    rows = (
        f"{count} X {_amount(chance)} {_amount(chance)}",
        f"{count} {_amount(chance)} {_amount(chance)} {chance.choice(('S', 'SR', 'Z', 'ZRL', 'T', ''))}",
        f"{_digits(chance)} {count} {_amount(chance)}",
        f"{count}X",
        f"{count}",
        f"@ {_amount(chance)}",
        f"{chance.choice((5, 6, 7, 10, 19, 20))}%",
    )
    return chance.choice(rows)


def _amount(chance: random.Random) -> str:
    whole = chance.randint(0, 10 ** chance.randint(1, 4))
    part = chance.choice((0, 0, 50, 90, 95, 99, chance.randint(0, 99)))
    grouped = chance.choice((f"{whole}", f"{whole}", f"{whole:,}"))
    return chance.choice(("", "", "", "-", chance.choice(_CURRENCIES))) + f"{grouped}.{part:02d}"


def _digits(chance: random.Random) -> str:
    return "".join(chance.choice(string.digits) for _ in range(chance.randint(1, 13)))


def _date(chance: random.Random) -> str:
    day, month, year = chance.randint(1, 28), chance.randint(1, 12), chance.randint(1998, 2030)
    hour, minute, second = chance.randint(0, 23), chance.randint(0, 59), chance.randint(0, 59)
    mark = chance.choice("/-.")
    dates = (f"{day:02d}{mark}{month:02d}{mark}{year}", f"{year}{mark}{month:02d}{mark}{day:02d}")
    times = (f"{hour:02d}:{minute:02d}", f"{hour:02d}:{minute:02d}:{second:02d}", f"{hour % 12 + 1}:{minute:02d} PM")
    date, time = chance.choice(dates), chance.choice(times)
    return chance.choice((date, time, f"{date} {time}", f"{time} {date}"))


def _code(chance: random.Random) -> str:
    """Runs of letters or digits, such as those of an article or an account."""
    mark = chance.choice(("", "", "-", "/", "#", "("))
    lengths = (chance.randint(1, 4), chance.randint(2, 8), chance.choice((0, 0, 1)))
    kinds = (chance.choice((_LETTERS, _LETTERS, string.digits)), string.digits, _LETTERS)
    zeros = "0" * chance.choice((0, 0, 1, 2, 3))
    first, *others = (
        "".join(chance.choice(kind) for _ in range(length))
        for kind, length in zip(kinds, lengths, strict=True)
        if length
    )
    return mark.join([first, zeros + others[0], *others[1:]])


def _nonsense(chance: random.Random) -> str:
    """Words that nobody knows, as names are."""
    vowels, others = "aeiou", "bcdfghjklmnprstvwyz"
    names = [
        "".join(chance.choice(others) + chance.choice(vowels) for _ in range(chance.randint(1, 3)))
        + chance.choice(("", chance.choice(others), chance.choice("nrstk")))
        for _ in range(chance.randint(1, 3))
    ]
    return chance.choice((" ", " & ", "-", ", ")).join(names) + " " + chance.choice(("", *_phrases(_FORMS)))


def _technical(chance: random.Random) -> str:
    """Names with underscores, paths, numbers in hexadecimal, addresses of pages and of mail: their case counts."""
    words = [chance.choice(_words(_SHOP)) for _ in range(3)]
    number = f"{chance.getrandbits(chance.choice((16, 28, 32))):x}"
    lines = (
        f"{'_'.join(words[:2]).upper()}={chance.choice((_digits(chance)[:3], '0x' + number.upper(), words[2]))}",
        f"{'_'.join(words)}({words[0]}_{chance.randint(0, 9)})",
        f"C:\\{words[0].title()}\\{words[1].title()}\\{words[2].upper()}_{chance.randint(0, 9)}.TXT",
        f"/{words[0]}/{words[1]}_{words[2]}/{number}.log",
        f"[{number}] {words[0]} {words[1]}: {words[2]}_id={number}",
        f"{words[0]}.{words[1]}@{words[2]}.com",
        f"www.{words[0]}-{words[1]}.com/{words[2]}",
        f"{number} {words[0]} {number[:4]}",
        f"__{words[0]}__ = {words[1]}",
    )
    return chance.choice(lines)[:48]


def _address(chance: random.Random) -> str:
    number = f"{chance.randint(1, 400)}{chance.choice(('', '', 'A', '-1', '/3'))}"
    town = _nonsense(chance).split(" ")[0]
    streets = (
        f"NO.{number}, JALAN {town} {chance.randint(1, 30)}/{chance.randint(1, 30)},",
        f"NO {number} & {chance.randint(1, 99)}, JALAN {town},",
        f"{chance.randint(10000, 99999)} {town} {_some(chance, 1, 1)}",
        f"LOT {number}, {_some(chance, 1, 2)} PARK {town}",
        f"{number} {town} STREET, {_some(chance, 1, 1)}",
    )
    return chance.choice(streets)
