//! The run: case by case, every row that is not done yet.
//!
//! A case is read once for all rows; rows of one model share its session and so its slice embeddings.

use crate::datasets::{BinaryMask, Case, CaseEntry, Dataset};
use crate::error::{Error, ErrorKind, Result};
use crate::evaluate::exchange::Predictions;
use crate::evaluate::metrics::{self, MetricOptions};
use crate::evaluate::protocol::{add_prompt, copy, Extent, Protocol, Task};
use crate::evaluate::row::{Method, Row};
use crate::evaluate::store::{file_name, CaseResult, ObjectResult, Store};
use crate::geometry::{Axis, SliceIndex};
use crate::output::Overwrite;
use crate::picture::montage;
use crate::prompt::{ObjectId, Prompts};
use crate::session::{Flow, PropagateOptions, Session, SharedModel, SliceReport};
use crate::slices::intensity::Window;
use serde_json::json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// A data set with the name it has in reports.
pub struct NamedDataset {
    pub name: String,
    pub dataset: Box<dyn Dataset>,
}

/// A model with the name it has in reports.
pub struct NamedModel {
    pub name: String,
    pub model: SharedModel,
    /// What tells its weights and precision from others'.
    pub identity: String,
}

/// What is not part of a protocol.
#[derive(Debug, Clone)]
pub struct RunOptions {
    pub metrics: MetricOptions,
    pub window: Window,
    pub cache_bytes: usize,
    /// Only the first so many cases of each data set.
    pub cases: Option<usize>,
    /// Overlays of the worst objects, so many for each data set and row.
    pub worst: usize,
}

/// Told as the run goes on.
#[derive(Debug)]
pub enum Event<'a> {
    /// A case begins; `done` of `all` pairs of case and row are behind.
    Case { dataset: &'a str, case: &'a str, done: usize, all: usize },
    /// A slice was segmented.
    Slice,
    /// A case could not be read or scored; the run goes on.
    Failed { dataset: &'a str, case: &'a str, error: &'a Error },
}

/// Ends with what was counted; `stopped` where the watcher asked for it. Finished cases are in the store.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    pub computed: usize,
    pub found_done: usize,
    pub failed: usize,
    pub stopped: bool,
}

/// Everything a run works with.
pub struct Evaluation<'a> {
    pub datasets: &'a [NamedDataset],
    pub models: &'a [NamedModel],
    pub rows: &'a [Row],
    pub options: &'a RunOptions,
    pub store: &'a Store,
}

impl Evaluation<'_> {
    /// Runs what is not done; `watch` may stop it.
    pub fn run(&self, watch: &mut dyn FnMut(Event) -> Flow) -> Result<Tally> {
        let mut tally = Tally::default();
        let counts: Vec<usize> = self.datasets.iter().map(|d| self.count(d)).collect();
        let all = counts.iter().sum::<usize>() * self.rows.len();
        for (named, count) in self.datasets.iter().zip(counts) {
            let predictions = self.predictions(named)?;
            let mut worst = Worst::of(self, named)?;
            for (index, entry) in named.dataset.cases().iter().enumerate().take(count) {
                let mut pending = Vec::new();
                for (n, row) in self.rows.iter().enumerate() {
                    match self.store.finished(&named.name, &row.name, &entry.name, &self.settings(row))? {
                        Some(_) => tally.found_done += 1,
                        None => pending.push(n),
                    }
                }
                if pending.is_empty() {
                    continue;
                }
                let done = tally.found_done + tally.computed + tally.failed;
                let event = Event::Case { dataset: &named.name, case: &entry.name, done, all };
                if watch(event) == Flow::Stop {
                    tally.stopped = true;
                    return Ok(tally);
                }
                let work = CaseWork { evaluation: self, named, entry, predictions: &predictions };
                match named.dataset.read(index) {
                    Ok(case) => work.rows(&case, &pending, &mut worst, &mut tally, watch)?,
                    Err(error) => {
                        for &row in &pending {
                            work.failed(row, &error)?;
                        }
                        tally.failed += pending.len();
                        watch(Event::Failed { dataset: &named.name, case: &entry.name, error: &error });
                    }
                }
                if tally.stopped {
                    return Ok(tally);
                }
            }
            worst.tidy()?;
        }
        Ok(tally)
    }

    fn count(&self, named: &NamedDataset) -> usize {
        let count = named.dataset.cases().len();
        self.options.cases.map_or(count, |most| most.min(count))
    }

    /// By row; `None` where the row computes its masks.
    fn predictions(&self, named: &NamedDataset) -> Result<Vec<Option<Predictions>>> {
        (self.rows.iter())
            .map(|row| match &row.method {
                Method::Predictions(folder) => Predictions::open(folder, &named.name).map(Some),
                Method::Model(_) | Method::Copy => Ok(None),
            })
            .collect()
    }

    /// All that changes a row's results. Another tool's folder may move without changing them.
    pub fn settings(&self, row: &Row) -> serde_json::Value {
        let method = match &row.method {
            Method::Model(n) => {
                json!({ "model": self.models[*n].identity, "window": format!("{:?}", self.options.window) })
            }
            Method::Copy => json!("copy"),
            Method::Predictions(_) => json!("predictions"),
        };
        json!({ "method": method, "protocol": row.protocol, "metrics": self.options.metrics })
    }
}

