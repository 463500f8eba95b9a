"""Whether contrast agent was given, as far as a header says it."""

import pytest

from core.formats import read
from core.scan import CONTRAST
from tests.conftest import changed_dicom


@pytest.mark.parametrize(
    ("agent", "given"),
    [
        ("OMNIPAQUE 350", True),
        ("NON-IONIC", True),
        ("Non-ionic, 100 ml", True),
        ("W/O AND WITH", True),
        ("None", False),
        ("", False),
        ("No IV contrast given", False),
        ("NO_CONTRAST", False),
        ("non-contrast CT", False),
        ("N/A", False),
        ("ohne KM", False),
        ("NONCON", False),
        ("NO CONT", False),
        ("NCCT HEAD", False),
        ("nicht gegeben", False),
        ("SANS INJECTION", False),
        ("nein", False),
        ("Conray", True),
        ("NON-IONIC CONTRAST", True),
    ],
)
def test_contrast_agent_is_known_from_the_header_and_not_which(agent, given):
    meta = read(changed_dicom(ContrastBolusAgent=agent)).meta
    assert (meta.get(CONTRAST) == 1.0) is given
    assert agent not in map(str, meta.values())


@pytest.mark.parametrize(
    ("amounts", "given"),
    [
        ({"ContrastBolusVolume": "100"}, True),
        ({"ContrastFlowRate": ["4", "4"]}, True),
        ({"ContrastBolusVolume": "0"}, False),
        ({"ContrastBolusVolume": "100", "ContrastBolusAgent": "None"}, False),
    ],
)
def test_contrast_agent_whose_name_was_taken_out_is_known_by_how_much_was_given(amounts, given):
    assert (CONTRAST in read(changed_dicom(**({"ContrastBolusAgent": ""} | amounts))).meta) is given
