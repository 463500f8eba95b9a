"""The figures of a report as tables of words, for pages, commands and the downloaded report alike."""

from collections.abc import Collection, Mapping

import pandas as pd

from core.evaluate import BY_CLASS, OVERALL, Report
from core.intervals import Figure
from core.labels import counted, in_words
from services.questions import Question
from services.reporting import FEW, Agreement, AuditStream, Comparison, Group, LiveEvaluation, Selection


def percent(share: float) -> str:
    """Whole per cent; never 100 % or 0 % of something less than certain."""
    if share >= 0.995:
        return "> 99 %"
    return "< 1 %" if share < 0.005 else f"{whole_percent(share)} %"


def whole_percent(share: float) -> int:
    """1 to 99: what `percent` says, as a number for a bar."""
    return min(99, max(1, round(share * 100)))


def counted_share(share: float) -> str:
    """Whole per cent of what has been counted, where none and all are possible."""
    return measured_percent(share) if share in (0, 1) else percent(share)


def measured_percent(share: float, digits: int = 0) -> str:
    """Per cent as it was measured, 0 and 100 among them."""
    return f"{share * 100:.{digits}f} %"


def with_interval(figure: Figure) -> str:
    """ "0.87 (0.80–0.93)"; a dash where it is undefined."""
    if figure.value != figure.value:
        return "–"
    return f"{figure.value:.2f} ({figure.ends(2, '–')})".replace("-", "−")


def how_many(figure: Figure) -> str:
    """ "212 scans, 40 patients" """
    patients = "" if figure.patients is None else f", {counted(figure.patients, 'patient')}"
    return f"{counted(figure.n, 'scan')}{patients}"


_SOURCES = {"upload": "Upload", "ingest": "Command line", "demo": "Demo cases"}


def source(name: str) -> str:
    """By which way scans came."""
    return _SOURCES.get(name, name)


def overall(live: LiveEvaluation) -> pd.DataFrame:
    """Figures of no one class: on these scans, per patient, where the model answered, on the random audit stream."""
    stream = live.audit_stream
    columns = {
        "These scans": live.report,
        "Per patient": live.patient_report,
        "Where it answered": live.answered_report,
        "Audit stream, read blind": stream.report,
    }
    rows = {"On": [_basis(report, of=column) for column, report in columns.items()]}
    rows["A model that always says the commonest class"] = [_by_default(report) for report in columns.values()]
    for key, words in OVERALL.items():
        rows[words] = [with_interval(getattr(report, key)) if report else "–" for report in columns.values()]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=list(columns))
    return table.rename_axis("Figure").reset_index()


def _by_default(report: Report | None) -> str:
    """The accuracy of a model that says one and the same of every scan."""
    return f"accuracy {report.confusion.sum(axis=1).max() / report.n:.2f}" if report else "–"


def _never_called(report: Report) -> list[str]:
    """One note on the classes that occur and that the model called no scan."""
    never = {
        name: figures.recall.n
        for name, figures in report.per_class.items()
        if not figures.precision.n and figures.recall.n
    }
    if not never:
        return []
    names, counts = " or ".join(in_words(name).lower() for name in never), " and ".join(map(str, never.values()))
    said = f"**The model called none of these scans {names}**; readers called {counts} so."
    one_answer = sum(figures.precision.n > 0 for figures in report.per_class.values()) == 1
    undefined = " The Matthews correlation, which needs two answers to compare, is not defined then."
    return [said + (undefined if one_answer else "")]


def _basis(report: Report | None, *, of: str) -> str:
    if report is None:
        return "no scan yet"
    few = " (few)" if report.n < FEW else ""
    if of == "Per patient":
        return f"{counted(report.n, 'patient')}{few}"
    return f"{counted(report.n, 'scan')} of {counted(report.patients or 0, 'patient')}{few}"


def by_class(report: Report, reached: Mapping[str, tuple[Figure, Figure]]) -> pd.DataFrame:
    """A column a class; `reached`: sensitivity and specificity at its operating point, where it has one."""
    columns = {}
    for name, figures in report.per_class.items():
        column = {"Readers said so": how_many(figures.recall), "The model said so": how_many(figures.precision)}
        column |= {words: with_interval(getattr(figures, key)) for key, words in BY_CLASS.items()}
        if reached:
            pair = [with_interval(figure) for figure in reached[name]] if name in reached else ["–", "–"]
            column |= {"Sensitivity at its operating point": pair[0], "Specificity at its operating point": pair[1]}
        columns[in_words(name)] = column
    return pd.DataFrame(columns).rename_axis("Figure").reset_index()