/// One case and what it needs.
struct CaseWork<'a> {
    evaluation: &'a Evaluation<'a>,
    named: &'a NamedDataset,
    entry: &'a CaseEntry,
    predictions: &'a [Option<Predictions>],
}

impl CaseWork<'_> {
    fn rows(
        &self,
        case: &Case,
        pending: &[usize],
        worst: &mut Worst,
        tally: &mut Tally,
        watch: &mut dyn FnMut(Event) -> Flow,
    ) -> Result<()> {
        let mut session: Option<((usize, Axis), Session)> = None;
        for &n in pending {
            let row = &self.evaluation.rows[n];
            let axis = slice_axis(&row.protocol, self.entry, case);
            let begin = Instant::now();
            let mut embeddings = 0;
            let masks = match &row.method {
                Method::Model(model) => {
                    let kept = session.take().filter(|(key, _)| *key == (*model, axis));
                    let opened = kept.map_or_else(|| self.session(case, *model, axis), |(_, session)| Ok(session));
                    opened.and_then(|mut opened| {
                        let before = opened.cache().encoded();
                        let masks = segment(&mut opened, case, row, axis, watch);
                        embeddings = opened.cache().encoded() - before;
                        session = Some(((*model, axis), opened));
                        masks
                    })
                }
                Method::Copy => Ok(tasks(case, row, axis)
                    .into_iter()
                    .zip(&case.targets)
                    .map(|(task, target)| {
                        copy(&target.mask, axis, task, row.protocol.extent, case.image.geometry().spacing())
                    })
                    .collect()),
                Method::Predictions(_) => {
                    let names: Vec<String> = case.targets.iter().map(|target| target.name.clone()).collect();
                    let predictions = self.predictions[n].as_ref().expect("a row of predictions has a folder");
                    predictions.case(&self.entry.name, &names, case.image.geometry())
                }
            };
            let error = match masks {
                Ok(masks) => {
                    let objects = self.score(case, row, axis, &masks);
                    worst.offer(self, case, row, axis, &objects, &masks)?;
                    let mut result = self.result(row);
                    (result.objects, result.embeddings) = (objects, embeddings);
                    result.seconds = begin.elapsed().as_secs_f64();
                    self.evaluation.store.write(&result)?;
                    tally.computed += 1;
                    continue;
                }
                Err(error) => error,
            };
            if error.kind() == ErrorKind::Cancelled {
                tally.stopped = true;
                return Ok(());
            }
            self.failed(n, &error)?;
            tally.failed += 1;
            watch(Event::Failed { dataset: &self.named.name, case: &self.entry.name, error: &error });
        }
        Ok(())
    }

    fn session(&self, case: &Case, model: usize, axis: Axis) -> Result<Session> {
        let options = self.evaluation.options;
        let model = self.evaluation.models[model].model.clone();
        Session::new(model, case.image.clone(), axis, options.window, options.cache_bytes)
    }

    fn score(&self, case: &Case, row: &Row, axis: Axis, masks: &[BinaryMask]) -> Vec<ObjectResult> {
        let spacing = self.named.dataset.has_spacing().then(|| case.image.geometry().spacing());
        let options = self.evaluation.options.metrics;
        (case.targets.iter().zip(tasks(case, row, axis)).zip(masks))
            .map(|((target, task), mask)| {
                let prompt = SliceIndex(task.prompt_slice);
                let scores = metrics::score(&target.mask, mask, spacing, axis, prompt, options);
                ObjectResult { target: target.name.clone(), task, scores }
            })
            .collect()
    }

    fn result(&self, row: &Row) -> CaseResult {
        CaseResult {
            dataset: self.named.name.clone(),
            case: self.entry.name.clone(),
            patient: self.entry.patient.clone(),
            row: row.name.clone(),
            settings: self.evaluation.settings(row),
            objects: Vec::new(),
            failure: None,
            embeddings: 0,
            seconds: 0.0,
        }
    }

    fn failed(&self, row: usize, error: &Error) -> Result<()> {
        let mut result = self.result(&self.evaluation.rows[row]);
        result.failure = Some(error.to_string());
        self.evaluation.store.write(&result)
    }
}

