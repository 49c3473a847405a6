"""Photos whose descriptions change, and office documents that are edited: files whose bodies do not compress."""

from __future__ import annotations

import io
import random
import struct
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from benchmarks.series import Extent, Files, Prose, Series

# -- photos -----------------------------------------------------------------------------------------------------------


def jpeg_body(chosen: random.Random, size: int) -> bytes:
    """What follows the metadata: tables, and ``size`` bytes of a scan, as incompressible as a real one."""
    tables = _segment(0xDB, bytes([0, *range(1, 65)])) + _segment(
        0xC0, struct.pack(">BHHB", 8, 3000, 4000, 1) + b"\1\x11\0"
    )
    scan = chosen.randbytes(size).replace(b"\xff", b"\xff\0")
    return tables + _segment(0xDA, b"\1\1\0\0\x3f\0") + scan + b"\xff\xd9"


def jpeg(body: bytes, tags: dict[int, str], packet: str = "") -> bytes:
    """A JPEG file: EXIF with these ASCII tags, an XMP packet if there is one, the body."""
    directory, texts = b"", b""
    texts_at = 8 + 2 + 12 * len(tags) + 4
    for tag, text in sorted(tags.items()):
        value = text.encode() + b"\0"
        directory += struct.pack("<HHII", tag, 2, len(value), texts_at + len(texts))
        texts += value
    tiff = b"II*\0" + struct.pack("<IH", 8, len(tags)) + directory + bytes(4) + texts
    xmp = _segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + packet.encode()) if packet else b""
    return b"\xff\xd8" + _segment(0xE1, b"Exif\0\0" + tiff) + xmp + body


def _segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


_DESCRIPTION, _MAKE, _MODEL, _ARTIST, _COPYRIGHT = 0x010E, 0x010F, 0x0110, 0x013B, 0x8298


def _photos(extent: Extent) -> Iterator[Files]:
    chosen = random.Random(51)
    prose = Prose(chosen, 2_000)
    names = [f"2026/{number % 12 + 1:02d}/IMG_{number:04d}.jpg" for number in range(extent.of(80, least=6))]
    bodies = {name: jpeg_body(chosen, chosen.randint(400_000, 1_600_000)) for name in names}
    tags = {name: {_MAKE: "Maker", _MODEL: f"Model {index % 3}"} for index, name in enumerate(names)}
    packets: dict[str, str] = {}

    def version() -> Files:
        return {name: jpeg(bodies[name], tags[name], packets.get(name, "")) for name in names}

    yield version()
    for name in names:
        tags[name] |= {_ARTIST: "A. Photographer", _COPYRIGHT: "(c) 2026", _DESCRIPTION: prose.short(80)}
    yield version()
    for name in names[::3]:
        packets[name] = f"<x:xmpmeta><rating>{chosen.randint(1, 5)}</rating>{' '.join(prose.lines(20))}</x:xmpmeta>"
    yield version()
    # Twelve new ones, some thrown away, a few sorted into another folder.
    for number in range(extent.of(12)):
        name = f"2026/12/IMG_{5000 + number}.jpg"
        names.append(name)
        bodies[name] = jpeg_body(chosen, chosen.randint(400_000, 1_600_000))
        tags[name] = {_MAKE: "Maker", _MODEL: "Model 3"}
    for name in chosen.sample(names, extent.of(5)):
        names.remove(name)
    for name in chosen.sample(names, extent.of(8)):
        moved = f"best/{name.rpartition('/')[2]}"
        names[names.index(name)] = moved
        bodies[moved], tags[moved] = bodies[name], tags[name]
        packets[moved] = packets.get(name, "")
    yield version()


# -- office documents -------------------------------------------------------------------------------------------------

_STYLES = 400
_NEVER = (1980, 1, 1, 0, 0, 0)


@dataclass
class _Document:
    """Paragraphs or rows of text, and pictures by name. ``saved``: how often it was."""

    texts: list[str]
    pictures: dict[str, bytes] = field(default_factory=dict)
    saved: int = 1


def _docx(document: _Document) -> bytes:
    """As a word processor that compresses every member and leaves out the times."""
    body = "".join(
        f'<w:p w:rsidR="{index * 2_654_435_761 % 2**32:08X}"><w:r><w:t xml:space="preserve">{text}</w:t></w:r></w:p>'
        for index, text in enumerate(document.texts)
    )
    drawn = "".join(f'<w:p><w:drawing><pic:blip r:embed="{name}"/></w:drawing></w:p>' for name in document.pictures)
    return _zip(
        {
            "[Content_Types].xml": '<Types><Default Extension="xml"/><Default Extension="jpeg"/></Types>',
            "word/document.xml": f"<w:document><w:body>{body}{drawn}</w:body></w:document>",
            "word/styles.xml": _styles("w:style"),
            **{f"word/media/{name}.jpeg": picture for name, picture in document.pictures.items()},
            "docProps/core.xml": f"<cp:coreProperties><cp:revision>{document.saved}</cp:revision></cp:coreProperties>",
        },
        at=_NEVER,
        stored=(),
    )


