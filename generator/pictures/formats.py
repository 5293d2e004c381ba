"""Which files are pictures: by the suffix of the name or, where there is none, by the first bytes."""

from __future__ import annotations

import os
import re
import stat

_JPEG, _PNM = (".jpg", ".jpeg", ".jpe", ".jfif"), (".ppm", ".pgm")
SUFFIXES = (*_JPEG, ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", *_PNM, ".avif")

_CONVERT = "convert it to PNG or JPEG"
_UNREAD = {
    f"a HEIC picture, which is not read: {_CONVERT}": "heic heif hif heics heifs",
    f"a DICOM file, which is not read: {_CONVERT}": "dcm dicom dic",
    f"a JPEG 2000 picture, which is not read: {_CONVERT}": "jp2 j2k j2c jpc jpf jpx jpm",
    f"a JPEG XL, JPEG XR or JPEG LS picture, which is not read: {_CONVERT}": "jxl jxr wdp hdp jls",
    f"a camera's raw file, which is not read: {_CONVERT}": (
        "raw cr2 cr3 crw nef nrw arw srf sr2 dng orf rw2 raf pef srw x3f 3fr iiq rwl mrw kdc dcr erf mef mos"
    ),
    f"a drawing or a document, which is not read: {_CONVERT}": "svg svgz eps ps ai emf wmf pdf djvu cdr",
    f"a file of a picture editor, which is not read: {_CONVERT}": "psd psb xcf kra afphoto clip sketch",
    f"a picture of a format that is not read: {_CONVERT}": (
        "ico icns cur tga dds exr hdr pfm pnm pbm pam pcx sgi rgb ras xbm xpm fits fit fts apng flif bpg qoi pict pct"
    ),
    f"a scientific or medical image, which is not read: {_CONVERT}": (
        "nii nrrd nhdr mha mhd img svs ndpi scn mrxs vms czi lif lsm nd2 oib oif ims vsi stk mrc"
    ),
    "a film, which is not read: save its frames as PNG or JPEG": (
        "mp4 m4v mov avi mkv webm mpg mpeg wmv flv 3gp ogv mts m2ts"
    ),
}
_REASON = {suffix: reason for reason, suffixes in _UNREAD.items() for suffix in suffixes.split()}


def words(text: str) -> frozenset[str]:
    """The words of a text as a set."""
    return frozenset(text.split())


# Files that commonly lie next to pictures. They are not counted among the files that could not be used.
_COMPANIONS = words(
    """
    txt csv tsv json jsonl ndjson geojson xml yaml yml toml ini cfg conf md rst rtf tex bib html htm css js doc
    docx odt xls xlsx ods ppt pptx log lst list names data db sqlite sqlite3 py pyc ipynb m mat r rdata rds sh
    bat ps1 c h cpp java lua caffemodel prototxt npy npz pkl pickle pt pth bin onnx h5 hdf5 ckpt safetensors
    parquet arrow feather tfrecord tfrecords lmdb mdb idx zip tar gz tgz bz2 xz 7z rar zst md5 sha1 sha256 sums
    url webloc lnk desktop ds_store license licence torrent aae thm xmp wav mp3 srt vtt
    """
)
# Folders made by operating systems and programs, with copies and thumbnails of pictures.
_SYSTEM_FOLDERS = frozenset(
    (
        "__macosx",
        "@eadir",
        "#recycle",
        "$recycle.bin",
        "system volume information",
        "lost+found",
        "__pycache__",
    )
)
_COMPANION_NAMES = re.compile(
    r"(readme|licen[cs]e|copying|notice|authors|changelog|changes|makefile|dockerfile|version|citation|index|md5sums?|"
    r"sha\d*sums?|thumbs\.db)",
    re.IGNORECASE,
)
_SUFFIX = re.compile(r"\.(?!\d+$)([^.\s/]{1,12})$")

# First bytes → a format that can be read.
_READ = (
    (re.compile(rb"\xff\xd8\xff"), "JPEG"),
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "PNG"),
    (re.compile(rb"GIF8[79]a"), "GIF"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "WebP"),
    (re.compile(rb"BM.{4}\0\0\0\0.{4}[\x0c\x28\x38\x40\x6c\x7c]\0\0\0", re.DOTALL), "BMP"),
    (re.compile(rb"II[*+]\0|MM\0[*+]"), "TIFF"),
    (re.compile(rb"P[2356]\s"), "PPM"),
    (re.compile(rb"....ftypavi[fs]", re.DOTALL), "AVIF"),
)
_NOT_READ = (
    (re.compile(rb"....ftyp(hei|hev|mif1|msf1)", re.DOTALL), _REASON["heic"]),
    (re.compile(rb".{128}DICM", re.DOTALL), _REASON["dcm"]),
    (re.compile(rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51"), _REASON["jp2"]),
    (re.compile(rb"\xff\x0a|\0\0\0\x0cJXL "), _REASON["jxl"]),
    (re.compile(rb"8BPS"), _REASON["psd"]),
    (re.compile(rb"%PDF|%!PS|\s*<svg"), _REASON["svg"]),
    (re.compile(rb"....ftyp|\x1aE\xdf\xa3|RIFF....AVI ", re.DOTALL), _REASON["mp4"]),
)
NO_PICTURE = "not a picture of a known format"


def has_picture_suffix(name: str) -> bool:
    """Whether a file name has the suffix of a picture format that can be read."""
    return name.lower().endswith(SUFFIXES)


def is_system_folder(name: str) -> bool:
    """Whether a folder was made by a system: Synology's thumbnails, a zip's `__MACOSX`, a disk's recycle bin."""
    return name.casefold() in _SYSTEM_FOLDERS


def suffix_of(name: str) -> str:
    """The suffix in lower case without its dot; '' if there is none. A number is not a suffix (`scan.0001`)."""
    match = _SUFFIX.search(name)
    return "" if match is None else match[1].lower()


def is_companion(name: str) -> bool:
    """Whether a file is of a kind that commonly lies next to pictures: a table, text, program, archive or README."""
    suffix = suffix_of(name)
    stem = name if not suffix else name[: -len(suffix) - 1]
    return suffix in _COMPANIONS or (not suffix and _COMPANION_NAMES.fullmatch(stem) is not None)


def reason_against(path: str, name: str) -> str | None:
    """Why a file without a picture's suffix cannot be used; None if it is a picture nevertheless.

    path: of the file; name: its last part. A file with a known suffix is not opened. A file without a suffix is a
    picture if its first bytes are those of a picture. A file with an unknown suffix (`a.jpg.part`, `a.bak`) is never
    used.
    """
    suffix = suffix_of(name)
    if suffix in _REASON:
        return _REASON[suffix]
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0))
        with open(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return "not a file that could hold a picture"
            first = file.read(160)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if not first:
        return "empty file"
    kind = next((kind for pattern, kind in _READ if pattern.match(first)), None)
    if kind is not None:
        if not suffix:
            return None
        return f"a {kind} picture by its first bytes, but files that end in .{suffix} are not read: rename it"
    return next((reason for pattern, reason in _NOT_READ if pattern.match(first)), NO_PICTURE)
