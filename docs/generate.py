"""Prints anew whatever the documents quote from a run. Called by `make docs`.

It runs the standard audit of the refusing organism and the organism's check, writes the pictures
of both, and puts what they printed between the marks of README.md and docs/organism.md.

Given the name of a page and the folder of a finished run, it makes nothing but that page:

    attacks FOLDER       of `holdfast attacks check`: docs/efficacy.md, its ledgers beside it
    audit FOLDER         of `holdfast audit --suite standard`: the README's
    claims FOLDER        of `holdfast study claims`: docs/claims.md and claims.json
    defences FOLDER      of `holdfast study defences`: docs/defence-study.md, picture, readings
    mixing FOLDER ALONE  of `holdfast study docs/mixing.toml`, and of audits by its attack with
                         restricted rows alone: docs/mixing.md and mixing.json
    presets FOLDER...    the `.tuning` ones of `holdfast harden --tune`: docs/presets.md
    tar_grid FOLDER      of an audit by that suite: docs/suites/tar_grid.md
"""

from __future__ import annotations

import gzip
import json
import re
import sqlite3
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from statistics import mean
from types import SimpleNamespace

from rich.console import Console
from rich.terminal_theme import MONOKAI

import holdfast
from holdfast.cli.organism import findings_table
from holdfast.core import Results, canonical_json, plain
from holdfast.engine import CONTROL, FILE, Ledger, choose, load_suite
from holdfast.organism.check import check
from holdfast.price import AttackPrice, Threshold, Verdict, efficacy, price, words
from holdfast.price.breach import held_out_breach
from holdfast.price.curves import Reader, first_reading
from holdfast.price.exposure import exposure
from holdfast.price.study.arms import ledger_digest
from holdfast.report import efficacy_markdown, print_audit
from holdfast.report.defence_study import SUMMARY, factors, summary
from holdfast.report.readings import readings_csv
from holdfast.report.text import limits
from holdfast.report.tuning import markdown_table, tuning_json, tuning_markdown
from holdfast.verbs import CHECKS, finished, plan_defences, read_defences, report
from holdfast.verbs.studying import write_defences
from holdfast.verbs.tuning import Trial, best

DOCS = Path(__file__).resolve().parent
WIDTH = 100


def put(path: Path, mark: str, text: str) -> None:
    """Replace what stands between `<!-- mark -->` and `<!-- /mark -->`."""
    pattern = re.compile(rf"(<!-- {mark} -->\n).*?(<!-- /{mark} -->)", re.DOTALL)
    old = path.read_text(encoding="utf-8")
    assert pattern.search(old), f"{path.name} has no mark {mark!r}"
    path.write_text(pattern.sub(lambda m: m[1] + text + m[2], old), encoding="utf-8")