def confusion(report: Report) -> pd.DataFrame:
    """Rows: label, columns: model; counts with their share of the row."""
    names = [in_words(name) for name in report.classes]
    rows = []
    for name, counts in zip(names, report.confusion, strict=True):
        total = int(counts.sum())
        cells = [f"{count} ({counted_share(count / total)})" if total else "0" for count in counts]
        called = {f"Called {other}": cell for other, cell in zip(names, cells, strict=True)}
        rows.append({"Reviewed as": f"{name}, {counted(total, 'scan')}", **called})
    return pd.DataFrame(rows)


def rows_csv(live: LiveEvaluation, scan_ids: Collection[int], *, known: bool) -> str:
    """The rows of these scans. `known`: whether it can be told whom the version was trained on; else nothing stands
    where no patient of theirs is known to be."""
    rows = live.rows[live.rows["scan_id"].isin(scan_ids)]
    if not known:
        met = rows[["seen_in_training", "settled_on"]].astype(object)
        rows = rows.assign(**met.where(rows[met.columns], None))
    return rows.to_csv(index=False)


def groups(found: tuple[Group, ...]) -> pd.DataFrame:
    """A row a group, with a note on those on too few scans to trust."""
    return pd.DataFrame(
        {
            "Group": f"{group.kind}: {source(group.name) if group.kind == 'source' else group.name}",
            "Scans": group.n,
            "Patients": group.patients,
            "Accuracy": with_interval(group.accuracy),
            "Hemorrhage found (sensitivity)": with_interval(group.sensitivity),
            "No hemorrhage, and not called so (specificity)": with_interval(group.specificity),
            "Note": f"fewer than {FEW} scans" if group.n < FEW else "",
        }
        for group in found
    )


GROUPS_ARE = "How the model does in each group; by reader: against that reader's own verdicts."


def agreement(found: tuple[Agreement, ...]) -> pd.DataFrame:
    """A row a pair: readers among themselves, then with the model."""
    return pd.DataFrame(
        {
            "Between": f"{pair.first} and {pair.second}",
            "Both read": how_many(pair.kappa),
            "Cohen's kappa": with_interval(pair.kappa),
            "Same answer": with_interval(pair.observed),
            "Note": f"fewer than {FEW} scans" if pair.kappa.n < FEW else "",
        }
        for pair in found
    )


def gains(found: Mapping[str, Figure]) -> pd.DataFrame:
    """A row a figure: what one version gains over another on the same scans."""
    return pd.DataFrame(
        {
            "Gained": _gain_in_words(name),
            "By": with_interval(gain),
            "On": how_many(gain),
            "Note": f"fewer than {FEW} scans" if gain.n < FEW else "",
        }
        for name, gain in found.items()
    )


def unfair(found: Comparison, version: str, other: str) -> str:
    """What flatters one of two versions that are compared; empty where nothing is known to."""
    met = [(name, n) for name, n in ((version, found.seen), (other, found.seen_by_other)) if n]
    if not met:
        return ""
    each = " and ".join(f"{name} was trained on the patients of {n}" for name, n in met)
    whom = "it" if len(met) == 1 else "each of them"
    return f"**Not a fair comparison.** Of these {counted(found.scans, 'scan')} {each}: that flatters {whom}."


def _gain_in_words(name: str) -> str:
    """ "auc hemorrhagic" -> "AUC, hemorrhagic" """
    figure, _, label = name.partition(" ")
    return f"{figure.upper()}, {in_words(label).lower()}" if label else figure.capitalize()


