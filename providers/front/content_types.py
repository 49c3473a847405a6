"""Media types by file name, and which of them a browser may show in the page instead of saving.

The table is our own: ``mimetypes`` reads files of the machine and differs between Python versions, but two workers
or two releases that answer differently make clients believe that a file has changed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

FALLBACK_TYPE: Final = "application/octet-stream"

_TABLE: Final = """
application/epub+zip epub
application/gzip gz tgz
application/java-archive jar
application/json json map
application/msword doc dot
application/pdf pdf
application/pgp-encrypted pgp gpg
application/postscript ps eps ai
application/rtf rtf
application/vnd.android.package-archive apk
application/vnd.apple.keynote key
application/vnd.apple.numbers numbers
application/vnd.apple.pages pages
application/vnd.google-earth.kml+xml kml
application/vnd.google-earth.kmz kmz
application/vnd.ms-excel xls xlt
application/vnd.ms-excel.sheet.macroenabled.12 xlsm
application/vnd.ms-outlook msg
application/vnd.ms-powerpoint ppt pps pot
application/vnd.ms-word.document.macroenabled.12 docm
application/vnd.oasis.opendocument.graphics odg
application/vnd.oasis.opendocument.presentation odp
application/vnd.oasis.opendocument.spreadsheet ods
application/vnd.oasis.opendocument.text odt
application/vnd.openxmlformats-officedocument.presentationml.presentation pptx
application/vnd.openxmlformats-officedocument.presentationml.slideshow ppsx
application/vnd.openxmlformats-officedocument.spreadsheetml.sheet xlsx
application/vnd.openxmlformats-officedocument.wordprocessingml.document docx
application/vnd.openxmlformats-officedocument.wordprocessingml.template dotx
application/vnd.rar rar
application/vnd.sqlite3 sqlite sqlite3 db
application/vnd.visio vsd vsdx
application/wasm wasm
application/x-7z-compressed 7z
application/x-apple-diskimage dmg
application/x-bzip2 bz2
application/x-ipynb+json ipynb
application/x-iso9660-image iso
application/x-keepass2 kdbx
application/x-msdownload exe dll msi
application/x-sh sh bash
application/x-tar tar
application/x-xz xz txz
application/xhtml+xml xhtml xht
application/xml xml xsl xsd rss atom
application/yaml yaml yml
application/zip zip
application/zstd zst
audio/aac aac
audio/aiff aif aiff
audio/amr amr
audio/flac flac
audio/midi mid midi
audio/mp4 m4a m4b
audio/mpeg mp3 mp2
audio/ogg ogg oga opus spx
audio/wav wav
audio/x-mpegurl m3u m3u8
audio/x-ms-wma wma
font/otf otf
font/ttf ttf
font/woff woff
font/woff2 woff2
image/avif avif
image/bmp bmp
image/gif gif
image/heic heic
image/heif heif
image/jpeg jpg jpeg jpe jfif
image/jxl jxl
image/png png
image/svg+xml svg svgz
image/tiff tif tiff
image/vnd.adobe.photoshop psd
image/vnd.microsoft.icon ico
image/webp webp
image/x-adobe-dng dng
image/x-canon-cr2 cr2 cr3
image/x-nikon-nef nef
image/x-sony-arw arw
message/rfc822 eml mht mhtml
text/calendar ics ifb
text/css css
text/csv csv
text/html html htm
text/javascript js mjs
text/markdown md markdown
text/plain txt text log ini conf cfg nfo properties toml
text/tab-separated-values tsv
text/vcard vcf
text/vtt vtt
text/x-c c h cc cpp hpp cxx
text/x-diff diff patch
text/x-go go
text/x-java java
text/x-python py pyw
text/x-rst rst
text/x-rust rs
text/x-sql sql
text/x-tex tex
text/x-typescript tsx
video/3gpp 3gp
video/mp2t m2ts mts
video/mp4 mp4 m4v
video/mpeg mpg mpeg mpe
video/ogg ogv
video/quicktime mov qt
video/webm webm
video/x-flv flv
video/x-matroska mkv
video/x-ms-wmv wmv
video/x-msvideo avi
"""

# HTML says its own charset inside, and a header would overrule it.
_SELF_DESCRIBING: Final = frozenset({"text/html"})


def _by_extension() -> dict[str, str]:
    types: dict[str, str] = {}
    for line in _TABLE.split("\n"):
        media_type, *extensions = line.split() or [""]
        has_charset = media_type.startswith("text/") and media_type not in _SELF_DESCRIBING
        shown = f"{media_type}; charset=utf-8" if has_charset else media_type
        types.update(dict.fromkeys(extensions, shown))
    return types


_TYPES: Final = _by_extension()
_TOKEN: Final = r"[A-Za-z0-9!#$&^_.+-]{1,100}"
_whole_type = re.compile(
    rf"{_TOKEN}/{_TOKEN}(?:[ \t]*;[ \t]*{_TOKEN}=(?:{_TOKEN}|\"[\x20-\x21\x23-\x5b\x5d-\x7e]{{0,200}}\"))*"
).fullmatch
_media_type = re.compile(r"([a-z]+)/([a-z0-9][a-z0-9!#$&^_.+\-]*)").fullmatch


def content_type_of(name: str) -> str:
    """The same for Content-Type and getcontenttype, by the last extension.

    Text says ``charset=utf-8``: without it browsers read a text by the reader's locale, and nearly all text that
    is written today is UTF-8. Editors that mount the tree look at the bytes, not at this.
    """
    stem, _, extension = name.rpartition(".")
    return _TYPES.get(extension.lower(), FALLBACK_TYPE) if stem else FALLBACK_TYPE


def content_types_of(names: Iterable[str]) -> list[str]:
    """``content_type_of`` each; the names of a folder have few extensions."""
    known: dict[str, str] = {}
    types = []
    for name in names:
        dot = name.rfind(".")
        if dot <= 0:
            types.append(FALLBACK_TYPE)
            continue
        found = known.get(name[dot:])
        if found is None:
            found = known[name[dot:]] = content_type_of(name)
        types.append(found)
    return types


def is_media_type(text: str) -> bool:
    """Whether it can stand in a header as a media type, with parameters or without (RFC 9110 §8.3.1)."""
    return _whole_type(text) is not None


def media_type_or(stored: str | None, by_name: str) -> str:
    """What a client called a content, if it did, and in a form that can be told."""
    return stored if stored and is_media_type(stored) else by_name


def inline_type(content_type: str) -> bool:
    """Whether a browser may show it inside our origin: nothing that can hold a script, whatever it claims to be.

    Images, audio, video, PDF and plain text; of images no SVG nor other XML. What cannot be read is not inline.
    """
    found = _media_type(content_type.partition(";")[0].strip(" \t").lower())
    if found is None:
        return False
    top, sub = found[1], found[2]
    if "xml" in sub or "svg" in sub:
        return False
    return top in ("image", "audio", "video") or (top, sub) in (("application", "pdf"), ("text", "plain"))
