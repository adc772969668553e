"""Numbers that name a person: payment cards, identity numbers, bank accounts, phones, network addresses.

Every rule that has a check digit uses it (Luhn for cards, ISO 7064 for the Chinese resident number, mod 97 for IBAN),
and cards need an issuer's prefix, so that order numbers and timestamps of the same length stay. Sources: ISO/IEC 7812
issuer ranges, GB 11643-1999, SSA number format, HMRC NIM39110, ISO 13616, ITU-T E.164, Ofcom and NANP numbering plans.

Patterns repeat single characters or fixed groups with bounded counts: time is linear in the length of the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import AddressValueError, IPv6Address

Span = tuple[int, int]

# What looks like digits but names no person: UUIDs, hexadecimal digests, ISO dates and times.
_PROTECTED = re.compile(
    r"(?<![0-9A-Za-z])(?:[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}"
    r"|(?=[0-9]{0,63}[a-fA-F])[0-9a-fA-F]{32,64}"
    r"|(?:19|20)[0-9]{2}[-/.](?:0?[1-9]|1[0-2])[-/.](?:[12][0-9]|3[01]|0?[1-9])"
    r"(?:[T ][0-2][0-9]:[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,9})?)?)?)(?![0-9A-Za-z])"
)

_DIGIT_RUN = re.compile(r"[0-9](?:[ -]{0,3}[0-9])*")
_DIGIT_GROUP = re.compile(r"[0-9]+")
# Visa, Mastercard and Maestro, Discover and UnionPay, Mir, Amex, Diners and JCB, RuPay.
_CARD_PREFIX = re.compile(r"4|5[0-8]|6[0-9]|2[2-7]|3[04-9]|81")

_EMAIL = re.compile(r"[A-Za-z0-9\u00c0-\u024f._%+\-]{1,64}@(?:[A-Za-z0-9\u00c0-\u024f-]{1,63}\.){1,8}([A-Za-z]{2,24})")
_FILE_ENDINGS = frozenset({"png", "jpg", "jpeg", "gif", "svg", "webp"})  # logo@2x.png is a picture, not an address

_IPV4 = re.compile(
    r"(?<![0-9A-Za-z.])(?:(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])\.){3}"
    r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])(?![0-9A-Za-z]|\.[0-9])"
)
_VERSION_BEFORE = re.compile(r"(?:version|firmware|build|release|ver\.?|版本|固件)[ :：号]{0,2}\Z", re.IGNORECASE)
_IPV6 = re.compile(r"(?<![0-9A-Za-z:.])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?![0-9A-Za-z:])")

_CN_RESIDENT = re.compile(
    r"(?<![0-9])([1-9][0-9]{5})[ -]?((?:18|19|20)[0-9]{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01]))[ -]?"
    r"([0-9]{3}[0-9Xx])(?![0-9])"
)
_CN_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_US_SSN = re.compile(r"(?<![0-9A-Za-z-])(?!000|666|9)[0-9]{3}-(?!00)[0-9]{2}-(?!0000)[0-9]{4}(?![0-9A-Za-z]|-[0-9])")
_US_SSN_NAMED = re.compile(
    r"(?:\bssn|social security(?: number| no\.?)?)[ :#]{0,3}(?:is )?([0-9]{3}[ -]?[0-9]{2}[ -]?[0-9]{4})(?![0-9])",
    re.IGNORECASE,
)
_UK_NI = re.compile(
    r"(?<![A-Za-z0-9])(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?"
    r"(?:[0-9]{2} ?){3}[A-D](?![A-Za-z0-9])",
    re.IGNORECASE,
)
_IBAN_START = re.compile(r"(?<![A-Za-z0-9])([A-Za-z]{2})[0-9]{2} ?(?=[0-9A-Za-z]{4})")
_IBAN_LENGTH = {
    "AD": 24, "AE": 23, "AT": 20, "BE": 16, "BG": 22, "CH": 21, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "EE": 20,
    "ES": 24, "FI": 18, "FR": 27, "GB": 22, "GI": 23, "GR": 27, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IS": 26,
    "IT": 27, "LI": 21, "LT": 20, "LU": 20, "LV": 21, "MC": 27, "MT": 31, "NL": 18, "NO": 15, "PL": 28, "PT": 25,
    "RO": 24, "RS": 22, "SA": 24, "SE": 24, "SI": 19, "SK": 24, "SM": 27, "TR": 26, "UA": 29,
}  # fmt: skip

_CN_MOBILE = re.compile(
    r"(?<![0-9A-Za-z.])(?:(?:\+|00)?86[ -]?)?1[3-9][0-9](?:[ -]?[0-9]{4}[ -]?[0-9]{4}|[ -][0-9]{3}[ -][0-9]{5})"
    r"(?![0-9A-Za-z]|\.[0-9])"
)
_CN_LANDLINE = re.compile(
    r"(?<![0-9A-Za-z.-])(?:\+86[ -]?)?(?:\(0(?:10|2[0-9]|[3-9][0-9]{2})\) ?|0(?:10|2[0-9]|[3-9][0-9]{2})[ -])"
    r"[2-9][0-9]{6,7}(?![0-9A-Za-z]|-[0-9])"
)
_US_PHONE = re.compile(
    r"(?<![0-9A-Za-z.-])(?:\+?1[ .-]?)?(?:\([2-9][0-9]{2}\)[ -]?|[2-9][0-9]{2}[ .-])[2-9][0-9]{2}[ .-][0-9]{4}"
    r"(?![0-9A-Za-z]|[.-][0-9])"
)
_UK_PHONE = re.compile(
    r"(?<![0-9A-Za-z.-])(?:07[0-9]{3}[ -]?[0-9]{3}[ -]?[0-9]{3}|\(0(?:20|1[0-9]{2,3})\) ?[0-9]{3,4}[ -]?[0-9]{3,4}"
    r"|02[0-9][ -][0-9]{4}[ -]?[0-9]{4}|01[0-9]{2,3}[ -][0-9]{3}[ -]?[0-9]{3,4}|0[38][0-9]{2}[ -][0-9]{3}[ -]?[0-9]{4})"
    r"(?![0-9A-Za-z]|[.-][0-9])"
)
_INTERNATIONAL = re.compile(
    r"(?<![0-9A-Za-z+])(?:\+|00(?=(?:1|33|34|39|44|49|61|65|8[1256])))[1-9](?:[ .\-()]{0,2}[0-9]){7,14}(?![0-9A-Za-z])"
)
_NAMED_PHONE = re.compile(
    r"(?:(?<![A-Za-z])(?:phone|telephone|tel|mobile|mob|cell|call(?: me)?(?: at| on)?|(?:text|reach) me(?: at| on)?"
    r"|whatsapp|fax|contact)(?: (?:number|no\.?|is)){0,2}|电话|手机|座机|联系方式|联系我|微信|拨打|致电|打给我|打到)"
    r"[号码是为:： ]{0,4}"
    r"(\(?[0-9]{3,4}\)?[ .-]?[0-9]{3,4}[ .-][0-9]{4}|[0-9]{3,4}-[0-9]{4}|[0-9]{7,13})(?![0-9A-Za-z]|[.-][0-9])",
    re.IGNORECASE,
)
_PHONES = (_CN_MOBILE, _CN_LANDLINE, _US_PHONE, _UK_PHONE, _INTERNATIONAL)
# A number that the writer calls an order or a parcel is one, though it has the length of a phone number.
_REFERENCE_BEFORE = re.compile(
    r"(?:#|\border|\bparcel|\btracking|\binvoice|\bsku|\bitem|\bmodel|\bref(?:erence)?|\basin|\bean|\bupc|订单|单号|运单|快递|型号|货号|编号|条码)"
    r"(?:[ :：#=]|number|no\.?|id|is|号|码|是|为){0,4}\Z",
    re.IGNORECASE,
)


def protected(text: str) -> list[Span]:
    """UUIDs, digests and ISO dates of `text`: no digit rule may touch them."""
    return [found.span() for found in _PROTECTED.finditer(text)]


def emails(text: str) -> Iterator[Span]:
    """E-mail addresses (ASCII and Latin letters; a picture name such as `logo@2x.png` is none)."""
    for found in _EMAIL.finditer(text):
        if found[1].lower() not in _FILE_ENDINGS:
            yield found.span()


def cards(text: str) -> Iterator[Span]:
    """Payment cards: 13-19 digits, grouped by up to three spaces or dashes, with an issuer prefix and a Luhn digit."""
    for run in _DIGIT_RUN.finditer(text):
        if run.end() - run.start() < 13:
            continue
        groups = [found.span() for found in _DIGIT_GROUP.finditer(text, run.start(), run.end())]
        first = 0
        while first < len(groups):
            last = _card_from(text, groups, first)
            if last is None:
                first += 1
            else:
                yield groups[first][0], groups[last][1]
                first = last + 1


def _card_from(text: str, groups: list[Span], first: int) -> int | None:
    """The last of the digit groups that, from the group `first` on, make up a card; the longest card wins."""
    start = groups[first][0]
    if _CARD_PREFIX.match(text, start) is None or text[max(0, start - 2) : start].endswith("."):
        return None
    digits = ""
    found = None
    for index in range(first, len(groups)):
        digits += text[slice(*groups[index])]
        if len(digits) > 19:
            break
        if len(digits) >= 13 and luhn_valid(digits):
            found = index
    return found


def luhn_valid(digits: str) -> bool:
    """Whether the last of `digits` is the Luhn check digit of the others (ISO/IEC 7812-1, annex B)."""
    total = 0
    for place, character in enumerate(reversed(digits)):
        value = int(character)
        total += value if place % 2 == 0 else (value * 2 if value < 5 else value * 2 - 9)
    return total % 10 == 0


def identity_numbers(text: str) -> Iterator[Span]:
    """Chinese resident numbers, US social security numbers, UK National Insurance numbers and IBANs."""
    for found in _CN_RESIDENT.finditer(text):
        number = found[1] + found[2] + found[3]
        total = sum(weight * int(digit) for weight, digit in zip(_CN_WEIGHTS, number, strict=False))
        if "10X98765432"[total % 11] == number[17].upper():
            yield found.span()
    for found in _US_SSN.finditer(text):
        yield found.span()
    for found in _US_SSN_NAMED.finditer(text):
        yield found.span(1)
    for found in _UK_NI.finditer(text):
        yield found.span()
    yield from _ibans(text)


def _ibans(text: str) -> Iterator[Span]:
    for found in _IBAN_START.finditer(text):
        length = _IBAN_LENGTH.get(found[1].upper())
        if length is None:
            continue
        number, position = "", found.start()
        while position < len(text) and len(number) < length:
            character = text[position]
            if character.isascii() and character.isalnum():
                number += character.upper()
            elif character != " ":
                break
            position += 1
        if len(number) < length or text[position : position + 1].isalnum():
            continue
        if int("".join(str(int(character, 36)) for character in number[4:] + number[:4])) % 97 == 1:
            yield found.start(), position


def phones(text: str) -> Iterator[Span]:
    """Phone numbers: Chinese, US and UK formats, international ones with `+`, and any that the writer calls a phone."""
    for pattern in _PHONES:
        for found in pattern.finditer(text):
            if _REFERENCE_BEFORE.search(text, max(0, found.start() - 24), found.start()) is None:
                yield found.span()
    for found in _NAMED_PHONE.finditer(text):
        yield found.span(1)


def network_addresses(text: str) -> Iterator[Span]:
    """IPv4 and IPv6 addresses; four numbers after a word such as `version` are a version."""
    for found in _IPV4.finditer(text):
        if _VERSION_BEFORE.search(text, max(0, found.start() - 12), found.start()) is None:
            yield found.span()
    for found in _IPV6.finditer(text):
        candidate = found.group()
        if sum(map(str.isalnum, candidate)) < 4 or not any(map(str.isdigit, candidate)):
            continue
        try:
            IPv6Address(candidate)
        except AddressValueError:
            continue
        yield found.span()
