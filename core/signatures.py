"""What a file is, by how it begins."""

JPEG, PNG, ZIP, GZIP = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"PK\x03\x04", b"\x1f\x8b"
HEAD = 348
"""This many first bytes tell all that can be told."""
_PICTURES = (JPEG, PNG, b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"GIF8")
"""JPG, PNG, TIFF and BigTIFF of either byte order, GIF."""
_NIFTI = (b"n+1\0", b"ni1\0")
_BARE_DICOM = (b"\x08\x00\x05\x00", b"\x08\x00\x08\x00", b"\x08\x00\x16\x00", b"\x02\x00\x00\x00")
"""How a little-endian data set begins that was written without the preamble of PS3.10."""


def is_dicom(head: bytes) -> bool:
    """With the preamble of PS3.10 or without."""
    return head[128:132] == b"DICM" or head[:4] in _BARE_DICOM


def is_picture(head: bytes) -> bool:
    """A JPG, PNG, TIFF, BMP, GIF or WebP."""
    bmp = head[:2] == b"BM" and head[15:18] == b"\0\0\0"  # the length of its second header, which is small
    return head.startswith(_PICTURES) or bmp or (head[:4] == b"RIFF" and head[8:12] == b"WEBP")


def is_nifti(head: bytes) -> bool:
    """NIfTI-1, unpacked."""
    return head[344:348] in _NIFTI


def may_hold_slices(head: bytes) -> bool:
    """Whether a file that begins like this (its first `HEAD` bytes) may hold several slices."""
    return is_dicom(head) or head.startswith(GZIP) or is_nifti(head)
