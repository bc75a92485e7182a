//! The evaluation run: case by case, every method that has no result yet.
//!
//! In: data sets, methods, models. Out: results in the store. A case is read once for all methods; methods of one model
//! share its session and so its slice embeddings.

use crate::datasets::{BinaryMask, Case, CaseEntry, Dataset};
use crate::error::{Error, ErrorKind, Result};
use crate::evaluate::exchange::Predictions;
use crate::evaluate::method::{Method, Predictor};
use crate::evaluate::metrics::{self, MetricOptions};
use crate::evaluate::protocol::{add_prompt, copy, Protocol, StopRule, Task};
use crate::evaluate::store::{CaseResult, ObjectResult, Store};
use crate::evaluate::worst::WorstObjects;
use crate::geometry::{Axis, SliceIndex};
use crate::prompt::ObjectId;
use crate::session::{Flow, PropagateOptions, Session, SharedModel, SliceReport};
use crate::slices::intensity::Window;
use serde_json::json;
use std::collections::BTreeMap;
use std::time::Instant;

/// A data set with the name it has in reports.
pub struct NamedDataset {
    /// In reports and in the names of files.
    pub name: String,
    /// Where its cases are read from.
    pub dataset: Box<dyn Dataset>,
}

/// A model with the name it has in reports.
pub struct NamedModel {
    /// In reports.
    pub name: String,
    /// The loaded weights.
    pub model: SharedModel,
    /// Identifies weights, image size, device and precision.
    pub identity: String,
}

/// Options beside the protocols.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// How objects are scored.
    pub metrics: MetricOptions,
    /// The intensities that the network gets.
    pub window: Window,
    /// Bound of the slice embeddings that a session keeps.
    pub cache_bytes: usize,
    /// Only the first cases of each data set.
    pub cases: Option<usize>,
    /// Number of overlays of the worst objects for each data set and method.
    pub worst: usize,
}

/// Progress of a run.
#[derive(Debug)]
pub enum Event<'a> {
    /// A case begins; `done` of `all` pairs of case and method have a result.
    Case {
        /// The data set's name.
        dataset: &'a str,
        /// The case's name.
        case: &'a str,
        /// Pairs of case and method with a result.
        done: usize,
        /// Pairs of case and method in the run.
        all: usize,
    },
    /// A slice was segmented.
    Slice,
    /// A case could not be read or scored; the run continues.
    Failed {
        /// The data set's name.
        dataset: &'a str,
        /// The case's name.
        case: &'a str,
        /// Why.
        error: &'a Error,
    },
}

/// Counts of a run, in pairs of case and method.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Computed by this run.
    pub computed: usize,
    /// Already in the store.
    pub resumed: usize,
    /// Could not be read or scored.
    pub failed: usize,
    /// The watcher stopped the run; finished cases are in the store.
    pub stopped: bool,
}

/// The input of a run, and the store of its results.
pub struct Evaluation<'a> {
    /// The scans and their ground truth.
    pub datasets: &'a [NamedDataset],
    /// The models that methods name by their place.
    pub models: &'a [NamedModel],
    /// What is evaluated.
    pub methods: &'a [Method],
    /// Options beside the protocols.
    pub options: &'a RunOptions,
    /// Where results are kept.
    pub store: &'a Store,
}

