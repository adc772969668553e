"""Made-up personal data in real formats, so that scrubbing has something to find. None of it belongs to anybody."""

from __future__ import annotations

import random
from typing import Final

KINDS: Final = ("phone", "email", "card", "id_number", "address")

_FIRST: Final = ("anna", "james", "maria", "tom", "lily", "omar", "wei", "xiaoming", "lina", "chen")
_LAST: Final = ("smith", "lopez", "brown", "kim", "wang", "zhang", "novak", "silva", "li", "taylor")
_STREETS: Final = ("Baker Street", "Maple Avenue", "Oak Road", "Station Road", "5th Avenue", "Elm Street", "Hill Lane")
_CITIES: Final = (
    ("London", "NW1 6XE"),
    ("Austin, TX", "78701"),
    ("Seattle, WA", "98101"),
    ("Leeds", "LS1 4AP"),
    ("Boston, MA", "02108"),
)
_ZH_PLACES: Final = (
    "北京市朝阳区建国路",
    "上海市浦东新区世纪大道",
    "广东省深圳市南山区科技园南路",
    "浙江省杭州市西湖区文三路",
    "四川省成都市锦江区春熙路",
)
_ID_WEIGHTS: Final = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CARD_PREFIXES: Final = ("411111", "555555", "622202", "400000")


def _digits(rng: random.Random, count: int) -> str:
    return "".join(str(int(rng.random() * 10)) for _ in range(count))


def luhn_digit(digits: str) -> str:
    """The check digit that completes `digits` (ISO/IEC 7812-1)."""
    total = sum(sum(divmod(int(digit) * (2 - index % 2), 10)) for index, digit in enumerate(reversed(digits)))
    return str(-total % 10)


def chinese_id_digit(digits: str) -> str:
    """The check character that completes 17 digits of a Chinese resident id (GB 11643-1999)."""
    return "10X98765432"[sum(int(digit) * weight for digit, weight in zip(digits, _ID_WEIGHTS, strict=True)) % 11]


def personal_value(kind: str, language: str, rng: random.Random) -> str:
    """One made-up value of a kind of `KINDS`, as people of that language write it."""
    chosen = rng.random()
    if kind == "phone":
        if language == "zh":
            number = "1" + "3578"[int(rng.random() * 4)] + _digits(rng, 9)
            return number if chosen < 0.7 else f"{number[:3]}-{number[3:7]}-{number[7:]}"
        # Ranges kept for fiction: 555-01xx (NANPA) and 07700 900xxx (Ofcom).
        area = str(200 + int(rng.random() * 700))
        end = _digits(rng, 2)
        if chosen < 0.4:
            return f"({area}) 555-01{end}"
        return f"+1 {area}-555-01{end}" if chosen < 0.7 else f"07700 900{_digits(rng, 3)}"
    if kind == "email":
        first, last = _FIRST[int(rng.random() * len(_FIRST))], _LAST[int(rng.random() * len(_LAST))]
        return f"{first}.{last}{_digits(rng, 2)}@" + ("example.com" if chosen < 0.6 else "mail.example.org")
    if kind == "card":
        digits = _CARD_PREFIXES[int(rng.random() * len(_CARD_PREFIXES))] + _digits(rng, 9)
        digits += luhn_digit(digits)
        return digits if chosen < 0.5 else " ".join(digits[at : at + 4] for at in range(0, 16, 4))
    if kind == "id_number":
        if language == "zh":
            born = f"{1960 + int(rng.random() * 45)}{1 + int(rng.random() * 12):02d}{1 + int(rng.random() * 28):02d}"
            digits = f"{('110105', '310115', '440305', '330106')[int(rng.random() * 4)]}{born}{_digits(rng, 3)}"
            return digits + chinese_id_digit(digits)
        return f"{100 + int(rng.random() * 560)}-{10 + int(rng.random() * 89)}-{1000 + int(rng.random() * 8999)}"
    house = 1 + int(rng.random() * 299)
    if language == "zh":
        street = _ZH_PLACES[int(rng.random() * len(_ZH_PLACES))]
        return f"{street}{house}号{1 + int(rng.random() * 20)}栋{101 + int(rng.random() * 1900)}室"
    city, code = _CITIES[int(rng.random() * len(_CITIES))]
    return f"{house} {_STREETS[int(rng.random() * len(_STREETS))]}, {city} {code}"
