"""Beside the scan: the model's answer, the verdict buttons, the history."""

import streamlit as st

from core.labels import CLASSES, HEMORRHAGIC, ISCHEMIC, NO_STROKE, UNSURE, UNUSABLE, in_words
from core.reading import (
    CLASSES_ALIKE,
    DEMONSTRATION,
    ENHANCED,
    LEARNED_FROM_SIMULATION,
    MARKED,
    SEEN_IN_TRAINING,
    TOO_WIDE,
    UNCALIBRATED,
    abstains,
    hemorrhage_if_head_ct,
    hemorrhage_not_excluded,
    is_meaningless,
    not_head_ct,
)
from dashboard import resources
from dashboard.components import frame, reading_desk, words
from db.queries import ReadingRow
from services.figures import COLOURS
from services.models import mistaken_for
from services.remarks import alarms
from services.remarks import remarks as about
from services.review import UNNAMED_READER, Case, history, latest_verdicts
from services.tables import percent

KEYS = {HEMORRHAGIC: "H", ISCHEMIC: "I", NO_STROKE: "N", UNSURE: "U", UNUSABLE: "X"}


def alarm(case: Case) -> None:
    """What must not be overlooked, whatever the model says."""
    for sentence in alarms(resources.workspace(), case):
        st.markdown(f":material/priority_high: **{sentence}**")


def answer(case: Case) -> None:
    """What the model says, or why it says nothing yet."""
    if case.hidden:
        st.markdown(f"#### The model's answer is hidden\n{words.why_hidden(case)}")
        return
    if case.reading is None:
        st.markdown("#### No reading\nThe model has not read this scan. Your verdict counts all the same.")
        return
    reading = case.reading
    reasons = [reason for flag, reason in _WHY_NOT.items() if flag in reading.flags]
    if not_head_ct(reading):
        st.markdown(
            f"#### {words.NO_HEAD}\nThe image is unlike the scans the model was trained on, so it gives no stroke "
            f"type. It may be a head CT all the same: your verdict counts. {' '.join(reasons)}"
        )
        if reasons or hemorrhage_if_head_ct(reading):
            why = "that would be its best guess" if reading.label == HEMORRHAGIC else "it would not be excluded"
            said = "nothing the model says would exclude it" if reasons else why
            st.markdown(f":material/priority_high: **If it is a head CT, look for a hemorrhage**: {said}.")
        return
    if abstains(reading):
        guess = in_words(reading.label).lower()
        why = f"{' '.join(reasons)} Take no notice of its guess, {guess}."
        unsure = f"Its best guess is {guess}; it is too unsure to give that as an answer."
        st.markdown(f"#### The model abstains\n{why if reasons else unsure}")
    else:
        trust = "not calibrated" if UNCALIBRATED in reading.flags else "calibrated"
        st.markdown(f"#### {in_words(reading.label)}, {percent(reading.confidence)} ({trust})")
    if reasons:
        st.markdown(":material/priority_high: **Hemorrhage is not excluded**: nothing the model says here would do so.")
        return
    _probabilities(reading)
    if CLASSES_ALIKE in reading.flags and reading.label != NO_STROKE and not abstains(reading):
        st.caption(
            ":material/balance: It takes the answers to be equally common: where strokes are rarer, it is too high."
        )
    if hemorrhage_not_excluded(reading):
        st.markdown(
            ":material/priority_high: **Hemorrhage is not excluded**: "
            f"{percent(reading.probabilities[HEMORRHAGIC])} is too much to dismiss."
        )


_WHY_NOT = {
    MARKED: "It would take the coloured mark, shown in grey here, for tissue.",
    ENHANCED: "The header says that contrast agent was given, and it has only met plain CT.",
    TOO_WIDE: "The window is so wide that blood and brain have nearly one grey: send a brain window, or DICOM.",
}


def reservations(case: Case) -> None:
    """What the model's answer rests on. Below the verdicts, which stay in their place so."""
    reading = case.reading
    if case.hidden or reading is None or not_head_ct(reading):
        return
    if NO_STROKE not in reading.probabilities:
        st.caption(":material/info: This model knows no answer “no stroke”: it calls every scan one or the other.")
    if reading.label == NO_STROKE and not abstains(reading):
        st.caption(":material/visibility: It excludes nothing: the model misses some hemorrhages and infarcts.")
    if LEARNED_FROM_SIMULATION in reading.flags and not is_meaningless(reading):
        st.caption(
            f":material/science: The model has learned from simulated {words.findings(reading.label)}, and has met few "
            "real ones in training, or none."
        )
    mistaken = mistaken_for(resources.workspace(), reading.model_version, reading.label)
    if mistaken and not is_meaningless(reading):
        st.caption(
            f":material/swap_horiz: Models like this one have taken for {words.findings(reading.label)}: {mistaken}."
        )
    if DEMONSTRATION in reading.flags:
        st.caption(":material/science: Read by a demonstration model that has only met synthetic images.")
    if case.outdated and DEMONSTRATION not in reading.flags:
        st.caption(f":material/history: Read by {reading.model_version}, which is not the model that serves now.")
    if SEEN_IN_TRAINING in reading.flags:
        st.caption(":material/history: The model was trained on scans of this patient: it may recognise them.")