impl Evaluation<'_> {
    /// Computes what the store lacks; `watch` may stop the run.
    pub fn run(&self, watch: &mut dyn FnMut(Event) -> Flow) -> Result<Tally> {
        let mut tally = Tally::default();
        let counts: Vec<usize> = self.datasets.iter().map(|d| self.count(d)).collect();
        let all = counts.iter().sum::<usize>() * self.methods.len();
        for (named, count) in self.datasets.iter().zip(counts) {
            let predictions = self.predictions(named)?;
            let mut worst =
                WorstObjects::open(self.store, &named.name, self.methods, self.options.worst, self.options.window)?;
            for (index, entry) in named.dataset.cases().iter().enumerate().take(count) {
                let mut pending = Vec::new();
                for (n, method) in self.methods.iter().enumerate() {
                    match self.store.finished(&named.name, &method.name, &entry.name, &self.settings(method))? {
                        Some(_) => tally.resumed += 1,
                        None => pending.push(n),
                    }
                }
                if pending.is_empty() {
                    continue;
                }
                let done = tally.resumed + tally.computed + tally.failed;
                let event = Event::Case { dataset: &named.name, case: &entry.name, done, all };
                if watch(event) == Flow::Stop {
                    tally.stopped = true;
                    return Ok(tally);
                }
                let work = CaseWork { evaluation: self, named, entry, predictions: &predictions };
                match named.dataset.read(index) {
                    Ok(case) => work.methods(&case, &pending, &mut worst, &mut tally, watch)?,
                    Err(error) => {
                        for &method in &pending {
                            work.failed(method, &error)?;
                        }
                        tally.failed += pending.len();
                        watch(Event::Failed { dataset: &named.name, case: &entry.name, error: &error });
                    }
                }
                if tally.stopped {
                    return Ok(tally);
                }
            }
            worst.remove_others()?;
        }
        Ok(tally)
    }

    fn count(&self, named: &NamedDataset) -> usize {
        let count = named.dataset.cases().len();
        self.options.cases.map_or(count, |most| most.min(count))
    }

    /// Other tools' masks by method; `None` where the method computes its masks.
    fn predictions(&self, named: &NamedDataset) -> Result<Vec<Option<Predictions>>> {
        (self.methods.iter())
            .map(|method| match &method.predictor {
                Predictor::Masks(folder) => Predictions::open(folder, &named.name).map(Some),
                Predictor::Model(_) | Predictor::Copy => Ok(None),
            })
            .collect()
    }

    /// Everything that changes a method's results. Another tool's folder may move without changing them.
    pub fn settings(&self, method: &Method) -> serde_json::Value {
        let predictor = match &method.predictor {
            Predictor::Model(n) => {
                json!({ "model": self.models[*n].identity, "window": format!("{:?}", self.options.window) })
            }
            Predictor::Copy => json!("copy"),
            Predictor::Masks(_) => json!("predictions"),
        };
        json!({ "predictor": predictor, "protocol": method.protocol, "metrics": self.options.metrics })
    }
}

/// One case of a run.
struct CaseWork<'a> {
    evaluation: &'a Evaluation<'a>,
    named: &'a NamedDataset,
    entry: &'a CaseEntry,
    predictions: &'a [Option<Predictions>],
}

