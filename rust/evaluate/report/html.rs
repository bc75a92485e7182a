//! The report as one HTML page without other files: tables, plots, worst objects, every object to sort and filter.

use super::summary::{DatasetSummary, ReportOptions};
use super::table::{self, Table};
use super::{doubt, interaction, Plot};
use crate::evaluate::columns::{Format, IDENTITY, METRICS, RANKING};
use crate::evaluate::store::{file_name, CaseResult};
use crate::evaluate::worst::{overlay_folder, overlay_name};
use base64::Engine;
use maud::{html, Markup, PreEscaped, DOCTYPE};
use serde_json::{json, Value};
use std::path::Path;

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The whole page; `legend` explains the columns, overlays lie below `folder`.
pub fn page(
    options: &ReportOptions,
    legend: &str,
    summaries: &[DatasetSummary],
    results: &[CaseResult],
    plots: &[Plot],
    folder: &Path,
) -> String {
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width";
                title { (options.title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (options.title) }
                ul.notes {
                    @for note in options.notes.iter().map(String::as_str).chain([legend]) { li { (note) } }
                }
                nav {
                    @for summary in summaries { a href={ "#" (file_name(&summary.dataset)) } { (summary.dataset) } }
                    a href="#all" { "all objects" }
                }
                @for summary in summaries { (section(options, summary, results, plots, folder)) }
                section id="all" {
                    h2 { "All objects" }
                    p {
                        input #filter type="search" placeholder="filter: liver copy" aria-label="filter";
                        " " small #count {}
                    }
                    div.wide { table #objects { thead {} tbody {} } }
                }
                script #data type="application/json" { (PreEscaped(objects(options, results))) }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    markup.into_string()
}

fn section(
    options: &ReportOptions,
    summary: &DatasetSummary,
    results: &[CaseResult],
    plots: &[Plot],
    folder: &Path,
) -> Markup {
    html! {
        section id=(file_name(&summary.dataset)) {
            h2 { (summary.dataset) }
            (table_of(&table::methods(summary, options.tolerance_mm)))
            div.plots {
                @for plot in plots.iter().filter(|plot| plot.dataset == summary.dataset) {
                    img alt={ (plot.description) ", " (plot.dataset) } src=(inline(&plot.png));
                }
            }
            @for (title, table) in interaction::tables(summary).iter().chain(&doubt::tables(summary)) {
                h3 { (title) }
                (table_of(table))
            }
            @if let Some(classes) = table::classes(summary) {
                details {
                    summary { "Mean Dice without the prompt slice by class" }
                    (table_of(&classes))
                }
            }
            @for method in &summary.methods { (worst(&summary.dataset, &method.method, results, folder)) }
            @if summary.failures().next().is_some() {
                p.failed { "Not scored:" }
                ul {
                    @for (method, failed) in summary.failures() { li { (failed.case) " (" (method) "): " (failed.error) } }
                }
            }
        }
    }
}

fn table_of(table: &Table) -> Markup {
    html! {
        div.wide {
            table {
                thead { tr { @for heading in &table.headings { th { (heading) } } } }
                tbody {
                    @for row in &table.rows {
                        tr {
                            @for cell in row {
                                td class=[cell.best.then_some("best")] {
                                    (cell.text)
                                    @if !cell.detail.is_empty() { " " small { (cell.detail) } }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Overlays of a method's worst objects, the worst first.
fn worst(dataset: &str, method: &str, results: &[CaseResult], folder: &Path) -> Markup {
    let of_method = results.iter().filter(|r| r.dataset == dataset && r.method == method);
    let mut objects: Vec<_> = of_method.flat_map(|r| r.objects.iter().map(move |o| (r, o))).collect();
    objects.sort_by(|a, b| a.1.ranking_dice().total_cmp(&b.1.ranking_dice()));
    let folder = overlay_folder(folder, dataset, method);
    let picture = |(result, object): (&CaseResult, &crate::evaluate::store::ObjectResult)| {
        let png = std::fs::read(folder.join(overlay_name(&result.case, &object.target))).ok()?;
        Some((inline(&png), format!("{}, {}: {:.3}", result.case, object.target, object.ranking_dice())))
    };
    let pictures: Vec<(String, String)> = objects.into_iter().filter_map(picture).collect();
    html! {
        @if !pictures.is_empty() {
            details {
                summary { "Worst objects of " (method) }
                div.worst {
                    @for (source, caption) in &pictures {
                        figure { img loading="lazy" alt="" src=(source); figcaption { (caption) } }
                    }
                }
            }
        }
    }
}

/// Columns and lines of the table of objects, for the page's script.
fn objects(options: &ReportOptions, results: &[CaseResult]) -> String {
    let identity = IDENTITY.iter().map(|c| json!({ "key": c.key, "heading": c.heading, "format": null }));
    let metrics = METRICS.iter().map(|metric| {
        let format = match metric.format {
            _ if metric.csv_decimals == 0 => json!(0),
            Format::Percent => json!("percent"),
            Format::Decimals(digits) => json!(digits),
        };
        json!({ "key": metric.key, "heading": metric.heading(options.tolerance_mm), "format": format })
    });
    let rounded = |value: Option<f64>| value.map(|v| (v * 1e4).round() / 1e4);
    let rows = results.iter().flat_map(|case| {
        case.objects.iter().map(move |object| -> Value {
            let identity = IDENTITY.iter().map(|column| (column.value)(case, object));
            let numbers = METRICS.iter().map(|metric| json!(rounded((metric.value)(&object.scores))));
            identity.chain(numbers).collect()
        })
    });
    let data = json!({
        "columns": identity.chain(metrics).collect::<Value>(),
        "ranking": RANKING,
        "rows": rows.collect::<Value>(),
    });
    // A name could close the script element.
    data.to_string().replace('<', "\\u003c")
}

fn inline(png: &[u8]) -> String {
    format!("data:image/png;base64,{}", base64::engine::general_purpose::STANDARD.encode(png))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluate::metrics::Scores;
    use crate::evaluate::protocol::Task;
    use crate::evaluate::store::ObjectResult;

    #[test]
    fn names_cannot_inject_markup() {
        let scores = Scores {
            dice: Some(0.5),
            dice_without_prompt: Some(0.25),
            iou: None,
            surface_dice: None,
            hausdorff_95_mm: None,
            average_surface_mm: None,
            volume_error: Some(-0.1),
            truth_voxels: 3,
            predicted_voxels: 2,
            over_slices: 0,
            under_slices: 1,
            by_distance: Vec::new(),
        };
        let task = Task { prompt_slice: 2, first: 1, last: 3 };
        let result = CaseResult {
            dataset: "<set>".into(),
            case: "</script><b>".into(),
            patient: "p".into(),
            method: "a & b".into(),
            settings: Value::Null,
            objects: vec![ObjectResult { target: "liver".into(), task, scores, slices: Vec::new(), steps: Vec::new() }],
            failure: None,
            embeddings: 0,
            seconds: 0.0,
        };
        let options =
            ReportOptions { title: "<i>".into(), preset: None, tolerance_mm: 2.0, notes: vec!["1 < 2".into()] };
        let summary = DatasetSummary { dataset: "<set>".into(), methods: Vec::new() };
        let page = page(&options, "legend", &[summary], &[result], &[], Path::new("."));
        assert!(page.contains("<title>&lt;i&gt;</title>") && page.contains("<li>1 &lt; 2</li>"), "{page}");
        assert!(page.contains("<h2>&lt;set&gt;</h2>"), "{page}");
        assert_eq!(page.matches("</script>").count(), 2, "the page's own two scripts");
        assert!(page.contains("normalised surface Dice at 2 mm"), "{page}");
    }
}
