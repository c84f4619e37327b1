"""Ten tables whose texts differ in kind: what a plan has to be right about."""

import ast
import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import polars as pl

SAMPLE = Path(__file__).parent.parent.parent / "data/sample/packages.parquet"
LIBRARY = Path(os.__file__).parent

CHINESE = [
    "这个软件",
    "是",
    "一个",
    "用来",
    "编辑",
    "图像",
    "的",
    "工具",
    "支持",
    "多种",
    "格式",
    "用户",
    "可以",
    "快速",
    "查看",
    "和",
    "转换",
    "文件",
    "数据库",
    "连接",
    "失败",
    "请",
    "检查",
    "网络",
    "设置",
    "订单",
    "已经",
    "发货",
    "但是",
    "客户",
    "没有",
    "收到",
    "退款",
    "申请",
    "质量",
    "很好",
    "价格",
    "便宜",
    "推荐",
    "购买",
    "屏幕",
    "有",
    "划痕",
    "包装",
    "破损",
    "服务",
    "态度",
    "非常",
    "满意",
]
JAPANESE = [
    "この",
    "ソフトウェアは",
    "画像を",
    "編集する",
    "ための",
    "ツール",
    "です",
    "ファイルが",
    "開けません",
    "設定を",
    "確認して",
    "ください",
    "商品が",
    "届きました",
    "とても",
    "満足",
]
RUSSIAN = [
    "программа",
    "для",
    "редактирования",
    "изображений",
    "не",
    "открывает",
    "файл",
    "после",
    "обновления",
    "пожалуйста",
    "проверьте",
    "настройки",
    "сети",
    "заказ",
    "доставлен",
    "быстро",
    "упаковка",
    "повреждена",
    "качество",
    "отличное",
    "рекомендую",
    "всем",
    "покупателям",
    "служба",
    "поддержки",
    "ответила",
    "сразу",
]
ARABIC = [
    "البرنامج",
    "لا",
    "يفتح",
    "الملف",
    "بعد",
    "التحديث",
    "يرجى",
    "التحقق",
    "من",
    "إعدادات",
    "الشبكة",
    "وصل",
    "الطلب",
    "بسرعة",
    "والجودة",
    "ممتازة",
    "أنصح",
    "بالشراء",
]
HINDI = [
    "यह",
    "प्रोग्राम",
    "फ़ाइल",
    "नहीं",
    "खोलता",
    "कृपया",
    "नेटवर्क",
    "सेटिंग",
    "जाँचें",
    "ऑर्डर",
    "समय",
    "पर",
    "पहुँचा",
    "गुणवत्ता",
    "बहुत",
    "अच्छी",
    "है",
]
GERMAN = [
    "Die",
    "Bestellung",
    "wurde",
    "pünktlich",
    "geliefert",
    "aber",
    "das",
    "Gehäuse",
    "weist",
    "Kratzer",
    "auf",
    "Rückerstattung",
    "Kundendienst",
    "für",
    "Größe",
    "Überweisung",
    "außerordentlich",
    "Qualitätsprüfung",
    "schließlich",
    "höflich",
    "während",
    "Benutzeroberfläche",
    "gehört",
    "müssen",
]
FRENCH = [
    "L'écran",
    "est",
    "fissuré",
    "après",
    "deux",
    "jours",
    "d'utilisation",
    "le",
    "remboursement",
    "a",
    "été",
    "refusé",
    "très",
    "déçu",
    "où",
    "êtes-vous",
    "français",
    "réseau",
    "coûte",
]
TICKET = (
    "Hi, my order {n} from {date} has not arrived yet, tracking says {code}. Please advise. Thanks, {name}",
    "App crashes on login since v{n}.{m}!!! error 0x{code} :(",
    "pls cancel subscription asap, charged ${n}.{m} twice (card ending {m})",
    "Invoice INV-{n}-{m} shows the wrong VAT number; our accountant needs it corrected by {date}. {name}",
    "How do I export my data to {code}? The manual says Settings > Export, but there is no such entry in my menu.",
    "great product, fast delivery, 5 stars",
)
NAMES = ("Anna Kowalczyk", "J. Smith", "Mehmet Öz", "Liu Wei", "Chloé D.", "Ragnar Þórsson", "Ngozi Okafor")


@dataclass(frozen=True, slots=True)
class Table:
    """A table, what is asked about it, and who bills for it.

    Attributes:
        name: What kind of rows it has.
        rows: Its texts.
        labels: What is chosen from.
        tokens: The encoding by which the model counts.
        schema: Whether the model reads the schema, and bills for it.
        invalid: Share of the first replies that have no label, and are asked again.
        task: More of the config's section `task`.
        model: More of the config's section `model`.
    """

    name: str
    rows: Sequence[str]
    labels: Sequence[tuple[str, str]]
    tokens: str = "o200k_base"
    schema: bool = True
    invalid: float = 0.0
    task: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)