impl CaseWork<'_> {
    fn methods(
        &self,
        case: &Case,
        pending: &[usize],
        worst: &mut WorstObjects,
        tally: &mut Tally,
        watch: &mut dyn FnMut(Event) -> Flow,
    ) -> Result<()> {
        let mut session: Option<((usize, Axis), Session)> = None;
        for &n in pending {
            let method = &self.evaluation.methods[n];
            let axis = slice_axis(&method.protocol, self.entry, case);
            let begin = Instant::now();
            let mut embeddings = 0;
            let masks = match &method.predictor {
                Predictor::Model(model) => {
                    let kept = session.take().filter(|(key, _)| *key == (*model, axis));
                    let opened = kept.map_or_else(|| self.session(case, *model, axis), |(_, session)| Ok(session));
                    opened.and_then(|mut opened| {
                        let before = opened.cache().encoded();
                        let masks = segment(&mut opened, case, method, axis, watch);
                        embeddings = opened.cache().encoded() - before;
                        session = Some(((*model, axis), opened));
                        masks
                    })
                }
                Predictor::Copy => Ok(tasks(case, &method.protocol, axis)
                    .into_iter()
                    .zip(&case.targets)
                    .map(|(task, target)| {
                        copy(&target.mask, axis, task, method.protocol.stop_rule, case.image.geometry().spacing())
                    })
                    .collect()),
                Predictor::Masks(_) => {
                    let names: Vec<String> = case.targets.iter().map(|target| target.name.clone()).collect();
                    let predictions = self.predictions[n].as_ref().expect("masks of another tool have a folder");
                    predictions.case(&self.entry.name, &names, case.image.geometry())
                }
            };
            let error = match masks {
                Ok(masks) => {
                    let objects = self.score(case, method, axis, &masks);
                    worst.offer(&method.name, &self.entry.name, case, axis, &objects, &masks)?;
                    let mut result = self.result(method);
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

    fn score(&self, case: &Case, method: &Method, axis: Axis, masks: &[BinaryMask]) -> Vec<ObjectResult> {
        let spacing = self.named.dataset.has_spacing().then(|| case.image.geometry().spacing());
        let options = self.evaluation.options.metrics;
        (case.targets.iter().zip(tasks(case, &method.protocol, axis)).zip(masks))
            .map(|((target, task), mask)| {
                let prompt = SliceIndex(task.prompt_slice);
                let scores = metrics::score(&target.mask, mask, spacing, axis, prompt, options);
                ObjectResult { target: target.name.clone(), task, scores }
            })
            .collect()
    }

    fn result(&self, method: &Method) -> CaseResult {
        CaseResult {
            dataset: self.named.name.clone(),
            case: self.entry.name.clone(),
            patient: self.entry.patient.clone(),
            method: method.name.clone(),
            settings: self.evaluation.settings(method),
            objects: Vec::new(),
            failure: None,
            embeddings: 0,
            seconds: 0.0,
        }
    }

    fn failed(&self, method: usize, error: &Error) -> Result<()> {
        let mut result = self.result(&self.evaluation.methods[method]);
        result.failure = Some(error.to_string());
        self.evaluation.store.write(&result)
    }
}

/// The slice axis: the protocol's, else the data set's, else the one of the largest spacing.
pub fn slice_axis(protocol: &Protocol, entry: &CaseEntry, case: &Case) -> Axis {
    protocol.axis.or(entry.axis).unwrap_or_else(|| case.image.geometry().slice_axis())
}

/// One task for each target; data sets leave out absent targets.
pub fn tasks(case: &Case, protocol: &Protocol, axis: Axis) -> Vec<Task> {
    let task = |mask: &BinaryMask| Task::new(mask, axis, protocol.position);
    case.targets.iter().map(|target| task(&target.mask).expect("a target has voxels")).collect()
}

/// Segments all targets of a case in one propagation: objects share the slice embeddings.
fn segment(
    session: &mut Session,
    case: &Case,
    method: &Method,
    axis: Axis,
    watch: &mut dyn FnMut(Event) -> Flow,
) -> Result<Vec<BinaryMask>> {
    let geometry = case.image.geometry();
    let count = geometry.dims.along(axis);
    let protocol = &method.protocol;
    let tasks = tasks(case, protocol, axis);
    let objects: Vec<ObjectId> = (1..=case.targets.len())
        .map(|n| {
            u16::try_from(n).map_err(|_| Error::invalid("more than 65535 objects in a case")).and_then(ObjectId::new)
        })
        .collect::<Result<_>>()?;
    session.reset(); // so that the time of each method is its own
    let mut object_ranges = BTreeMap::new();
    for ((&object, target), task) in objects.iter().zip(&case.targets).zip(&tasks) {
        let slice = SliceIndex(task.prompt_slice);
        add_prompt(session.prompts_mut(), object, &target.mask, slice, protocol.prompt)?;
        object_ranges.insert(object, task.allowed(protocol.stop_rule, count));
    }
    if objects.is_empty() {
        return Ok(Vec::new());
    }
    let mut search = protocol.search.clone();
    // Under the ground-truth range, nothing else ends a propagation.
    search.stop_when_absent &= protocol.stop_rule == StopRule::Free;
    let options = PropagateOptions { direction: protocol.direction, object_ranges, ..PropagateOptions::whole(search) };
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
