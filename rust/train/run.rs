//! The run: step after step, with checkpoints, a log and validation. Everything that is drawn depends on seed and step
//! alone.

use crate::datasets::{self, Classes, Spec};
use crate::error::{Error, Result};
use crate::model::checkpoint as model_file;
use crate::model::Sam2;
use crate::session::{choose_precision, guarded};
use crate::tracking::MaskPrior;
use crate::train::checkpoint::{self, Progress};
use crate::train::clip::{Clip, ClipOptions, ClipSource};
use crate::train::config::{Framing, Stage, TrainConfig};
use crate::train::feed::Feed;
use crate::train::flat::Named;
use crate::train::initialise::initialise;
use crate::train::log::{Log, LogLine};
use crate::train::phantom::Phantoms;
use crate::train::pipeline::Pipeline;
use crate::train::scans::Scans;
use crate::train::sources::Mixture;
use crate::train::trainer::{build, line, Replica, Sums, Trainer};
use crate::train::validate::{self, Validation, ValidationSettings};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Instant;
use tch::nn::VarStore;
use tch::Device;

/// Seed of the clips that a run is validated on: not the run's.
const VALIDATION_SEED: u64 = 0x0076_616c_6964;

/// Clips made ahead for each thread that makes them: some take long.
const AHEAD_OF_EACH: usize = 8;

/// The part of a network that a file may be without: it is younger than the first models.
const EVIDENCE: &str = "sam_mask_decoder.evidence.";

/// Seed of the scans that trained models are compared on.
const TEST_SEED: u64 = 0x0074_6573_7473;

/// Where and how long.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// The run's folder.
    pub output: PathBuf,
    /// Where to compute.
    pub device: Device,
    /// Ends, with a checkpoint, after so many minutes of this session.
    pub minutes: Option<f64>,
    /// Ends, with a checkpoint, when it becomes true.
    pub stop: Arc<AtomicBool>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    /// Steps done.
    pub step: u64,
    /// Steps of the whole run.
    pub steps: u64,
    /// Seconds of training, over all sessions.
    pub seconds: f64,
    /// The model file.
    pub model: PathBuf,
}

/// Where clips come from.
pub fn source(config: &TrainConfig) -> Result<Arc<dyn ClipSource>> {
    if !config.data.sources.is_empty() {
        return Ok(Arc::new(Mixture::open(config.seed, &config.data)?));
    }
    if config.data.scans.is_empty() {
        return Ok(Arc::new(Phantoms::new(config.seed, config.data.held_out.clone(), Vec::new())));
    }
    let opened = (config.data.scans.iter())
        .map(|text| datasets::open(&text.parse::<Spec>()?, &Classes::all()))
        .collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(Scans::new(config.seed, opened)))
}

/// Generated anatomy that no run has seen, of the kinds that a configuration trains on or, if `held_out`, of those that
/// it does not.
pub fn test_source(config: &TrainConfig, held_out: bool) -> Result<Phantoms> {
    let kinds = config.data.held_out.clone();
    match (held_out, kinds.is_empty()) {
        (true, true) => Err(Error::invalid("data.held_out names no kinds: expected at least one for held-out cases")),
        (true, false) => Ok(Phantoms::new(TEST_SEED, Vec::new(), kinds)),
        (false, _) => Ok(Phantoms::new(TEST_SEED, kinds, Vec::new())),
    }
}

/// The clips of a stage.
pub fn clip_options(config: &TrainConfig, stage: usize) -> ClipOptions {
    let mask_stride = config.network_at(stage).map_or(0, |network| network.mask_stride() as usize);
    let stage = &config.stages[stage];
    ClipOptions {
        length: stage.length,
        side: stage.image_size as usize,
        stochastic_propagation: config.data.stochastic_propagation,
        displacement_stride: (config.prior.registered > 0.0 && stage.length > 1).then_some(mask_stride),
        intensity_model: config.intensity_model.clip_fraction > 0.0 && stage.length > 1,
        framing: stage.framing,
    }
}

