"""Whether slices are put together does not depend on the kind of file that they come in."""

import nibabel
import numpy as np
import pytest

from core.phantom import phantom
from core.pseudonym import Pseudonym
from core.scan import AVERAGED
from core.volume import read_all
from services.series import together
from tests.conftest import changed_dicom, dicom
from tests.core.test_volume import frames_apart

COUNT, KEY = 48, Pseudonym(b"k")


def one_by_one(step):
    """A series of single DICOM files."""
    tags = {"SeriesInstanceUID": "1.2.3.4", "SliceThickness": step, "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}
    return [
        changed_dicom(dicom(i), **tags, ImagePositionPatient=[0, 0, step * i], InstanceNumber=i) for i in range(COUNT)
    ]


def as_frames(step):
    return [frames_apart(step, step, COUNT)]


def as_nifti(step):
    hu = np.stack([np.rint(phantom("no_stroke", i % 4, 96).pixels).astype(np.int16) for i in range(COUNT)], 2)
    return [nibabel.Nifti1Image(hu, np.diag([-0.5, -0.5, step, 1])).to_bytes()]


@pytest.mark.parametrize("files", [one_by_one, as_frames, as_nifti])
@pytest.mark.parametrize(("step", "averaged"), [(2.5, 2), (2.9, 2), (3.0, None), (3.3, None)])
def test_slices_of_three_millimetres_stay_as_they_are_in_every_kind_of_file(files, step, averaged):
    scans = [(str(i), scan) for i, data in enumerate(files(step)) for scan in read_all(data, pseudonym=KEY, slice_mm=5)]
    found = [one.scan for one in together(scans, 5, lambda hashes: set())]
    assert {scan.meta.get(AVERAGED) for scan in found[1:-1]} == {averaged}
    assert len(found) == COUNT if averaged is None else len(found) < COUNT // 2 + 2