def _of_the_choice(selection: Selection, stream: AuditStream) -> list[str]:
    """How the scans with a verdict came to be these."""
    found = []
    random = "Trust those of" if stream.report else "None counts yet in"
    if selection.unread_by_model:
        found.append(
            "**Not all reviewed scans.** Not read by this version, mostly from before it served: "
            f"{counted(selection.unread_by_model, 'scan')} with a verdict. The figures are on those opened since."
        )
    if not selection.looks_random:
        surer = "more" if selection.told_apart.value > 0.5 else "less"
        found.append(
            f"**Not a random sample.** {selection.read} scans have been reviewed and {selection.unread} have not; the "
            f"model is {surer} sure of those that were (median confidence {percent(selection.confidence_read)}, "
            f"against {percent(selection.confidence_unread)}). On all scans the figures would differ. "
            f"{random} the random audit stream."
        )
    elif selection.unread_by_both:
        found.append(
            f"**Perhaps not a random sample.** {counted(selection.read, 'scan')} reviewed, {selection.unread} not; "
            f"{selection.unread_by_both} of the latter this version has not read, so that it cannot be told whether "
            "they differ."
        )
    elif selection.unread:
        found.append(
            f"{selection.read} scans have been reviewed and {selection.unread} have not. "
            f"{_how_alike(selection.told_apart)}"
        )
    return found


def _how_alike(told_apart: Figure) -> str:
    """By the model's confidence in them, where it does not tell reviewed scans from others well."""
    area = f"(AUC {with_interval(told_apart)})"
    if told_apart.low > 0.5 or told_apart.high < 0.5:
        return f"The model is a little {'more' if told_apart.value > 0.5 else 'less'} sure of those reviewed {area}."
    return f"Nothing in the model's confidence shows that the two differ {area}."


def _of_the_stream(stream: AuditStream, question: Question) -> list[str]:
    """How many of the scans drawn count, and why the others do not."""
    if not stream.drawn:
        return []
    left_out = [
        (stream.no_class, "without one class that readers agree on"),
        (stream.unread_by_model, "not read by this version"),
        (stream.seen_in_training, "of patients it was trained on"),
        (stream.settled_on, "of patients its calibration and thresholds come from"),
    ]
    why = ", ".join(f"{n} {reason}" for n, reason in left_out if n)
    among = " in the reviews chosen here" if question.reader or question.since or question.before else ""
    return [
        f"Random audit stream: {stream.read} of the {stream.drawn} scans of patients drawn have been read blind{among}"
        f"; {stream.counted} of these count{f' (left out: {why})' if why else ''}."
    ]


def notes(live: LiveEvaluation) -> list[str]:
    """What has to be known before the figures are believed."""
    found = _of_the_choice(live.selection, live.audit_stream)
    found += _never_called(live.report) if live.report else []
    found += _of_the_stream(live.audit_stream, live.question)
    for column, of in (
        ("seen_in_training", "patients that the model was trained on"),
        ("settled_on", "patients whose scans its calibration and thresholds come from"),
    ):
        if n := live.count(column):
            found.append(
                f"{counted(n, 'scan')} of these {'is' if n == 1 else 'are'} of {of}: that betters the figures."
            )
    if n := live.count("copy"):
        found.append(
            f"Nearly the same image as another of these: {counted(n, 'scan')}. Each counts by itself here, so that the "
            "intervals are narrower than they should be."
        )
    if live.report and not live.rows["blind"].all():
        found.append(
            f"Given with the model's answer in view: {int((~live.rows['blind']).sum())} of "
            f"{counted(live.report.n, 'verdict')}; readers tend to follow it. “read blind” leaves such verdicts out; a "
            "reader who chose to read blind may have seen the answer in a list, or those to other scans of the patient."
        )
    if live.report and (answered := live.count("answered")) < live.report.n:
        flagged = live.count("flagged")
        found.append(
            f"The model abstained on {live.report.n - answered - flagged} of these scans and took {flagged} for no "
            "head CT. Only “Where it answered” leaves these out; all else here counts its best guess, the confusion "
            "matrix and the agreement too."
        )
    if not live.question.blind_only and len({pair.first for pair in live.agreement}) > 1:
        found.append(
            "Readers who do not read blind can see what others have said of a scan: their agreement may be the higher "
            "for it."
        )
    return found + left_out(live)


def left_out(live: LiveEvaluation) -> list[str]:
    """Which reviewed scans no figure counts, and why."""
    found = []
    if live.question.without:
        found.append(
            f"Left out: {counted(len(live.question.without), 'scan')} (real or demo), because you have yet to "
            "read others of the same patients blind: the figures would tell the answers."
        )
    if live.not_blind:
        found.append(f"Left out: {counted(live.not_blind, 'scan')} with no verdict given blind.")
    if live.unlabelled:
        found.append(
            f"Left out: {counted(live.unlabelled, 'scan')} called unsure or unusable, or on which readers differ."
        )
    return found