SECTIONS = (
    ("games", "games, puzzles, board and card games, adventures, shooters, game engines"),
    ("sound", "music, audio players, recording, synthesizers, MIDI, audio plugins"),
    ("graphics", "image and photo viewers and editors, drawing, scanning, OCR, PDF and TIFF, 3D modelling"),
    ("science", "biology, genomics, chemistry, physics, astronomy, geography, engineering, statistics"),
    ("mail", "e-mail servers, clients, filters, spam detection, mailing lists, IMAP, SMTP"),
    ("database", "database servers, SQL, clients, replication and administration tools"),
)
FEELINGS = (("positive", ""), ("negative", ""), ("neutral", ""))
TOPICS = tuple(
    (f"{area} > {part}", f"whatever is about the {part} of {area}")
    for area in ("billing", "delivery", "account", "product quality", "software")
    for part in ("questions", "complaints", "refunds", "praise")
)
CODES = tuple((f"K{n:03}", "") for n in range(60))


def tables(rows: int = 400) -> list[Table]:
    """Return the ten tables, of at most so many *rows*; the same ones each time."""
    random = Random(20)
    return [
        Table("descriptions", _packages(rows), SECTIONS, task={"max_text_tokens": 100}),
        Table("doc strings", _doc_strings(random, rows), TOPICS, invalid=0.05),
        Table("code", _functions(random, rows), SECTIONS, tokens="cl100k_base"),
        Table("one-liners", _first_lines(random, rows), FEELINGS, schema=False),
        Table("tickets", _tickets(random, rows), TOPICS, task={"kind": "multi"}),
        Table("CSV junk", _junk(random, rows), CODES),
        Table("Chinese, Japanese", _words(random, rows, "", CHINESE, JAPANESE), FEELINGS),
        Table("Russian, Arabic, Hindi", _words(random, rows, " ", RUSSIAN, ARABIC, HINDI), TOPICS, tokens="qwen3.5"),
        Table("German, French", _words(random, rows, " ", GERMAN, FRENCH), SECTIONS, tokens="qwen3.5", schema=False),
        Table("sorted by length, a few very long", _mixed(random, rows), FEELINGS, invalid=0.02),
    ]  # fmt: skip


def _packages(rows: int) -> list[str]:
    frame = pl.read_parquet(SAMPLE).head(rows)
    return frame.select(pl.concat_str("summary", "description", separator="\n"))["summary"].to_list()


def _sources(random: Random) -> Iterator[tuple[str, ast.Module]]:
    paths = sorted(LIBRARY.glob("*.py"))
    random.shuffle(paths)
    for path in paths:
        source = path.read_text(errors="replace")
        yield source, ast.parse(source)


def _doc_strings(random: Random, rows: int) -> list[str]:
    found: list[str] = []
    for _, tree in _sources(random):
        nodes = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)]
        found += [text for node in nodes if (text := ast.get_docstring(node)) and len(text) > 80]
        if len(found) >= rows:
            break
    return found[:rows]


def _functions(random: Random, rows: int) -> list[str]:
    found: list[str] = []
    for source, tree in _sources(random):
        nodes = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        found += [
            text for node in nodes if (text := ast.get_source_segment(source, node)) and len(text) < 3_000
        ]
        if len(found) >= rows:
            break
    return found[:rows]


def _first_lines(random: Random, rows: int) -> list[str]:
    found: dict[str, None] = {}
    for _, tree in _sources(random):
        nodes = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)]
        found |= dict.fromkeys(text.splitlines()[0] for node in nodes if (text := ast.get_docstring(node)))
        if len(found) >= rows:
            break
    return list(found)[:rows]


def _tickets(random: Random, rows: int) -> list[str]:
    return [
        f"{row} " + " ".join(random.choices(TICKET, k=random.randint(1, 3))).format(
            n=random.randint(1, 99_999), m=random.randint(10, 99), code=f"{random.getrandbits(40):X}",
            date=f"2026-{random.randint(1, 12):02}-{random.randint(1, 28):02}", name=random.choice(NAMES),
        )
        for row in range(rows)
    ]  # fmt: skip


def _junk(random: Random, rows: int) -> list[str]:
    def cell() -> str:
        return random.choice([
            f"{random.getrandbits(64):016x}", f"{random.uniform(0, 1e4):.4f}", "NULL", "", f"SKU-{random.randint(1, 10**7)}",
            f"{random.randint(1, 28)}/{random.randint(1, 12)}/26 {random.randint(0, 23)}:{random.randint(10, 59)}",
            f"https://cdn.example.com/i/{random.getrandbits(80):x}.jpg?w={random.randint(10, 999)}", "TRUE", "n/a", '""',
            f"{random.choice(NAMES).lower().replace(' ', '.')}@example.org", str(random.randint(1, 10**12)),
        ])  # fmt: skip

    return [";".join(cell() for _ in range(random.randint(3, 14))) for _ in range(rows)]


def _words(random: Random, rows: int, between: str, *languages: Sequence[str]) -> list[str]:
    return [
        f"{row}{between}" + between.join(random.choices(random.choice(languages), k=random.randint(4, 60)))
        for row in range(rows)
    ]


def _mixed(random: Random, rows: int) -> list[str]:
    texts = _tickets(random, rows * 7 // 10) + _doc_strings(random, rows // 5)
    texts += [
        json.dumps({"id": n, "message": text, "tags": text.split()[:3]})
        for n, text in enumerate(texts[: rows // 10])
    ]
    long = re.sub(r"\s+", " ", " ".join(_doc_strings(random, 300)))
    texts += [long[at : at + 16_000] for at in range(0, 48_000, 16_000)]
    return sorted(texts, key=len)
