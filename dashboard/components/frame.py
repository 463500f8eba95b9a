"""What every page has: navigation, who reads, and what must be said on each page."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import streamlit as st
from streamlit.navigation.page import StreamlitPage

from core.labels import counted
from core.manifest import BadBundle, Manifest
from core.model_process import ModelStopped
from core.pseudonym import WrongKey
from core.reading import Model
from core.settings import BadSettings
from dashboard import resources
from dashboard.components import words
from db.models import LONGEST_NAME
from db.session import UnusableLog
from services.ordering import in_place
from services.review import UNNAMED_READER, Case, known_reader, note_shown, pass_on_shown
from services.uploads import Upload

PAGES = {
    "overview": ("Overview", ":material/home:"),
    "upload": ("Upload", ":material/upload:"),
    "worklist": ("Worklist", ":material/list:"),
    "review": ("Review", ":material/radiology:"),
    "evaluation": ("Evaluation", ":material/analytics:"),
    "models": ("Models", ":material/model_training:"),
}

LONGEST = 9
"""Digits that a scan's number has at most."""

STEADY = "steady"
"""Key of the container above the verdict buttons: as high as most answers need, so that a button lies where it lay."""
_STYLE = f"""
<style>
[data-testid="stMainBlockContainer"] {{ padding: 2.2rem 2rem 1rem; }}
[data-testid="stMainBlockContainer"] h1 {{ font-size: 1.9rem; padding: 0 0 0.4rem; }}
[data-testid="stSidebar"]:not([data-collapsed="true"]) {{ min-width: 13rem; max-width: 13rem; }}
[data-testid="stApp"]:has([data-testid="stSidebar"][data-collapsed="true"]) [data-testid="stMainBlockContainer"] {{
  padding-top: 4rem;
}}
[data-testid="stAlertContainer"] {{ padding: 0.5rem 0.8rem; }}
.st-key-{STEADY} {{ min-height: 18rem; }}
[data-testid="stBaseButton-primary"] kbd {{ opacity: 1; }}  /* a key's letter, which was faint on blue */
@media (max-width: 1279px) {{  /* on a small screen no button's words are cut */
  html {{ font-size: 14px !important; }}
  [data-testid="stMainBlockContainer"] {{ padding: 2rem 1rem 1rem !important; }}
  [data-testid="stSidebar"]:not([data-collapsed="true"]) {{ min-width: 12rem !important; max-width: 12rem !important; }}
  [data-testid="stMain"] .stButton button, [data-testid="stMain"] [data-testid="stPopover"] button {{
    padding-inline: 0.4rem;
  }}
  [data-testid="stMain"] [data-testid="stButtonGroup"] button {{ padding-inline: 0.45rem; }}
}}
</style>
"""


_leave_fields = st.components.v2.component("second_read_keys", js=(Path(__file__).with_name("keys.js")).read_text())


def page(name: str) -> StreamlitPage:
    """A page by its file's name, for navigation and links."""
    title, icon = PAGES[name]
    return st.Page(f"app_pages/{name}.py", title=title, icon=icon, default=name == "overview")


def navigation() -> StreamlitPage:
    """The page to run. Its links are drawn in the sidebar (`draw`), for Streamlit's own drop the address."""
    return st.navigation([page(name) for name in PAGES], position="hidden")


def draw() -> None:
    """The sidebar and the style around the page."""
    st.html(_STYLE)
    try:
        always = resources.workspace().settings.review.blind_first
        if "reading_as" not in st.session_state:
            _begin_from_address(always)
        for key, value in zip(("reader", "blind_first"), st.session_state["reading_as"], strict=True):
            st.session_state.setdefault(key, value)
        take_reader()
    except (WrongKey, UnusableLog, BadSettings, OSError) as error:
        st.error(f"**The case log is not opened.** {error}", icon=":material/lock:")
        st.stop()
    with st.sidebar:
        links = st.container()
        st.text_input(
            "Reading as",
            key="reader",
            max_chars=LONGEST_NAME,
            on_change=_another_reader,
            help="Your name or initials: each verdict carries it.",
        )
        st.toggle(
            "Blind first",
            key="blind_first",
            disabled=always,
            on_change=_keep_list,
            help="Hide everything the model says of a scan until your verdict on it is stored.",
        )
        if (upload := last_upload()) and upload.running:
            st.caption(f":material/upload: An upload of {counted(upload.expected, 'file')} runs.")
        _leave_fields(key="keys")
        st.caption("**Not a medical device.** For research and quality improvement; every finding needs a reader.")
    _keep_in_address(always)
    with links:  # with what a session that begins takes over: a server that was started again knows no session
        kept = {name: value for name, value in st.query_params.to_dict().items() if name != "scan"}
        for name in PAGES:
            st.page_link(page(name), query_params=kept, width="stretch")
        st.space("small")


