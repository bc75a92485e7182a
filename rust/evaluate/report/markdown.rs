//! The report as Markdown.

use super::summary::{DatasetSummary, ReportOptions};
use super::table::{self, Cell, Table};
use super::{doubt, interaction, Plot};
use std::fmt::Write;

/// The whole report; `legend` explains the columns.
pub fn page(options: &ReportOptions, legend: &str, summaries: &[DatasetSummary], plots: &[Plot]) -> String {
    let mut out = format!("# {}\n\n", options.title);
    for note in options.notes.iter().map(String::as_str).chain([legend]) {
        let _ = writeln!(out, "- {note}");
    }
    for summary in summaries {
        let _ = write!(out, "\n## {}\n\n", summary.dataset);
        write_table(&mut out, &table::methods(summary, options.tolerance_mm));
        out.push('\n');
        for plot in plots.iter().filter(|plot| plot.dataset == summary.dataset) {
            let _ = writeln!(out, "![{}]({})", plot.description, plot.file);
        }
        for (title, table) in interaction::tables(summary).iter().chain(&doubt::tables(summary)) {
            let _ = write!(out, "\n### {title}\n\n");
            write_table(&mut out, table);
        }
        if let Some(classes) = table::classes(summary) {
            out.push_str("\nMean Dice without the prompt slice by class:\n\n");
            write_table(&mut out, &classes);
        }
        let failures: Vec<_> = summary.failures().collect();
        if !failures.is_empty() {
            out.push_str("\nNot scored:\n\n");
        }
        for (method, failed) in failures {
            let _ = writeln!(out, "- {} ({method}): {}", failed.case, failed.error);
        }
    }
    out
}

fn write_table(out: &mut String, table: &Table) {
    let cell = |text: &str| text.replace('|', "/");
    let headings: Vec<String> = table.headings.iter().map(|heading| cell(heading)).collect();
    let _ = writeln!(out, "| {} |", headings.join(" | "));
    let _ = writeln!(out, "|{}", "---|".repeat(headings.len()));
    for row in &table.rows {
        let full = |c: &Cell| cell(format!("{} {}", c.text, c.detail).trim_end());
        let _ = writeln!(out, "| {} |", row.iter().map(full).collect::<Vec<_>>().join(" | "));
    }
}