def _odt(document: _Document) -> bytes:
    """As one that stores pictures as they are, and gives all members the time of saving."""
    body = "".join(
        f'<text:p text:style-name="P{index % 9}">{text}</text:p>' for index, text in enumerate(document.texts)
    )
    pictures = {f"Pictures/{name}.jpg": picture for name, picture in document.pictures.items()}
    return _zip(
        {
            "mimetype": "application/vnd.oasis.opendocument.text",
            **pictures,
            "content.xml": f"<office:document-content><office:text>{body}</office:text></office:document-content>",
            "styles.xml": _styles("style:style"),
            "meta.xml": f"<office:meta><meta:editing-cycles>{document.saved}</meta:editing-cycles></office:meta>",
            "META-INF/manifest.xml": "".join(f'<manifest:file-entry full-path="{name}"/>' for name in pictures),
        },
        at=(2026, 3, document.saved % 28 + 1, 9, document.saved % 60, 0),
        stored=("mimetype", *pictures),
    )


def _xlsx(document: _Document) -> bytes:
    """A sheet whose texts stand in a member of their own."""
    shared = list(dict.fromkeys(document.texts))
    at = {text: index for index, text in enumerate(shared)}
    rows = "".join(
        f'<row r="{index}"><c r="A{index}"><v>{index}</v></c><c r="B{index}"><v>{index * 7919 % 100_003 / 100}</v></c>'
        f'<c r="C{index}" t="s"><v>{at[text]}</v></c></row>'
        for index, text in enumerate(document.texts, 1)
    )
    return _zip(
        {
            "[Content_Types].xml": '<Types><Default Extension="xml"/></Types>',
            "xl/worksheets/sheet1.xml": f"<worksheet><sheetData>{rows}</sheetData></worksheet>",
            "xl/sharedStrings.xml": "<sst>" + "".join(f"<si><t>{text}</t></si>" for text in shared) + "</sst>",
            "xl/styles.xml": _styles("xf"),
            "docProps/core.xml": f"<cp:coreProperties><cp:revision>{document.saved}</cp:revision></cp:coreProperties>",
        },
        at=_NEVER,
        stored=(),
    )


def _styles(element: str) -> str:
    names = (f'<{element} id="{index}" size="{index % 40 + 8}" next="{index + 1}"/>' for index in range(_STYLES))
    return f"<styles>{''.join(names)}</styles>"


def _zip(members: dict[str, str | bytes], *, at: tuple[int, int, int, int, int, int], stored: tuple[str, ...]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name, at)
            info.compress_type = zipfile.ZIP_STORED if name in stored else zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return target.getvalue()


_WRITERS: dict[str, Callable[[_Document], bytes]] = {"docx": _docx, "odt": _odt, "xlsx": _xlsx}
_SAVES = 15


def _office(extent: Extent) -> Iterator[Files]:
    chosen = random.Random(52)
    prose = Prose(chosen)
    documents: dict[str, _Document] = {}
    for index in range(extent.of(30, least=3)):
        kind = list(_WRITERS)[index % len(_WRITERS)]
        count = (60, 300, 1_200, 5_000)[index % 4] * (4 if kind == "xlsx" else 1)
        document = _Document([" ".join(prose.lines(1 if kind == "xlsx" else 4)) for _ in range(count)])
        if kind != "xlsx":
            _add_pictures(chosen, document, index % 5)
        documents[f"Documents/report {index:02d}.{kind}"] = document
    files = {name: _WRITERS[name.rpartition(".")[2]](document) for name, document in documents.items()}
    yield dict(files)
    for _ in range(_SAVES):
        for name in chosen.sample(list(documents), max(1, len(documents) * 3 // 10)):
            document = documents[name]
            _edit(chosen, prose, document, pictures=not name.endswith("xlsx"))
            files[name] = _WRITERS[name.rpartition(".")[2]](document)
        yield dict(files)


def _add_pictures(chosen: random.Random, document: _Document, count: int) -> None:
    for _ in range(count):
        body = jpeg_body(chosen, chosen.randint(100_000, 500_000))
        document.pictures[f"image{len(document.pictures) + 1}"] = jpeg(body, {_MODEL: "Model"})


def _edit(chosen: random.Random, prose: Prose, document: _Document, *, pictures: bool) -> None:
    """An hour's work: some paragraphs, some more at the end, sometimes a picture."""
    document.saved += 1
    for _ in range(chosen.randint(1, 6)):
        document.texts[chosen.randrange(len(document.texts))] = " ".join(prose.lines(3))
    document.texts += [" ".join(prose.lines(3)) for _ in range(chosen.randint(0, 4))]
    if pictures and chosen.random() < 0.15:
        _add_pictures(chosen, document, 1)


SERIES = (Series("office", "office documents", _office), Series("photos", "photos, described", _photos))
