"""All scans: what they are called, what the model says, how far they are read."""

import pandas as pd
import streamlit as st

from core.labels import CLASSES, in_words
from core.reading import abstains, certainty, hemorrhage_left_open, not_head_ct
from dashboard import resources
from dashboard.components import frame, words
from dashboard.components.uploading import notice, undo_button
from services.ordering import ORDERS
from services.review import Case, batches, cases, queue
from services.tables import whole_percent

PER_PAGE = 50
ALL = 0  # no batch has this number; None would be no choice at all once it has been kept for another page
STATES = ("not read yet", "confirmed", "corrected", "read", "unsure", "unusable", "readers differ")
ABSTAINS, LEFT_OPEN = "Abstains", "Hemorrhage not excluded"

st.title("Worklist")
ws = resources.workspace()
frame.serving()
notice()
everything = cases(ws, frame.reader(), blind_first=frame.blind_first())
if not everything:
    st.write("The case log is empty. Upload scans, or load the demo cases from the overview.")
    st.stop()

kept = st.session_state.get("worklist_states") or ()  # also where its last scan has been read meanwhile
present = [state for state in STATES if state in kept or any(case.state == state for case in everything)]
by_state, by_name = st.columns([15, 4])
states = by_state.pills("State", present, selection_mode="multi", key="worklist_states", persist_state="session")
wanted = by_name.text_input("Find", placeholder="scan number or patient", key="worklist_find", persist_state="session")
by_answer, by_order = st.columns([15, 4])
answers = by_answer.pills(
    "Model says",
    [*CLASSES, LEFT_OPEN, ABSTAINS, words.NO_HEAD],
    selection_mode="multi",
    format_func=lambda said: in_words(said) if said in CLASSES else said,
    key="worklist_answers",
    persist_state="session",
)
held = {case.scan.batch_id for case in everything}
names = {ALL: "All batches"} | {n: f"No. {n}: {words.batch(*batch)}" for n, batch in batches(ws).items() if n in held}
if st.session_state.get("worklist_batch") not in names:  # taken back since
    st.session_state["worklist_batch"] = ALL
count, by_batch, back, start = st.columns([6, 6, 3, 4], vertical_alignment="center")
batch = by_batch.selectbox(
    "Batch",
    list(names),
    format_func=names.__getitem__,
    label_visibility="collapsed",
    key="worklist_batch",
    persist_state="session",
)
order = by_order.selectbox("Order", list(ORDERS), key="worklist_order", persist_state="session")


def _answers(case: Case) -> set[str]:
    """What the model says, as far as this reader may know."""
    if case.reading is None:
        return set()
    beside = {LEFT_OPEN} if hemorrhage_left_open(case.reading) else set()
    if not_head_ct(case.reading):
        return beside | {words.NO_HEAD}
    return beside | {ABSTAINS if abstains(case.reading) else case.reading.label}


def _confidence(case: Case) -> int | None:
    """In per cent; of a guess that means nothing there is none."""
    sure = certainty(case.reading) if case.reading else 0.0
    return whole_percent(sure) if sure else None


meant = [
    case
    for case in everything
    if (not states or case.state in states)
    and (batch == ALL or case.scan.batch_id == batch)
    and case.is_meant_by(wanted)
]
shown = [case for case in meant if not answers or not _answers(case).isdisjoint(answers)]
place = ORDERS[order](shown)
shown.sort(key=place)
by_answers = bool(answers) or not {"confirmed", "corrected"}.isdisjoint(states)  # so that the list tells them
waiting = queue(shown, second_readings=True, order=place)
told = f"; **{len(waiting)}** of them not read by you. Tick one to open it." if shown else "."
count.markdown(f"**{len(shown)}** of {len(everything)} scans{told}")
these = "Read this one" if len(waiting) == 1 else f"Read these {len(waiting)}"
if waiting and start.button(these, type="primary", shortcut="S", width="stretch"):
    frame.go_through(waiting, by_answer=by_answers)
    st.switch_page("app_pages/review.py")
if batch != ALL:
    with back:
        undo_button(ws, next(case.scan.id for case in everything if case.scan.batch_id == batch))
if answers and (hidden := sum(case.hidden for case in meant)):
    are = "answer is" if hidden == 1 else "answers are"
    st.caption(f":material/visibility_off: {hidden} {are} hidden until you have read, and not looked for.")
pages = (len(shown) + PER_PAGE - 1) // PER_PAGE
asked = states, wanted, answers, batch, order
another_list = st.session_state.setdefault("worklist_asked", asked) != asked
if another_list or st.session_state.get("worklist_page", 1) > pages:  # or it has become shorter
    st.session_state.pop("worklist_page", None)  # the first
st.session_state["worklist_asked"] = asked
if not shown:
    st.info("No scan is like that. Take a choice above back to see more.")
    st.stop()

number = st.pagination(pages, key="worklist_page", persist_state="session") if pages > 1 else 1
visible = shown[(number - 1) * PER_PAGE : number * PER_PAGE]
if len(shown) > 1:
    st.caption("Scans are read in the *Order* chosen above, however a column's head sorts this table.")


def _row(case: Case) -> dict[str, object]:
    return {
        "Scan": resources.thumbnail(case.scan.content_hash),
        "No.": case.scan.id,
        "Case": case.title + (" · synthetic" if case.scan.synthetic else ""),
        "State": case.state,
        "Verdict": in_words(case.verdict.label or "") if case.verdict and not case.hidden else "",
        "Model": words.model_column(case),
        "Confidence": _confidence(case),
        "Received": words.local(case.scan.created_at),
    }


event = st.dataframe(
    pd.DataFrame([_row(case) for case in visible]),
    hide_index=True,
    width="stretch",
    height=min(len(visible), 8) * 76 + 40,
    row_height=76,
    on_select="rerun",
    selection_mode="single-row",
    key=f"worklist-{frame.reader()}-{hash(tuple(case.scan.id for case in visible))}",  # a row is chosen by its place
    column_config={
        "Scan": st.column_config.ImageColumn(width="small"),
        "No.": st.column_config.NumberColumn(format="%d", width="small"),
        "Confidence": st.column_config.ProgressColumn(format="%d %%", min_value=0, max_value=100, width="small"),
        "Verdict": st.column_config.TextColumn(width=100),
        "Received": st.column_config.DatetimeColumn(format="D MMM YYYY, HH:mm"),
    },
)
if event.selection.rows:
    asked_for = visible[event.selection.rows[0]].scan.id
    frame.go_through([case.scan.id for case in shown], asked_for, by_answer=by_answers)
    st.switch_page("app_pages/review.py")