/// Trains, from the run's checkpoint if there is one. `tell` gets every line of the log.
pub fn train(config: &TrainConfig, options: &RunOptions, tell: &mut dyn FnMut(&LogLine)) -> Result<Ended> {
    std::fs::create_dir_all(&options.output)
        .map_err(|e| Error::io(format!("cannot make the folder `{}`", options.output.display()), e))?;
    if config.replicas > 1 && !options.device.is_cuda() {
        // Threads that wait for work of this one would take the replicas' cores.
        tch::set_num_threads(1);
    }
    let source = source(config)?;
    let restored = checkpoint::restore(&options.output)?;
    let (mut step, mut seconds) = (0, 0.0);
    let mut trainer = match restored {
        Some(state) => {
            same_run(config, &state.progress, &options.output)?;
            (step, seconds) = (state.progress.step, state.progress.seconds);
            let [values, optimizer @ ..] = state.tensors;
            let mut trainer = Trainer::new(config, step, &values, options.device)?;
            trainer.optimizer.restore(&optimizer);
            trainer
        }
        None => Trainer::new(config, 0, &first_weights(config)?, options.device)?,
    };
    let mut log = Log::open(&options.output, step)?;
    let last = config.steps();
    let planned = config.clone();
    let plan = Box::new(move |clip| clip_options(&planned, planned.stage_of_clip(clip)));
    let widest = config.stages.iter().map(|s| s.batch * s.accumulate).max().unwrap_or(1);
    let ahead = (2 * widest + 4).max(AHEAD_OF_EACH * config.data.workers);
    let clips = Pipeline::start(source, plan, config.first_clip(step), config.data.workers, ahead);
    let mut feed = Feed::start(config, step, clips, options.device);
    let begin = Instant::now();
    let (mut sums, mut norms, mut since, mut waited) = (Sums::default(), 0.0, Instant::now(), feed.waited());
    let save = |trainer: &Trainer, step: u64, seconds: f64| -> Result<PathBuf> {
        let network = config.network_at(config.stages.len() - 1)?;
        let progress = Progress { step, seconds, config: config.text() };
        let [average, first, second] = trainer.optimizer.state();
        checkpoint::write(&options.output, &network, &progress, [&trainer.weights(), &average, &first, &second])?;
        let path = options.output.join("model.safetensors");
        checkpoint::export(&path, &network, &average, tch::Kind::BFloat16, &about(config, step, seconds))?;
        Ok(path)
    };
    let over = |begin: &Instant| {
        options.stop.load(Ordering::SeqCst)
            || options.minutes.is_some_and(|minutes| begin.elapsed().as_secs_f64() > minutes * 60.0)
    };
    while step < last && !over(&begin) {
        let (of_step, norm) = guarded(|| trainer.step(step, &mut feed))??;
        sums.merge(&of_step);
        norms += norm;
        step += 1;
        let validating = config.log.validate > 0 && (step % config.log.validate == 0 || step == last);
        if step % config.log.every == 0 || step == last || validating {
            let elapsed = since.elapsed().as_secs_f64();
            let mut line = line(config, &sums, step, norms, elapsed, (feed.waited() - waited).as_secs_f64());
            line.skipped = feed.skipped();
            if validating {
                line.validation = validation(config, &trainer)?;
            }
            log.write(&line)?;
            tell(&line);
            (sums, norms, since, waited) = (Sums::default(), 0.0, Instant::now(), feed.waited());
        }
        if step % config.log.checkpoint == 0 && step < last {
            save(&trainer, step, seconds + begin.elapsed().as_secs_f64())?;
        }
    }
    seconds += begin.elapsed().as_secs_f64();
    let model = save(&trainer, step, seconds)?;
    Ok(Ended { step, steps: last, seconds, model })
}

/// Clips that no step sees.
pub fn validation_clips(config: &TrainConfig, stage: usize, count: usize) -> Result<Vec<Clip>> {
    let source: Arc<dyn ClipSource> = match config.data.scans.is_empty() {
        true => Arc::new(Phantoms::new(VALIDATION_SEED, config.data.held_out.clone(), Vec::new())),
        false => source(config)?,
    };
    // A slice alone has nothing to track.
    let mut options = clip_options(config, stage);
    if options.length == 1 {
        let tracked = Stage { length: 2, framing: Framing::Object, ..config.stages[stage].clone() };
        options = clip_options(&TrainConfig { stages: vec![tracked], ..config.clone() }, 0);
    }
    validate::clips(&*source, &options, count)
}

/// What the averaged weights reach, with each prior that the run trains.
fn validation(config: &TrainConfig, trainer: &Trainer) -> Result<BTreeMap<String, f64>> {
    let clips = validation_clips(config, trainer.stage, config.log.validation_clips)?;
    let [average, ..] = trainer.optimizer.state();
    let Replica { network, .. } = build(config, trainer.stage, &average, trainer.device)?;
    let mut found = BTreeMap::new();
    let priors =
        [("none", MaskPrior::None, config.prior.none), ("registered", MaskPrior::Registered, config.prior.registered)];
    for (name, prior, _) in priors.into_iter().filter(|(_, _, share)| *share > 0.0) {
        let settings = ValidationSettings { prior, intensity_weight: config.intensity_model.weight };
        let Validation { dice, presence } = validate::validate(&network, &clips, &settings, trainer.device);
        found.insert(format!("dice_{name}"), dice);
        found.insert(format!("presence_{name}"), presence);
    }
    Ok(found)
}