def _begin_from_address(always: bool) -> None:
    """What a session that begins takes over from the one before a reload, and which scan a link names (`?scan=12`)."""
    said = st.query_params
    st.session_state["reading_as"] = said.get("reader", UNNAMED_READER), always or said.get("blind_first") == "true"
    scan = said.get("scan", "")
    if scan.isdecimal() and len(scan) <= LONGEST:
        st.session_state["scan"] = int(scan)
    elif scan:
        st.session_state["notice"] = "error", f"The link names no scan: {scan[:40]} is not a scan's number."
    _begin_where_left(said.get("list"))
    if "upload" in said:
        st.session_state["upload"] = resources.kept_upload(said["upload"])
        st.session_state["upload_forgotten"] = st.session_state["upload"] is None


_PLACE = ("queue", "unread_ones", "scan", "finished", "revealed", "by_answer")
"""What of a session says where its reader is."""
_SEEN = "seen_unnamed"
"""Whose answers a session's reader has seen before they gave a name."""


def _begin_where_left(token: str | None) -> None:
    """The list and the place in it of the session before, if it was this reader's and no link names another scan."""
    if token is None:
        return
    place = resources.kept_place(token).get("now")
    if place is None:
        st.session_state["place_lost"] = True
    elif place["as"] == st.session_state["reading_as"] and st.session_state.get("scan") in (None, place["scan"]):
        st.session_state.update({name: place[name] for name in (*_PLACE, _SEEN) if name in place})


def _keep_place() -> str | None:
    """Its token; None where no list is read."""
    if "queue" not in st.session_state:
        return None
    token = str(st.session_state.setdefault("list", uuid.uuid4().hex[:12]))
    now = {name: st.session_state[name] for name in (*_PLACE, _SEEN) if name in st.session_state}
    now |= {"as": st.session_state["reading_as"], "scan": st.session_state.get("scan")}
    resources.kept_place(token)["now"] = now  # at once: a session that begins may look
    return token


def _keep_in_address(always: bool) -> None:
    """A reload, a bookmark, or another page keeps who reads and how, where, and what has been uploaded. Not by binding
    the widgets to the address: with those st.switch_page fails."""
    st.session_state["reading_as"] = st.session_state["reader"], st.session_state["blind_first"]
    wanted = {} if reader() == UNNAMED_READER else {"reader": reader()}
    if blind_first() and not always:
        wanted["blind_first"] = "true"
    if (scan := st.query_params.get("scan")) and scan == str(st.session_state.get("scan")):
        wanted["scan"] = scan  # a link that was opened, until its reader goes on
    if place := _keep_place():
        wanted["list"] = place
    if upload := last_upload():
        wanted["upload"] = upload.token
    if st.query_params.to_dict() != wanted:
        st.query_params.from_dict(wanted)


def reader() -> str:
    """Who files the verdicts of this session."""
    return str(st.session_state.get("reader") or UNNAMED_READER).strip() or UNNAMED_READER


def blind_first() -> bool:
    """Whether this session's reader gives a verdict before seeing the model's: their choice, or the deployment's."""
    return bool(st.session_state.get("blind_first")) or resources.workspace().settings.review.blind_first


def last_upload() -> Upload | None:
    """What this session has uploaded last, running or ended."""
    upload: Upload | None = st.session_state.get("upload")
    return upload


def begin_upload(upload: Upload) -> None:
    """Start it, and keep it where a reload of the browser finds it."""
    st.session_state["uploads_begun"] = uploads_begun() + 1
    st.session_state["upload"] = resources.kept_upload(upload.token, upload)
    upload.start()  # last, for what is clicked meanwhile may end this run here


def uploads_begun() -> int:
    """By this session. It names the page's field for files: a new one lets the server forget their bytes, and one of
    before would still hold those of an upload that has been taken back."""
    return int(st.session_state.get("uploads_begun", 0))


def forget_upload() -> None:
    """Its batch has been taken back: neither this page nor a list to read speaks of it any more; other lists stay."""
    upload = st.session_state.pop("upload", None)
    if upload and {*upload.scan_ids} & {*st.session_state.get("queue", []), st.session_state.get("scan")}:
        forget_queue()


def go_through(scan_ids: list[int], scan: int | None = None, *, by_answer: bool = False) -> None:
    """Make these the list to read, from `scan` on or from its beginning. `by_answer`: they were chosen by what the
    model says of them, so that the list itself tells it."""
    forget_queue()
    st.session_state["queue"], st.session_state["scan"], st.session_state["by_answer"] = scan_ids, scan, by_answer