def recorded(draw) -> Console:
    """A console on which `draw` has drawn."""
    console = Console(record=True, width=WIDTH, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    draw(console)
    return console


def efficacy_page(folder: Path) -> None:
    """The table of which attacks work, from the ledgers of a finished check."""
    rows = []
    for model, _ in CHECKS:
        name = model.partition(":")[2]
        rows += efficacy(report(folder / name))
        (DOCS / "efficacy").mkdir(exist_ok=True)
        _copy(folder / name / FILE, DOCS / "efficacy" / f"{name}.sqlite.gz")
    put(DOCS / "efficacy.md", "efficacy", efficacy_markdown(rows))


def grid_page(folder: Path) -> None:
    """What became of each row of the suite tar_grid, from the ledger of an audit by it."""
    with Ledger(folder / FILE, read_only=True) as ledger:
        results = ledger.results()
    before, ceiling = (first_reading(results, m) for m in (results.target, results.reference))
    reader, runs = Reader(results.splits, before, ceiling, Threshold().tau), {}
    for record in results.records:
        if record.spec.attack != CONTROL:
            curve = reader.read(record)
            breach = held_out_breach(curve, Threshold())
            row = canonical_json([record.spec.attack, record.spec.settings, record.spec.budget])
            runs.setdefault(row, []).append((breach, curve.points[breach.reported]))
    head = ("#", "attack", "broken", "at step", "harm", "utility kept", "where it did not break")
    lines = [_line(head), _line(["---"] * len(head))]
    for number, row in enumerate(choose(load_suite("tar_grid"), None, None)[1:], start=1):
        found = runs[canonical_json([row.name, plain(row.attack), row.budget])]
        broken = [at for breach, at in found if breach.verdict is Verdict.BROKEN]
        steps = ", ".join(str(at.spend.steps) for at in sorted(broken, key=lambda at: at.unit))
        why = "; ".join(sorted({b.reason for b, _ in found if b.verdict is not Verdict.BROKEN}))
        means = (f"{mean(getattr(a, w) for _, a in found):.2f}" for w in ("harm", "utility_kept"))
        shown = (str(number), f"`{row.name}`", f"{len(broken)}/{len(found)}", steps, *means, why)
        lines.append(_line(shown))
    put(DOCS / "suites" / "tar_grid.md", "rows", "\n".join(lines) + "\n")
    _copy(folder / FILE, DOCS / "efficacy" / "tar_grid.sqlite.gz")


def presets_page(*folders: Path) -> None:
    """What each tuning tried and found, with its ledgers beside it."""
    parts = []
    for folder in folders:
        name = folder.name.removesuffix(".tuning")
        trials = [Trial(**row) for row in json.loads((folder / "tuning.json").read_text("utf-8"))]
        found = SimpleNamespace(
            base=exposure(_results(folder / "base")),
            trials=trials,
            winner=best(trials, name),
            reported=price(_results(folder / "held-out-hardened")),
            reported_base=price(_results(folder / "held-out-base")),
        )
        tried = {n for t in trials for n in t.settings if t.settings[n] != trials[0].settings[n]}
        shown = [n for n in trials[0].settings if n in tried]
        parts.append(f"### {name}\n\n{tuning_markdown(found, shown)}")
        to = DOCS / "presets"
        to.mkdir(exist_ok=True)
        data = json.dumps(tuning_json(found), indent=1, ensure_ascii=False, allow_nan=False)
        (to / f"{name}.json").write_text(data + "\n", encoding="utf-8")
        for part in ("base", "hardened"):
            _copy(folder / f"held-out-{part}" / FILE, to / f"{name}-{part}.sqlite.gz")
    put(DOCS / "presets.md", "presets", "\n".join(parts))


def defences_page(folder: Path) -> None:
    """What the study of all defences found; every reading of every trial, as one table a model."""
    planned = plan_defences(out=folder)
    done = list(finished(planned))
    found = read_defences(planned, done)
    to = DOCS / "defence-study"
    to.mkdir(exist_ok=True)
    write_defences(found, to)
    page = (to / "study.md").read_text(encoding="utf-8")
    (to / "study.md").unlink()
    put(DOCS / "defence-study.md", "study", page)
    for row in found.rows:
        put(DOCS / "defences" / f"{row.defence}.md", "study", _of_one(found, row.defence))
    digests = [("model", "ledger's digest")]
    for part in done:
        results = _results(part.folder)
        data = readings_csv(results, price(results)).encode()
        (to / f"{part.folder.name}.csv.gz").write_bytes(gzip.compress(data, mtime=0))
        digests.append((f"`{part.folder.name}`", f"`{ledger_digest(results)}`"))
    head, *rows = map(_line, digests)
    lines = [head, _line(["---"] * 2), *rows]
    put(DOCS / "defence-study.md", "ledgers", "\n".join(lines) + "\n")


def _of_one(found, defence: str) -> str:
    """What the study says of one defence."""
    own = next(row for row in summary(found) if row[0] == defence)
    head, table = factors(found)
    rows = [["control", *table[0][1:]], *(row for row in table[1:] if row[0] == defence)]
    return f"{markdown_table(SUMMARY[1:], [own[1:]])}\n\n{markdown_table(head, rows)}\n"


def claims_page(folder: Path) -> None:
    """The page that a study of the claims wrote, as it is."""
    for name in ("claims.md", "claims.json"):
        (DOCS / name).write_text((folder / name).read_text("utf-8"), "utf-8")


def mixing_page(folder: Path, alone: Path) -> None:
    """What breaks each model of the study in docs/mixing.toml, and its verdicts.

    alone: holds the ledger of an audit of each by the same attack on restricted rows alone.
    """
    page = DOCS / "mixing.md"
    data = json.loads((folder / "study.json").read_text("utf-8"))
    head = ["model"]
    for share in ("all", "every second", "every fifth"):
        head += [f"{share} restricted: broken", "lost", "C50, FLOPs"]
    rows: list[list[str]] = []
    for name in (model["name"] for model in data["models"]):
        rows.append([name])
        for place, share in ((alone, 1.0), (folder, 0.5), (folder, 0.2)):
            (found,) = price(_of_share(_results(place / name), share)).attacks
            lost = sum(s.breach.verdict is Verdict.COLLAPSED for s in found.seeds)
            runs = len(found.seeds)
            rows[-1] += [f"{found.broken} of {runs}", f"{lost} of {runs}", _c50(found)]
    put(page, "models", markdown_table(head, rows) + "\n")
    study = (folder / "study.md").read_text("utf-8").partition("\n")[2].strip()
    put(page, "study", re.sub(r"^## ", "### ", study, flags=re.M) + "\n")
    (DOCS / "mixing.json").write_text((folder / "study.json").read_text("utf-8"), "utf-8")


def _of_share(results: Results, share: float) -> Results:
    """The controls, and the runs of which so large a share of the rows is restricted."""
    kept = [
        r
        for r in results.records
        if r.spec.attack == CONTROL or r.spec.settings.get("share") == share
    ]
    return replace(results, records=tuple(kept))


def _c50(attack: AttackPrice) -> str:
    c50 = attack.survival.c50
    if c50.cost is None:
        return words.bound(c50.above or 0.0, barred=c50.barred)
    between = limits(c50.low, c50.high, words.flops)
    return words.flops(c50.cost.spend.flops) + (f" ({between})" if between else "")


def _results(folder: Path):
    with Ledger(folder / FILE, read_only=True) as ledger:
        return ledger.results()


def _line(cells) -> str:
    return f"| {' | '.join(cell or '–' for cell in cells)} |"


def _copy(ledger: Path, to: Path) -> None:
    """The ledger, packed: the trials of its last run, without the texts of answers."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / FILE
        with sqlite3.connect(ledger) as source, sqlite3.connect(path) as copy:
            source.backup(copy)
        (kept,) = copy.execute("SELECT trials FROM audits ORDER BY id DESC LIMIT 1").fetchone()
        marks = ", ".join("?" * len(json.loads(kept)))
        copy.execute("DELETE FROM audits WHERE id < (SELECT max(id) FROM audits)")
        copy.execute(f"DELETE FROM readings WHERE trial NOT IN ({marks})", json.loads(kept))
        copy.execute(f"DELETE FROM trials WHERE key NOT IN ({marks})", json.loads(kept))
        copy.execute("UPDATE readings SET answers = NULL")
        copy.commit()
        copy.execute("PRAGMA journal_mode = DELETE")
        copy.execute("VACUUM")
        copy.close()
        to.write_bytes(gzip.compress(path.read_bytes(), mtime=0))


def audit_page(folder: Path) -> None:
    """What an audit prints, in the README; its picture, and its report as JSON."""
    priced = report(folder)
    page = (folder / "report.json").read_text(encoding="utf-8")
    console = recorded(lambda c: print_audit(priced, c))
    text = "\n".join(line.rstrip() for line in console.export_text(clear=False).splitlines())
    put(
        DOCS.parent / "README.md", "audit", f"```\n$ holdfast audit --suite standard\n{text}\n```\n"
    )
    console.save_svg(str(DOCS / "audit.svg"), title="holdfast audit", theme=MONOKAI)
    (DOCS / "card.md").write_text((folder / "card.md").read_text("utf-8"), "utf-8")
    (DOCS / "audit.json").write_text(
        json.dumps(json.loads(page), indent=1) + "\n", encoding="utf-8"
    )


PAGES = {
    "attacks": efficacy_page,
    "audit": audit_page,
    "claims": claims_page,
    "defences": defences_page,
    "mixing": mixing_page,
    "presets": presets_page,
    "tar_grid": grid_page,
}


def main() -> None:
    """Run and write."""
    if sys.argv[1:]:
        PAGES[sys.argv[1]](*map(Path, sys.argv[2:]))
        return
    with tempfile.TemporaryDirectory() as out:
        holdfast.audit("organism:refusing", suite="standard", out=out, workers=0)
        audit_page(Path(out))
    findings = check()
    console = recorded(lambda c: c.print(findings_table(findings)))
    put(DOCS / "organism.md", "check", f"```\n{console.export_text()}```\n")


if __name__ == "__main__":
    main()
