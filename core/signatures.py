"""What a file is, by how it begins."""

JPEG, PNG, ZIP, GZIP = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"PK\x03\x04", b"\x1f\x8b"
HEAD = 348
"""This many first bytes tell all that can be told."""
_PICTURES = (JPEG, PNG, b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"GIF8")
"""JPG, PNG, TIFF and BigTIFF of either byte order, GIF."""
_ARCHIVES = (b"7z\xbc\xaf\x27\x1c", b"Rar!\x1a\x07", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd")
"""7z, RAR, bzip2, xz, Zstandard."""
_HEIF = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1", b"avif", b"avis")
_NIFTI = (b"n+1\0", b"ni1\0")
_NIFTI_2 = (b"n+2\0", b"ni2\0")
_BARE_DICOM = tuple(bytes([group, 0, element, 0]) for group, element in ((2, 0), (8, 0), (8, 5), (8, 8), (8, 0x16)))
"""How a little-endian data set begins that was written without the preamble of PS3.10."""


def is_dicom(head: bytes) -> bool:
    """With the preamble of PS3.10 or without."""
    return head[128:132] == b"DICM" or head[:4] in _BARE_DICOM


def is_picture(head: bytes) -> bool:
    """A JPG, PNG, TIFF, BMP, GIF or WebP."""
    bmp = head[:2] == b"BM" and head[15:18] == b"\0\0\0"  # the length of its second header, which is small
    return head.startswith(_PICTURES) or bmp or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


def is_nifti(head: bytes) -> bool:
    """NIfTI, unpacked."""
    return head[344:348] in _NIFTI or is_nifti_2(head)


def is_nifti_2(head: bytes) -> bool:
    """NIfTI-2, unpacked."""
    return head[4:8] in _NIFTI_2


def may_hold_slices(head: bytes) -> bool:
    """Whether a file that begins like this (its first `HEAD` bytes) may hold several slices."""
    return is_dicom(head) or head.startswith(GZIP) or is_nifti(head)


def is_archive(head: bytes) -> bool:
    """A tar, or packed in another way than zips and gzips are."""
    return head.startswith(_ARCHIVES) or head[257:262] == b"ustar"


def is_phones_photograph(head: bytes) -> bool:
    """HEIC or AVIF."""
    return head[4:8] == b"ftyp" and head[8:12] in _HEIF
