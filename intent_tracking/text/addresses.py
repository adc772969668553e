"""Address-like text in English and Chinese: a place where somebody lives or gets a parcel, down to the street or door.

A town or a province alone is not an address. The rules want a street with a number, or two administrative levels with
a place below them; they are made for chat, so an English address in lower case counts where words such as `ship to` or
`live at` stand before it. Repetitions are bounded, so time is linear in the length of the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

Span = tuple[int, int]

_TYPE = (
    "Street|St|Avenue|Ave|Road|Rd|Boulevard|Blvd|Lane|Ln|Drive|Dr|Court|Ct|Way|Place|Pl|Square|Sq|Terrace|Close|Crescent|"
    "Parkway|Pkwy|Highway|Hwy|Row|Gardens|Grove|Mews"
)
_UK_POSTCODE = r"[A-Z]{1,2}[0-9][A-Z0-9]? ?[0-9][A-Z]{2}"
_STREET = re.compile(
    r"(?<![0-9A-Za-z.])(?:(?:flat|apartment|apt|unit|suite)\.? ?[0-9]{1,4}[a-z]?,? )?[0-9]{1,5}[a-z]?,? "
    r"(?:[a-z][a-z'’.]{0,20} |[0-9]{1,3}(?:st|nd|rd|th) ){1,4}?"
    rf"(?P<type>{_TYPE})(?![A-Za-z0-9])\.?"
    r"(?P<unit>,? ?(?:(?:apt|apartment|unit|suite|ste|flat|floor|room|rm)\.? ?|#)[0-9A-Za-z-]{1,6}(?![0-9A-Za-z]))?"
    rf"(?P<tail>(?:,? [a-z][a-z'’.]{{1,20}}){{0,4}}?,? (?:[0-9]{{5}}(?:-[0-9]{{4}})?|{_UK_POSTCODE})(?![0-9A-Za-z]))?",
    re.IGNORECASE,
)
_STREET_WORD = re.compile(rf" (?:{_TYPE})\b", re.IGNORECASE)
_TITLE_STREET = re.compile(r"[0-9]{1,5}[A-Za-z]?,?(?: (?:[A-Z][A-Za-z'’.]*|[0-9]{1,3}(?:st|nd|rd|th)))+\.?\Z")
_PRODUCT_AFTER = re.compile(r" [A-Z]")
_TOWN_AFTER = re.compile(
    r"(?:, [A-Z][a-z]+| [A-Z][a-z]+(?<!s))(?: [A-Z][a-z]+)?(?:,? [A-Z]{2}(?![A-Za-z]))?(?= ?[,.;!?]|\Z)"
)
_PLACE_BEFORE = re.compile(
    r"(?:\blive[sd]? (?:at|on|in)|\bliving (?:at|on|in)|\baddress(?: (?:is|to|at))?|\blocated at|\bhome (?:at|is)"
    r"|\b(?:ship|shipped|send|sent|deliver|delivered|delivery|mail|post|moved?|forward|redirect)"
    r"(?: (?:it|them|this|that|(?:my|the) (?:order|parcel)))? (?:to|at))"
    r"(?: (?:is|to|my home at))?[ :,]{1,3}\Z",
    re.IGNORECASE,
)
_PO_BOX = re.compile(r"(?<![A-Za-z])P\.? ?O\.? ?Box ?[0-9]{1,6}(?![0-9])", re.IGNORECASE)
_POSTCODE_NAMED = re.compile(rf"\bpost ?code(?: is)?[ :]{{1,2}}({_UK_POSTCODE})(?![0-9A-Za-z])", re.IGNORECASE)

_HAN = "\u4e00-\u9fff"
_NUMBER = "(?:[0-9]{1,5}(?:[-－][0-9]{1,5}){0,2}|[A-Za-z][0-9]{0,4}|[一二三四五六七八九十百零〇两甲乙丙丁]{1,6})"
_DOOR = f"(?:{_NUMBER}(?:号楼|号院|号|弄|栋|幢|座|单元|室|楼|层|门)之?)"
# 路由器, 道具 and 街舞 never carry a door number, so a road word is only one where a number follows at once.
_ZH_STREET = re.compile(
    f"(?:[路街巷弄]|大道|胡同|新村|小区|花园|公寓|大厦|家园|嘉园|社区|[{_HAN}]苑|宿舍|广场|[{_HAN}]村)(?:[东南西北中]|[一二三四五六]?段)?(?:{_DOOR}){{1,6}}"
    f"(?:[0-9]{{3,4}}(?![0-9A-Za-z元块]))?"
)
_ZH_NEAR_STREET = re.compile(
    rf"(?:[{_HAN}]{{2,6}}(?:小区|花园|公寓|家园|大厦|苑))?{_NUMBER}(?:栋|幢|座|号楼)(?:{_DOOR}){{1,3}}(?:[0-9]{{3,4}})?"
)
_NOT_NAME = "的了吗呢在到是我你他她们有要买给和与也很就都不没这那哪把"
_NAME = f"[^\\W{_NOT_NAME}省市区县]"
_ZH_LEVELS = re.compile(
    f"{_NAME}{{2,7}}(?:省|自治区|市)[ ,，]?{_NAME}{{1,6}}[市区县旗州盟][ ,，]?(?:{_NAME}{{1,6}}[区县市][ ,，]?)?"
    f"[^\\W{_NOT_NAME}]{{1,14}}?(?:路|街道|街|大道|巷|胡同|镇|乡|村|小区|花园|苑|大厦|公寓|科技园|广场|号)(?:{_DOOR}){{0,6}}"
)
_ZH_BEFORE_NAME = re.compile(
    "住在|住址是?|地址是?|寄到|寄往|送到|送至|发到|发往|发货到|搬到|改成|改为|改到|寄给|家在|[在到往至是住寄送发请我的了去给从:：,，]"
)
_PROVINCE = re.compile(
    "(?:北京|上海|天津|重庆|河北|山西|辽宁|吉林|黑龙江|江苏|浙江|安徽|福建|江西|山东|河南|湖北|湖南|广东|海南|四川|贵州|云南|陕西|甘肃|青海|"
    "台湾|内蒙古|广西|西藏|宁夏|新疆|香港|澳门)"
)
_RUN_BEFORE = re.compile(f"[{_HAN}0-9A-Za-z]{{0,28}}\\Z")


def english_addresses(text: str) -> Iterator[Span]:
    """Street addresses, post boxes and named postcodes of English text."""
    for found in _PO_BOX.finditer(text):
        yield found.span()
    for found in _POSTCODE_NAMED.finditer(text):
        yield found.span(1)
    if _STREET_WORD.search(text) is None:
        return
    for found in _STREET.finditer(text):
        end = found.end()
        named = _PLACE_BEFORE.search(text, max(0, found.start() - 48), found.start()) is not None
        detailed = found["unit"] is not None or found["tail"] is not None
        if not (named or detailed):
            # `2 Black Street Shoes` is a product: a street in title case, with nothing but a town after it.
            if _TITLE_STREET.match(text, found.start(), found.end("type")) is None:
                continue
            if _PRODUCT_AFTER.match(text, end) is not None and _TOWN_AFTER.match(text, end) is None:
                continue
        if found["tail"] is None and (town := _TOWN_AFTER.match(text, end)) is not None:
            end = town.end()
        yield found.start(), end


def chinese_addresses(text: str) -> Iterator[Span]:
    """Streets with a door number, buildings with a room, and two administrative levels with a place below them."""
    for pattern in (_ZH_STREET, _ZH_NEAR_STREET):
        for found in pattern.finditer(text):
            yield _name_start(text, found.start()), found.end()
    for found in _ZH_LEVELS.finditer(text):
        yield _skip_lead(text, found.start(), found.end()), found.end()


def _name_start(text: str, position: int) -> int:
    """Where the name of the place begins that ends at `position`: after words like 寄到, or at a province's name."""
    run = _RUN_BEFORE.search(text, max(0, position - 28), position)
    start = position if run is None else run.start()
    return _skip_lead(text, start, position)


def _skip_lead(text: str, start: int, position: int) -> int:
    province = _PROVINCE.search(text, start, position)
    if province is not None:
        return province.start()
    for word in _ZH_BEFORE_NAME.finditer(text, start, position):
        start = word.end()
    return start