/// The axis that is asked for, else the data set's, else the one of the largest spacing.
pub fn slice_axis(protocol: &Protocol, entry: &CaseEntry, case: &Case) -> Axis {
    protocol.axis.or(entry.axis).unwrap_or_else(|| case.image.geometry().slice_axis())
}

/// One task a target. Data sets leave absent targets out, so each has one.
pub fn tasks(case: &Case, row: &Row, axis: Axis) -> Vec<Task> {
    let task = |mask: &BinaryMask| Task::new(mask, axis, row.protocol.position);
    case.targets.iter().map(|target| task(&target.mask).expect("a target has voxels")).collect()
}

/// All targets of a case in one walk: objects share the slices' embeddings.
fn segment(
    session: &mut Session,
    case: &Case,
    row: &Row,
    axis: Axis,
    watch: &mut dyn FnMut(Event) -> Flow,
) -> Result<Vec<BinaryMask>> {
    let geometry = case.image.geometry();
    let count = geometry.dims.along(axis);
    let tasks = tasks(case, row, axis);
    let objects: Vec<ObjectId> = (1..=case.targets.len())
        .map(|n| {
            u16::try_from(n).map_err(|_| Error::invalid("more than 65535 objects in a case")).and_then(ObjectId::new)
        })
        .collect::<Result<_>>()?;
    *session.prompts_mut() = Prompts::new(geometry.dims, axis);
    let mut object_ranges = BTreeMap::new();
    for ((&object, target), task) in objects.iter().zip(&case.targets).zip(&tasks) {
        let slice = SliceIndex(task.prompt_slice);
        add_prompt(session.prompts_mut(), object, &target.mask, slice, row.protocol.prompt)?;
        object_ranges.insert(object, task.allowed(row.protocol.extent, count));
    }
    if objects.is_empty() {
        return Ok(Vec::new());
    }
    let mut search = row.protocol.search.clone();
    // Where the ends are given, nothing else ends a run (the paper's 'ground-truth range').
    search.stop_when_absent &= row.protocol.extent == Extent::Free;
    let options =
        PropagateOptions { direction: row.protocol.direction, object_ranges, ..PropagateOptions::whole(search) };
    session.forget(); // so that a row's time is its own
    let outcome = session.propagate(&options, &mut |_: SliceReport| Ok(watch(Event::Slice)))?;
    if outcome.stopped {
        return Err(Error::new(ErrorKind::Cancelled, "interrupted"));
    }
    let [i, j, k] = geometry.dims.0;
    Ok((objects.iter())
        .map(|&object| {
            let found =
                |slice| outcome.masks.mask(object, slice).map(|(_, mask)| (slice, mask.bounds().first, mask.inside()));
            let planes: Vec<_> = (0..count).map(SliceIndex).filter_map(found).collect();
            let planes = planes.iter().map(|(slice, first, inside)| (*slice, *first, inside.view()));
            BinaryMask::from_planes([k, j, i], axis, planes)
        })
        .collect())
}

