//! The report as a page of tables.

use super::{Line, ReportOptions, Section};
use crate::evaluate::statistics::Summary;
use crate::evaluate::store::file_name;
use std::fmt::Write;

/// Classes of a data set that a table is made for, at most.
const CLASSES: usize = 25;

pub fn page(options: &ReportOptions, sections: &[Section]) -> String {
    let mut out = format!("# {}\n\n", options.title);
    for note in &options.notes {
        let _ = writeln!(out, "- {note}");
    }
    out.push_str(
        "- Dice counts the prompt slice; 'beside' leaves it out. Intervals: 95%, patients drawn with replacement. NSD: share of both \
         borders within the tolerance. 'over' and 'under': slices beyond the true ends, and true slices beyond the \
         predicted ends, mean an object.\n",
    );
    for section in sections {
        let _ = write!(out, "\n## {}\n\n", section.dataset);
        table(&mut out, &section.lines);
        let name = file_name(&section.dataset);
        let _ = write!(out, "\n![Dice]({name}-dice.png)\n![Dice by distance]({name}-distance.png)\n");
        classes(&mut out, &section.lines);
        failures(&mut out, &section.lines);
    }
    out
}

fn table(out: &mut String, lines: &[Line]) {
    let with_paper = lines.iter().any(|line| line.paper.is_some());
    let mut head = vec![
        "row",
        "cases",
        "objects",
        "Dice",
        "median (quartiles)",
        "beside",
        "median (quartiles)",
        "IoU",
        "NSD",
        "HD95 mm, median",
        "volume error",
        "over",
        "under",
    ];
    if with_paper {
        head.push("the paper's Dice");
    }
    let _ = writeln!(out, "| {} |", head.join(" | "));
    let _ = writeln!(out, "|{}", "---|".repeat(head.len()));
    for line in lines {
        let mut cells = vec![
            line.row.replace('|', "/"),
            line.cases.to_string(),
            line.dice.as_ref().map_or(0, |s| s.objects).to_string(),
            mean_with_interval(line.dice.as_ref()),
            median(line.dice.as_ref()),
            mean_with_interval(line.dice_without_prompt.as_ref()),
            median(line.dice_without_prompt.as_ref()),
            number(line.iou.as_ref().map(|s| s.mean), 3),
            number(line.surface_dice.as_ref().map(|s| s.mean), 3),
            number(line.hausdorff_95_mm.as_ref().map(|s| s.median), 1),
            line.volume_error.as_ref().map_or("–".into(), |s| format!("{:+.0}%", 100.0 * s.mean)),
            number(line.over_slices.as_ref().map(|s| s.mean), 1),
            number(line.under_slices.as_ref().map(|s| s.mean), 1),
        ];
        if with_paper {
            cells.push(line.paper.unwrap_or("–").to_owned());
        }
        let _ = writeln!(out, "| {} |", cells.join(" | "));
    }
}

fn classes(out: &mut String, lines: &[Line]) {
    let mut names: Vec<&String> = lines.iter().flat_map(|line| line.by_target.keys()).collect();
    names.sort();
    names.dedup();
    let several = lines.iter().any(|line| line.by_target.values().any(|(_, objects)| *objects > 1));
    if names.len() < 2 || names.len() > CLASSES || !several {
        return;
    }
    let _ = write!(out, "\nMean Dice beside the prompt slice, class by class:\n\n| row |");
    names.iter().for_each(|name| {
        let _ = write!(out, " {} |", name.replace('|', "/"));
    });
    let _ = writeln!(out, "\n|---|{}", "---|".repeat(names.len()));
    for line in lines {
        let _ = write!(out, "| {} |", line.row.replace('|', "/"));
        for name in &names {
            let _ = write!(out, " {} |", number(line.by_target.get(*name).map(|(mean, _)| *mean), 3));
        }
        out.push('\n');
    }
}

fn failures(out: &mut String, lines: &[Line]) {
    let failed: Vec<(&str, &(String, String))> =
        lines.iter().flat_map(|line| line.failed.iter().map(|f| (line.row.as_str(), f))).collect();
    if failed.is_empty() {
        return;
    }
    let _ = write!(out, "\nNot scored:\n\n");
    for (row, (case, error)) in failed {
        let _ = writeln!(out, "- {case} ({row}): {error}");
    }
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or("–".into(), |value| format!("{value:.digits$}"))
}

fn mean_with_interval(summary: Option<&Summary>) -> String {
    match summary {
        None => "–".into(),
        Some(Summary { mean, interval: Some((low, high)), .. }) => format!("{mean:.3} [{low:.3}, {high:.3}]"),
        Some(Summary { mean, .. }) => format!("{mean:.3}"),
    }
}

fn median(summary: Option<&Summary>) -> String {
    summary.map_or("–".into(), |s| format!("{:.3} ({:.3}–{:.3})", s.median, s.q1, s.q3))
}
