//! `promem compare`: statistical comparison of two evaluations.

use crate::args::{Compare, Output};
use promem::evaluate::compare::{compare, Comparison};
use promem::evaluate::store::Store;
use promem::{Error, Result};

pub fn run(arguments: &Compare, print: Output) -> Result<()> {
    let results = [&arguments.first, &arguments.second].map(|folder| {
        if !folder.join("results").is_dir() {
            return Err(Error::invalid(format!(
                "`{}` is not the folder of an evaluation: it has no folder `results`",
                folder.display()
            )));
        }
        Store::open(folder)?.all()
    });
    let [first, second] = results;
    let methods = match arguments.methods.as_deref() {
        Some([a, b]) => Some((a.as_str(), b.as_str())),
        _ => None,
    };
    let found = compare(&first?, &second?, methods)?;
    match print {
        Output::Quiet => {}
        Output::Json => say!("{}", serde_json::json!({ "comparisons": found })),
        Output::Human => table(&found),
    }
    Ok(())
}

/// Prints a table whose columns are as wide as their widest cell.
fn table(found: &[Comparison]) {
    const LEFT_ALIGNED: usize = 3;
    let headings = ["data set", "methods", "metric", "objects", "A", "B", "B - A", "95% CI", "p", "p (Holm)"];
    let mut rows = vec![headings.map(str::to_owned)];
    rows.extend(found.iter().map(row));
    let mut widths = [0; 10];
    for row in &rows {
        row.iter().zip(&mut widths).for_each(|(cell, width)| *width = cell.chars().count().max(*width));
    }
    for row in &rows {
        let pad = |(n, (cell, width)): (usize, (&String, &usize))| match n < LEFT_ALIGNED {
            true => format!("{cell:<width$}"),
            false => format!("{cell:>width$}"),
        };
        say!("{}", row.iter().zip(&widths).enumerate().map(pad).collect::<Vec<_>>().join("  "));
    }
    say!(
        "p: Wilcoxon's signed-rank test over objects (objects of one patient are not independent). CI: bootstrap over patients."
    );
}

fn row(c: &Comparison) -> [String; 10] {
    let interval = c.interval.map_or("–".into(), |(low, high)| format!("[{low:+.4}, {high:+.4}]"));
    let p = |p: Option<f64>| p.map_or("–".into(), |p| if p < 1e-4 { format!("{p:.1e}") } else { format!("{p:.4}") });
    let methods = match c.first_method == c.second_method {
        true => c.first_method.clone(),
        false => format!("{} | {}", c.first_method, c.second_method),
    };
    let means = [c.first_mean, c.second_mean].map(|mean| format!("{mean:.4}"));
    let [first, second] = means;
    let difference = format!("{:+.4}", c.difference);
    let (dataset, metric, objects) = (c.dataset.clone(), c.metric.to_owned(), c.objects.to_string());
    [dataset, methods, metric, objects, first, second, difference, interval, p(c.p), p(c.p_holm)]
}
