"""A priced audit for people and for machines: terminal, one HTML page, JSON with a schema."""

from holdfast.report.folder import write_report
from holdfast.report.html import render_html
from holdfast.report.json import SCHEMA_VERSION, to_json
from holdfast.report.table import print_audit

__all__ = ["SCHEMA_VERSION", "print_audit", "render_html", "to_json", "write_report"]
