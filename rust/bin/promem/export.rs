//! `promem evaluate --export-tasks`: scans and prompts for another tool.

use crate::args::Output;
use promem::evaluate::exchange::{self, TaskFile};
use promem::evaluate::objects::tasks;
use promem::evaluate::protocol::Protocol;
use promem::evaluate::run::{slice_axis, NamedDataset};
use promem::evaluate::store::file_name;
use promem::output::make_folder;
use promem::Result;
use std::path::Path;

/// Writes the first `cases` cases of each data set below `folder`. Cases that cannot be read are left out with a
/// warning.
pub fn export(
    datasets: &[NamedDataset],
    protocol: &Protocol,
    cases: Option<usize>,
    folder: &Path,
    print: Output,
) -> Result<()> {
    for named in datasets {
        let place = folder.join(file_name(&named.name));
        make_folder(&place)?;
        let mut list = TaskFile { dataset: named.name.clone(), cases: Vec::new() };
        for (index, entry) in named.dataset.cases().iter().enumerate().take(cases.unwrap_or(usize::MAX)) {
            match named.dataset.read(index) {
                Ok(case) => {
                    let axis = slice_axis(protocol, entry, &case);
                    list.cases.push(exchange::export_case(&place, entry, &case, axis, &tasks(&case, protocol, axis))?);
                }
                Err(error) => log::warn!("{} {}: {error}", named.name, entry.name),
            }
        }
        exchange::export_list(&place, &list)?;
        if print == Output::Human {
            say!("{}: {} cases in {}", named.name, list.cases.len(), place.display());
        }
    }
    Ok(())
}
