//! The report as one page that needs nothing beside it: tables, plots, worst cases, every object to sort and filter.

use super::{Line, ReportOptions, Section};
use crate::error::{Error, ErrorKind, Result};
use crate::evaluate::run::{overlay_folder, overlay_name};
use crate::evaluate::statistics::Summary;
use crate::evaluate::store::{file_name, CaseResult};
use base64::Engine;
use serde_json::json;
use std::fmt::Write;
use std::path::Path;

/// The page's frame: style, places to fill, and the script of the table of objects.
const FRAME: &str = include_str!("page.html");

pub fn page(
    options: &ReportOptions,
    sections: &[Section],
    results: &[CaseResult],
    plots: &[(String, Vec<u8>)],
    folder: &Path,
) -> Result<String> {
    let mut body = String::new();
    for section in sections {
        let name = file_name(&section.dataset);
        let _ = write!(body, "<section id=\"{name}\"><h2>{}</h2>", escaped(&section.dataset));
        table(&mut body, &section.lines);
        body.push_str("<div class=plots>");
        for kind in ["dice", "distance"] {
            if let Some((_, png)) = plots.iter().find(|(file, _)| *file == format!("{name}-{kind}.png")) {
                let _ = write!(body, "<img alt=\"{kind}, {}\" src=\"{}\">", escaped(&section.dataset), inline(png));
            }
        }
        body.push_str("</div>");
        worst(&mut body, section, results, folder);
        failures(&mut body, &section.lines);
        body.push_str("</section>");
    }
    let notes: String = options.notes.iter().map(|note| format!("<li>{}</li>", escaped(note))).collect();
    let links: String = (sections.iter())
        .map(|s| format!("<a href=\"#{}\">{}</a>", file_name(&s.dataset), escaped(&s.dataset)))
        .collect();
    let data = serde_json::to_string(&objects(results))
        .map_err(|e| Error::new(ErrorKind::Io, "cannot write the report's objects").with_source(e))?;
    // A name could end the script early.
    let data = data.replace('<', "\\u003c");
    // One pass over the frame: what is filled in is not searched for places again.
    let mut page = String::with_capacity(FRAME.len() + body.len() + data.len());
    for (n, part) in FRAME.split("{{").enumerate() {
        let Some((place, rest)) = part.split_once("}}").filter(|_| n > 0) else {
            page.push_str(part);
            continue;
        };
        match place {
            "title" => page.push_str(&escaped(&options.title)),
            "notes" => page.push_str(&notes),
            "links" => page.push_str(&links),
            "body" => page.push_str(&body),
            "objects" => page.push_str(&data),
            other => unreachable!("the page has no place `{other}`"),
        }
        page.push_str(rest);
    }
    Ok(page)
}

fn table(body: &mut String, lines: &[Line]) {
    let with_paper = lines.iter().any(|line| line.paper.is_some());
    body.push_str(
        "<div class=wide><table><thead><tr><th>row<th>objects<th>Dice<th>median (quartiles)<th>beside the prompt slice\
         <th>median (quartiles)<th>NSD<th>HD95 mm<th>volume error<th>over<th>under",
    );
    body.push_str(if with_paper { "<th>the paper's Dice</tr></thead><tbody>" } else { "</tr></thead><tbody>" });
    let best = |value: fn(&Line) -> Option<f64>| lines.iter().filter_map(value).fold(f64::NEG_INFINITY, f64::max);
    let dice = |line: &Line| line.dice.as_ref().map(|s| s.mean);
    let beside = |line: &Line| line.dice_without_prompt.as_ref().map(|s| s.mean);
    let (best_dice, best_beside) = (best(dice), best(beside));
    for line in lines {
        let bold = |is_best: bool| if is_best && lines.len() > 1 { " class=best" } else { "" };
        let _ = write!(
            body,
            "<tr><td>{}<td>{}<td{}>{}<td>{}<td{}>{}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}",
            escaped(&line.row),
            line.dice.as_ref().map_or(0, |s| s.objects),
            bold(dice(line) == Some(best_dice)),
            mean(line.dice.as_ref()),
            median(line.dice.as_ref()),
            bold(beside(line) == Some(best_beside)),
            mean(line.dice_without_prompt.as_ref()),
            median(line.dice_without_prompt.as_ref()),
            number(line.surface_dice.as_ref().map(|s| s.mean), 3),
            number(line.hausdorff_95_mm.as_ref().map(|s| s.median), 1),
            line.volume_error.as_ref().map_or("–".into(), |s| format!("{:+.0}%", 100.0 * s.mean)),
            number(line.over_slices.as_ref().map(|s| s.mean), 1),
            number(line.under_slices.as_ref().map(|s| s.mean), 1),
        );
        if with_paper {
            let _ = write!(body, "<td>{}", line.paper.unwrap_or("–"));
        }
    }
    body.push_str("</tbody></table></div>");
}

