//! `promem compare`.

use crate::args::{Compare, Output};
use promem::evaluate::compare::{compare, Comparison};
use promem::evaluate::store::Store;
use promem::{Error, Result};

pub fn run(arguments: &Compare, print: Output) -> Result<()> {
    let results = [&arguments.first, &arguments.second].map(|folder| {
        if !folder.join("results").is_dir() {
            return Err(Error::invalid(format!("`{}` is no folder of an evaluation", folder.display())));
        }
        Store::open(folder)?.all()
    });
    let [first, second] = results;
    let rows = arguments.rows.as_ref().map(|(a, b)| (a.as_str(), b.as_str()));
    let found = compare(&first?, &second?, rows)?;
    match print {
        Output::Quiet => {}
        Output::Json => println!("{}", serde_json::json!({ "comparisons": found })),
        Output::Human => table(&found),
    }
    Ok(())
}

fn table(found: &[Comparison]) {
    println!(
        "{:24} {:30} {:13} {:>7} {:>9} {:>9} {:>10} {:>19} {:>9} {:>9}",
        "data set", "rows", "metric", "objects", "A", "B", "B - A", "95% interval", "p", "p (Holm)"
    );
    for c in found {
        let interval = c.interval.map_or("–".into(), |(low, high)| format!("[{low:+.4}, {high:+.4}]"));
        let p =
            |p: Option<f64>| p.map_or("–".into(), |p| if p < 1e-4 { format!("{p:.1e}") } else { format!("{p:.4}") });
        let rows = if c.first_row == c.second_row {
            c.first_row.clone()
        } else {
            format!("{} | {}", c.first_row, c.second_row)
        };
        println!(
            "{:24} {:30} {:13} {:>7} {:>9.4} {:>9.4} {:>+10.4} {:>19} {:>9} {:>9}",
            c.dataset,
            rows,
            c.metric,
            c.objects,
            c.first_mean,
            c.second_mean,
            c.difference,
            interval,
            p(c.p),
            p(c.p_holm)
        );
    }
    println!("p: Wilcoxon's signed-rank test over objects; those of one patient are not independent. Interval: patients drawn with replacement.");
}