def _probabilities(reading: ReadingRow) -> None:
    """A bar per class, with its number: length says it, colour only repeats it."""
    rows = "".join(
        '<div style="display:grid;grid-template-columns:6.8rem 1fr 3.6rem;gap:.5rem;align-items:center;margin:.1rem 0">'
        f"<span>{in_words(name)}</span>"
        '<span style="height:.8rem;background:rgba(128,128,128,.25);border-radius:3px;overflow:hidden">'
        f'<span style="display:block;height:100%;width:{share:.1%};background:{COLOURS[name]}"></span></span>'
        f'<span style="text-align:right;font-variant-numeric:tabular-nums">{percent(share)}</span></div>'
        for name in CLASSES
        if (share := reading.probabilities.get(name)) is not None
    )
    st.html(f"<div>{rows}</div>")


def verdict_buttons(case: Case) -> None:
    """One click or key files the verdict and brings the next scan."""
    stay = case.hidden and not case.left  # to show the answer
    silent = case.reading is None or abstains(case.reading) or not_head_ct(case.reading)
    proposed = case.reading.label if case.reading and not silent and case.own_verdict is None else None
    for verdict in CLASSES:
        name = in_words(verdict)
        label = f"Confirm: {name}" if verdict == proposed else f"Correct to: {name}" if proposed else name
        _button(case, verdict, label, primary=verdict == (case.own_verdict or proposed), stay=stay)
    for column, verdict in zip(st.columns(2), (UNSURE, UNUSABLE), strict=True):
        with column:
            short = in_words(verdict).replace(" image", "")
            _button(case, verdict, short, primary=verdict == case.own_verdict, stay=stay)
    if frame.reader() == UNNAMED_READER:
        st.caption(f":material/person: Filed as “{UNNAMED_READER}”. Say in the sidebar who reads.")


def _button(case: Case, verdict: str, label: str, *, primary: bool, stay: bool) -> None:
    st.button(
        label,
        key=f"verdict-{verdict}-{case.scan.id}-{case.scan.version}",
        type="primary" if primary else "secondary",
        shortcut=None if reading_desk.just_revealed(case) else KEYS[verdict],
        width="stretch",
        on_click=reading_desk.file_verdict,
        args=(case.scan.id, case.scan.version, verdict),
        kwargs={"blind": case.reading is None, "stay": stay},
    )


def lost(case: Case) -> None:
    """The one verdict on a scan whose image is lost: unusable. Without it the scan would wait in lists for good, and
    hide the answers to its patient's other scans where those are read blind."""
    st.write("If the image cannot be restored, file the scan as unusable; then nothing waits for it.")
    _button(case, UNUSABLE, in_words(UNUSABLE), primary=False, stay=False)


def remarks(case: Case) -> None:
    """What else there is to know of the scan itself."""
    for sentence in about(resources.workspace(), case):
        st.caption(f":material/info: {sentence}")


def own_verdict(case: Case) -> None:
    """After a verdict: what was said, against what the model says."""
    if case.own_verdict is None:
        return
    said = in_words(case.own_verdict)
    compared, reading = ".", case.reading
    if reading is not None and not not_head_ct(reading) and case.own_verdict in CLASSES:
        theirs = "the same" if reading.label == case.own_verdict else in_words(reading.label).lower()
        compared = f": the model says {theirs}." if not abstains(reading) else ": the model abstains."
    revealed = reading_desk.just_revealed(case)
    change = "A click changes it, no key does until you go on (→)." if revealed else "Choose again to change it."
    st.markdown(f":material/check_circle: **You said {said.lower()}**{compared} {change}")


def settle(case: Case) -> None:
    """Where readers differ, a verdict may be filed as the one that settles it; where somebody has, as one that does so
    anew."""
    if case.hidden or case.verdict is None:
        return
    by = case.verdict.settled_by
    if by is not None and by != frame.reader():
        st.caption(f":material/gavel: Settled by {words.plain(by)}. Your verdict counts only if it settles this anew.")
    elif case.state != "readers differ":
        return
    else:
        said = latest_verdicts(history(resources.workspace(), case.scan.id)).items()
        each = [f"{_you(who)} {in_words(verdict).lower()}" for who, verdict in said]
        st.markdown(f":material/groups: **Readers differ**: {', '.join(each)}. Until that is settled it has no label.")
    settles = "My next verdict settles it (adjudicates)"
    # a checkbox would keep the focus, and the verdicts' keys with it
    st.pills(settles, [settles], key=reading_desk.settles(case.scan.id), label_visibility="collapsed")


def _you(name: str) -> str:
    return "you said" if name == frame.reader() else f"{words.plain(name)} said"


def past(case: Case) -> None:
    """The scan's history. Before a blind verdict only that there is one: others' verdicts sway as the model's do."""
    lines = history(resources.workspace(), case.scan.id)
    if not lines:
        return
    if case.hidden:
        st.caption(f"Reviewed {'once' if len(lines) == 1 else f'{len(lines)} times'}; shown with the model's answer.")
        return
    with st.expander(f"History ({len(lines)})"):
        for line in lines:
            how = (", blind" if line.blind else "") + (", settles what readers differed on" if line.settles else "")
            you = " (you)" if line.reader == frame.reader() else ""
            st.text(f"{words.when(line.at)}: {line.reader}{you}: {in_words(line.verdict)}{how}")
