"""Whether contrast agent was given, as far as a header says it."""

import pytest
from hypothesis import given as given_any
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from core.contrast import contrast_given
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


NONE = [
    "none", "null", "0 ml", "0ml", "0 CC", "0.0", "0,0 ml", "N.A.", "NO CE", "keine", "kein KM", "ohne Kontrastmittel",
    "geen contrast", "sin contraste", "sem contraste", "senza mdc", "aucun", "non injecté", "utan", "bez kontrastu",
    "CT HEAD W/O CONTRAST", "TC CRÁNEO SIN CONTRASTE", "Schädel nativ", "Contrast: none",
    "Without contrast material", "no contrast bolus", "sin medio de contraste", "pas de contraste", "sans PDC",
    "keines", "o. KM", "o.KM",
]  # fmt: skip
TAKEN_OUT = ["unknown", "not specified", "REMOVED", "ANONYMIZED", "redacted", "removed by CTP"]
GIVEN = [
    "Omnipaque", "YES", "100 ml", "0.5 ml", "APPLIED", "CT W CONTRAST", "no oral contrast", "0 1", "C+", "W/O + W", "O",
    "KM", "bolus",
]  # fmt: skip


@given_any(st.sampled_from(NONE), st.sampled_from(["{}", "({})", "[{}]", " {} ", "<{}>"]), st.booleans())
def test_none_is_said_in_many_ways(said, around, capitals):
    agent = around.format(said.upper() if capitals else said)
    assert not contrast_given(header(ContrastBolusAgent=agent))


@given_any(st.sampled_from(GIVEN), st.sampled_from(["{}", "({})", "[{}]", " {} ", "<{}>"]), st.booleans())
def test_what_is_none_of_these_is_contrast_agent(said, around, capitals):
    agent = around.format(said.upper() if capitals else said)
    assert contrast_given(header(ContrastBolusAgent=agent))


@pytest.mark.parametrize("agent", TAKEN_OUT)
def test_where_an_agents_name_was_taken_out_something_else_must_say_it(agent):
    assert not contrast_given(header(ContrastBolusAgent=agent))
    for tag in ("ContrastBolusVolume", "ContrastBolusIngredientConcentration"):
        assert contrast_given(header(ContrastBolusAgent=agent, **{tag: "70"}))
    assert contrast_given(header(ContrastBolusAgent=agent, SeriesDescription="CTA"))


def test_an_endless_name_takes_no_time():
    assert contrast_given(header(ContrastBolusAgent="no " + "contcct" * 1000 + "!"))


@pytest.mark.parametrize(
    ("amounts", "given"),
    [
        ({"ContrastBolusVolume": "100"}, True),
        ({"ContrastFlowRate": ["4", "4"]}, True),
        ({"ContrastBolusVolume": "0"}, False),
        ({"ContrastFlowDuration": "18"}, True),
        ({"ContrastBolusIngredientConcentration": "350"}, True),
        ({"ContrastBolusIngredientConcentration": "0"}, False),
        ({"ContrastBolusIngredient": "IODINE"}, True),
        ({"ContrastBolusIngredient": "NONE"}, False),
        ({"ContrastBolusRoute": "IV"}, False),
    ],
)
def test_contrast_agent_whose_name_was_taken_out_is_known_by_how_much_was_given_or_of_what(amounts, given):
    assert (CONTRAST in read(changed_dicom(**({"ContrastBolusAgent": ""} | amounts))).meta) is given


AMOUNTS = ("ContrastBolusVolume", "ContrastBolusTotalDose", "ContrastFlowRate", "ContrastFlowDuration")


def header(**tags):
    made = Dataset()
    for tag, value in tags.items():
        setattr(made, tag, value)
    return made


@given_any(
    st.sampled_from(["", "NONE", "0", "without", "Omnipaque"]) | st.text(max_size=20),
    st.sampled_from(AMOUNTS),
    st.integers(1, 400),
    st.sampled_from(["HEAD 5MM", "NON CON HEAD", ""]),
)
def test_an_amount_says_so_whatever_else_is_said(agent, tag, amount, description):
    said = {"ContrastBolusAgent": agent, "SeriesDescription": description, tag: str(amount)}
    assert contrast_given(header(**said))


def test_what_is_in_an_agent_that_was_not_given_says_nothing():
    """Nor what the series is called."""
    tags = {"ContrastBolusIngredient": "IODINE", "ContrastBolusIngredientConcentration": "350"}
    assert contrast_given(header(**tags))
    assert not contrast_given(header(ContrastBolusAgent="NONE", SeriesDescription="CTA", **tags))


@pytest.mark.parametrize(
    ("description", "given"),
    [
        ("CTA HEAD & NECK 0.6", True),
        ("Head_CTA_0.6", True),
        ("CTP 5.0", True),
        ("CT-Angiographie", True),
        ("Perfusion 4D", True),
        ("CTA HEAD W/O", False),
        ("CTA PRE", False),
        ("CTA w/o contrast", False),
        ("CTA NON BONE SUB", True),
        ("HEAD CTA MIP SIN HUESO", True),
        ("Angio No. 3", True),
        ("CTA HEAD W WO", True),
        ("CT ANGIO HEAD W/O & W", True),
        ("Angio nativ", False),
        ("NON-CON CTA", False),
        ("HEAD 5MM", False),
        ("RECTAL", False),
        ("FACTOR", False),
    ],
)
def test_a_series_that_is_never_taken_without_contrast_agent_is_known_by_its_name(description, given):
    meta = read(changed_dicom(SeriesDescription=description)).meta
    assert (meta.get(CONTRAST) == 1.0) is given
    assert description not in map(str, meta.values())


def test_the_protocols_name_is_that_of_its_plain_series_too():
    assert not contrast_given(header(ProtocolName="CTA HEAD", StudyDescription="CTA", SeriesDescription="HEAD 5MM"))
