"""A priced audit for people and for machines: terminal, one HTML page, JSON with a schema."""

from holdfast.report.economics import print_economics
from holdfast.report.efficacy import efficacy_json, efficacy_markdown, print_efficacy
from holdfast.report.folder import write_report
from holdfast.report.html import render_html
from holdfast.report.json import SCHEMA_VERSION, to_json
from holdfast.report.table import print_audit

__all__ = [
    "SCHEMA_VERSION", "efficacy_json", "efficacy_markdown", "print_audit", "print_economics",
    "print_efficacy", "render_html", "to_json", "write_report",
]  # fmt: skip