def list_batch(batch_id: int) -> None:
    """Let the worklist show this batch whole, from its first page on, whatever was looked for there before."""
    st.session_state["worklist_batch"], st.session_state["worklist_find"] = batch_id, ""
    st.session_state["worklist_states"], st.session_state["worklist_answers"] = [], []
    st.session_state["worklist_page"] = 1


def note_seen(case: Case) -> None:
    """What the model says of a scan, unless it is hidden, is shown to this session's reader."""
    note_shown(resources.workspace(), case, reader())
    if case.reading is not None and reader() == UNNAMED_READER:
        st.session_state[_SEEN] = {*st.session_state.get(_SEEN, ()), case.scan.content_hash}


def _another_reader() -> None:
    """What one reader may know, another may have yet to read blind; but whoever had given no name is the same one."""
    before, _ = st.session_state["reading_as"]
    resources.desks().leave(before)
    if before != UNNAMED_READER:
        _tell_nothing(passed=False)


def take_reader() -> None:
    """The session's reader, as the case log spells them. Whoever has given a name has seen under it what they have seen
    without one, which is forgotten here once it is stored.

    Also before what a click does: it may come in one message with the name. Raises UnusableLog.
    """
    if (known := known_reader(resources.workspace(), reader())) != st.session_state.get("reader"):
        st.session_state["reader"] = known
    if reader() != UNNAMED_READER and (seen := st.session_state.get(_SEEN)):
        pass_on_shown(resources.workspace(), seen, reader())
        del st.session_state[_SEEN]


def _keep_list() -> None:
    """Whoever begins or ends to read blind stays where they are, or is told that the list was left."""
    if blind_first() and _tell_nothing(passed=True):
        left = "The list was chosen by what the model says and would tell its answers; this is another one."
        st.session_state["notice"] = "info", left
    st.session_state.pop("revealed", None)


def _tell_nothing(*, passed: bool) -> bool:
    """Take from the list what it tells of the model: it goes on from the scan on the desk slice by slice, and one that
    was chosen by answers is left, but for that scan. Whether it was left. What comes before, its reader has `passed`
    and can go back to; before another reader it comes last."""
    if st.session_state.get("by_answer"):
        st.session_state.pop("queue", None)
        st.session_state["by_answer"] = False
        return True
    if "queue" in st.session_state:
        ids, scan = st.session_state["queue"], st.session_state.get("scan")
        place = len(ids) if st.session_state.get("finished") else ids.index(scan) + 1 if scan in ids else 0
        kept = ids[:place] if passed else []
        rest = _slice_by_slice(ids[len(kept) :])
        begin = rest.index(scan) if scan in rest else 0
        st.session_state["queue"] = kept + rest[begin:] + rest[:begin]
    return False


def _slice_by_slice(ids: list[int]) -> list[int]:
    try:
        return in_place(resources.workspace(), ids)
    except UnusableLog:  # as the page will say
        return sorted(ids)


def forget_queue() -> None:
    """The list to go through is made anew when next asked for."""
    for key in (*_PLACE, "place_lost"):
        st.session_state.pop(key, None)


def serving() -> Model | None:
    """The model that serves, with what must be said of it above everything else; None where none can."""
    try:
        model, notice = resources.model()
    except BadBundle as error:
        st.error(f"**No model serves.** {error} Scans can be read without one.", icon=":material/error:")
        return None
    if notice:
        st.warning(notice, icon=":material/warning:")
    if model.manifest.demonstration:
        demonstration_note()
    return model


@contextmanager
def log_may_fail() -> Iterator[None]:
    """A page in which the case log becomes unusable says so."""
    try:
        yield
    except UnusableLog as error:
        st.error(f"**The case log cannot be used.** {error}", icon=":material/lock:")


@contextmanager
def model_may_stop() -> Iterator[None]:
    """What a model is asked in here it may not live to answer; that is said, and the page goes on without."""
    try:
        yield
    except ModelStopped as error:
        st.error(f"**The model gave no answer.** {error} Scans can be read without one.", icon=":material/error:")


def demonstration_note() -> None:
    st.info(
        "**Demonstration without clinical meaning:** this model has only ever seen synthetic images.",
        icon=":material/science:",
    )


def limits(manifest: Manifest) -> str:
    """What the model was trained on and not tested on, and what was mistaken, in one paragraph."""
    seen = (f"Mistaken for {words.findings(label)}: {what}." for label, what in manifest.mistaken.items())
    return " ".join([f"Trained on {manifest.trained_on}.", *manifest.limits, *seen])