/// Pictures of the objects with the lowest Dice, for each row of one data set.
struct Worst<'a> {
    folder: PathBuf,
    keep: usize,
    window: Window,
    kept: BTreeMap<&'a str, Vec<(f64, String)>>,
}

/// Where the pictures of a data set and row are: `overlays/DATASET/ROW`.
pub fn overlay_folder(folder: &Path, dataset: &str, row: &str) -> PathBuf {
    folder.join("overlays").join(file_name(dataset)).join(file_name(row))
}

/// The picture of an object.
pub fn overlay_name(case: &str, target: &str) -> String {
    format!("{}--{}.png", file_name(case), file_name(target))
}

impl<'a> Worst<'a> {
    /// Goes on from what the store holds.
    fn of(evaluation: &Evaluation<'a>, named: &NamedDataset) -> Result<Self> {
        let folder = evaluation.store.folder().to_owned();
        let (keep, window) = (evaluation.options.worst, evaluation.options.window);
        let mut kept: BTreeMap<&str, Vec<(f64, String)>> =
            evaluation.rows.iter().map(|row| (row.name.as_str(), Vec::new())).collect();
        for result in evaluation.store.all()?.iter().filter(|result| result.dataset == named.name) {
            if let Some(list) = kept.get_mut(result.row.as_str()) {
                for object in &result.objects {
                    let name = overlay_name(&result.case, &object.target);
                    list.push((dice(object), name));
                }
            }
        }
        let folder = folder.join("overlays").join(file_name(&named.name));
        let mut worst = Self { folder, keep, window, kept };
        worst.shorten();
        Ok(worst)
    }

    fn shorten(&mut self) {
        for list in self.kept.values_mut() {
            list.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1)));
            list.truncate(self.keep);
        }
    }

    fn offer(
        &mut self,
        work: &CaseWork,
        case: &Case,
        row: &Row,
        axis: Axis,
        objects: &[ObjectResult],
        masks: &[BinaryMask],
    ) -> Result<()> {
        let Some(list) = self.kept.get_mut(row.name.as_str()) else { return Ok(()) };
        for object in objects {
            list.push((dice(object), overlay_name(&work.entry.name, &object.target)));
        }
        self.shorten();
        let list = &self.kept[row.name.as_str()];
        let folder = self.folder.join(file_name(&row.name));
        let range = self.window.resolve(&case.image);
        for ((object, target), mask) in objects.iter().zip(&case.targets).zip(masks) {
            let name = overlay_name(&work.entry.name, &object.target);
            if list.iter().any(|(_, kept)| *kept == name) {
                super::store::make_folder(&folder)?;
                let prompt = SliceIndex(object.task.prompt_slice);
                montage::comparison(&case.image, &target.mask, mask, axis, range, prompt)
                    .write(&folder.join(name), Overwrite::Replace)?;
            }
        }
        Ok(())
    }

    /// Removes pictures that are no longer among the worst.
    fn tidy(&self) -> Result<()> {
        for (row, list) in &self.kept {
            let folder = self.folder.join(file_name(row));
            let Ok(entries) = std::fs::read_dir(&folder) else { continue };
            for path in entries.flatten().map(|entry| entry.path()) {
                let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
                if name.ends_with(".png") && !list.iter().any(|(_, kept)| *kept == name) {
                    std::fs::remove_file(&path)
                        .map_err(|e| Error::io(format!("cannot remove `{}`", path.display()), e))?;
                }
            }
        }
        Ok(())
    }
}

fn dice(object: &ObjectResult) -> f64 {
    object.scores.dice_without_prompt.unwrap_or(1.0)
}