fn first_weights(config: &TrainConfig) -> Result<Named> {
    let mut given = Named::new();
    if let Some(path) = &config.init {
        let file = model_file::read(path)?;
        given = file.state.iter().map(|(k, t)| (k.to_owned(), t.to_kind(tch::Kind::Float))).collect();
        if file.config.intensity_channels.is_some() || config.network_at(0)?.intensity_channels.is_none() {
            return Ok(given);
        }
        log::info!("`{}` does not see evidence: that part of the network begins anew", path.display());
    }
    let mut variables = VarStore::new(Device::Cpu);
    let _network =
        Sam2::for_training(&variables, &config.network_at(0)?, choose_precision(config.precision, Device::Cpu));
    initialise(&mut variables, config.seed);
    for (key, value) in variables.variables() {
        if config.init.is_none() || key.starts_with(EVIDENCE) {
            given.insert(key, value.detach());
        }
    }
    Ok(given)
}

/// What the model file says of itself.
fn about(config: &TrainConfig, step: u64, seconds: f64) -> BTreeMap<String, String> {
    let sources: Vec<String> = config.data.sources.iter().map(|source| source.kind.name()).collect();
    let data = match (sources.is_empty(), config.data.scans.is_empty()) {
        (false, _) => sources.join(", "),
        (true, true) => "generated anatomy".into(),
        (true, false) => config.data.scans.join(", "),
    };
    let prior = if config.prior.registered > 0.0 { "registered" } else { "none" };
    let field_of_view = if config.data.scans.is_empty() { "object" } else { "slice" };
    BTreeMap::from([
        (
            "promem.made_by".into(),
            format!("promem-train, step {step} of {}, {:.1} h", config.steps(), seconds / 3600.0),
        ),
        ("promem.data".into(), data),
        ("promem.prior".into(), prior.into()),
        ("promem.field_of_view".into(), field_of_view.into()),
        ("promem.training".into(), config.text()),
    ])
}

/// Refuses to go on with a run that was begun otherwise. Stages, log and threads may change.
fn same_run(config: &TrainConfig, progress: &Progress, folder: &Path) -> Result<()> {
    let begun = TrainConfig::parse(&progress.config)?;
    let mut same = begun.clone();
    same.stages.clone_from(&config.stages);
    same.log = config.log.clone();
    same.data.workers = config.data.workers;
    if same == *config {
        return Ok(());
    }
    let (was, now) = (same.text(), config.text());
    let differing = was.lines().zip(now.lines()).find(|(a, b)| a != b);
    let (was, now) = differing.unwrap_or(("another", "configuration"));
    Err(Error::invalid(format!(
        "the run in `{}` was begun with `{was}`, now `{now}`; expected the same, or another output folder",
        folder.display()
    )))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::config::Config;

    fn begun_with(file: &Path) -> Named {
        let mut config = TrainConfig::preset("compact").unwrap();
        config.init = Some(file.to_path_buf());
        first_weights(&config).unwrap()
    }

    #[test]
    fn a_file_that_does_not_see_evidence_gets_that_part_anew_and_one_that_does_keeps_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let mut variables = VarStore::new(Device::Cpu);
        let sees = Config::compact();
        let _network = Sam2::new(&variables.root(), &sees);
        initialise(&mut variables, 5);
        let all: Named = variables.variables().into_iter().map(|(k, t)| (k, t.detach() + 1.0)).collect();
        let without: Named =
            all.iter().filter(|(k, _)| !k.starts_with(EVIDENCE)).map(|(k, t)| (k.clone(), t.copy())).collect();
        let write = |name: &str, config: &Config, values: &Named| {
            let path = folder.path().join(name);
            checkpoint::export(&path, config, values, tch::Kind::Float, &BTreeMap::new()).unwrap();
            path
        };
        let kept = begun_with(&write("sees.safetensors", &sees, &all));
        assert_eq!(kept, all);
        let blind = Config { intensity_channels: None, ..sees };
        let grown = begun_with(&write("blind.safetensors", &blind, &without));
        assert_eq!(grown.keys().collect::<Vec<_>>(), all.keys().collect::<Vec<_>>());
        assert!(without.iter().all(|(key, value)| grown[key] == *value));
        let share = &grown[&format!("{EVIDENCE}share.weight")];
        assert_eq!(share.double_value(&[0, 0]), 1.0, "evidence is added to masks as it is");
        assert_eq!(
            grown[&format!("{EVIDENCE}coarse.weight")].abs().max().double_value(&[]),
            0.0,
            "and seen nowhere else at first"
        );
    }
}