fn worst(body: &mut String, section: &Section, results: &[CaseResult], folder: &Path) {
    for line in &section.lines {
        let of_line = results.iter().filter(|r| r.dataset == section.dataset && r.row == line.row);
        let mut objects: Vec<_> = of_line.flat_map(|r| r.objects.iter().map(move |o| (r, o))).collect();
        let dice = |o: &crate::evaluate::store::ObjectResult| o.scores.dice_without_prompt.unwrap_or(1.0);
        objects.sort_by(|a, b| dice(a.1).total_cmp(&dice(b.1)));
        let mut pictures = String::new();
        for (result, object) in objects {
            let path =
                overlay_folder(folder, &section.dataset, &line.row).join(overlay_name(&result.case, &object.target));
            let Ok(png) = std::fs::read(&path) else { continue };
            let caption = format!("{}, {}: {:.3}", result.case, object.target, dice(object));
            let _ = write!(
                pictures,
                "<figure><img loading=lazy alt=\"\" src=\"{}\"><figcaption>{}</figcaption></figure>",
                inline(&png),
                escaped(&caption)
            );
        }
        if !pictures.is_empty() {
            let name = escaped(&line.row);
            let _ = write!(
                body,
                "<details><summary>Worst objects of {name}</summary><div class=worst>{pictures}</div></details>"
            );
        }
    }
}

fn failures(body: &mut String, lines: &[Line]) {
    let failed: Vec<_> = lines.iter().flat_map(|l| l.failed.iter().map(move |f| (&l.row, f))).collect();
    if failed.is_empty() {
        return;
    }
    body.push_str("<p class=failed>Not scored:</p><ul>");
    for (row, (case, error)) in failed {
        let _ = write!(body, "<li>{} ({}): {}</li>", escaped(case), escaped(row), escaped(error));
    }
    body.push_str("</ul>");
}

fn objects(results: &[CaseResult]) -> Vec<serde_json::Value> {
    (results.iter().flat_map(|r| r.objects.iter().map(move |o| (r, o))))
        .map(|(r, o)| {
            let s = &o.scores;
            let rounded = |v: Option<f64>| v.map(|v| (v * 1e4).round() / 1e4);
            json!([
                r.dataset,
                r.row,
                r.case,
                o.target,
                o.task.prompt_slice,
                rounded(s.dice),
                rounded(s.dice_without_prompt),
                rounded(s.surface_dice),
                rounded(s.hausdorff_95_mm),
                rounded(s.volume_error),
                s.over_slices,
                s.under_slices
            ])
        })
        .collect()
}

fn inline(png: &[u8]) -> String {
    format!("data:image/png;base64,{}", base64::engine::general_purpose::STANDARD.encode(png))
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or("–".into(), |value| format!("{value:.digits$}"))
}

fn mean(summary: Option<&Summary>) -> String {
    match summary {
        None => "–".into(),
        Some(Summary { mean, interval: Some((low, high)), .. }) => {
            format!("{mean:.3} <small>[{low:.3}, {high:.3}]</small>")
        }
        Some(Summary { mean, .. }) => format!("{mean:.3}"),
    }
}

fn median(summary: Option<&Summary>) -> String {
    summary.map_or("–".into(), |s| format!("{:.3} <small>({:.3}–{:.3})</small>", s.median, s.q1, s.q3))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
