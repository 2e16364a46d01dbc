"""study.html: a study's verdicts, comparisons and cost matrix on one page without network."""

from __future__ import annotations

from holdfast.price.study.found import StudyFound
from holdfast.report.html import rendered
from holdfast.report.study import TELLS, below, planned, sections, verdicts_line


def render_study(found: StudyFound, kind: str) -> str:
    """The whole page. kind: "study" or "claims"; claims say what a small model can tell."""
    audits = [(model.name, model.priced) for model in found.models.values()]
    return rendered(
        "study.html.j2",
        {},
        [audit for _, audit in audits],
        title=found.study.title or "Study",
        day=found.registered.first.time[:10],
        verdicts=verdicts_line(found.decisions) if found.decisions else None,
        planned=planned(found),
        sections=sections(found),
        audits=audits,
        attacks=list(dict.fromkeys(a.attack for _, audit in audits for a in audit.attacks)),
        tells=TELLS if kind == "claims" else (),
        below=below(found),
    )
