//! The run: step after step, with checkpoints, a log and validation. Everything that is drawn depends on seed and step alone.

use crate::datasets::{self, Classes, Spec};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::search::Prior;
use crate::model::checkpoint as model_file;
use crate::model::{weights, Sam2};
use crate::session::guarded;
use crate::train::checkpoint::{self, Progress};
use crate::train::clip::{Clip, ClipOptions, ClipSource};
use crate::train::config::{Reduction, TrainConfig};
use crate::train::initialise::initialise;
use crate::train::loss::{slice_loss, Losses};
use crate::train::optimizer::{gradients, AdamW, Named};
use crate::train::phantom::Phantoms;
use crate::train::pipeline::Pipeline;
use crate::train::scans::Scans;
use crate::train::unroll::{unroll, Batch, Plan, Predicted};
use crate::train::validate::{self, Validation};
use crate::train::{rng, Purpose, Rng};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;
use std::time::Instant;
use tch::nn::VarStore;
use tch::{Device, Tensor};

/// Seed of the clips that a run is validated on: not the run's.
const VALIDATION_SEED: u64 = 0x0076_616c_6964;

/// Where and how long.
#[derive(Debug, Clone)]
pub struct RunOptions {
    pub output: PathBuf,
    pub device: Device,
    /// Ends, with a checkpoint, after so many minutes of this session.
    pub minutes: Option<f64>,
    /// Ends, with a checkpoint, when it becomes true.
    pub stop: Arc<AtomicBool>,
}

/// One line of the log: means since the last line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    pub step: u64,
    pub stage: usize,
    pub rate: f64,
    pub loss: f64,
    pub focal: f64,
    pub dice: f64,
    pub iou: f64,
    pub object: f64,
    /// IoU of the chosen masks where the object is, and the share of slices whose presence is told right.
    pub found: f64,
    pub told: f64,
    /// The gradient's norm before clipping.
    pub norm: f64,
    pub slices_per_second: f64,
    /// Share of the time spent waiting for clips.
    pub waited: f64,
    /// Clips that could not be had so far.
    pub skipped: u64,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub validation: BTreeMap<String, f64>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    pub step: u64,
    pub steps: u64,
    pub seconds: f64,
    pub model: PathBuf,
}

/// Where clips come from.
pub fn source(config: &TrainConfig) -> Result<Arc<dyn ClipSource>> {
    if config.data.scans.is_empty() {
        return Ok(Arc::new(Phantoms::new(config.seed, config.data.held_out.clone(), Vec::new())));
    }
    let opened = (config.data.scans.iter())
        .map(|text| datasets::open(&text.parse::<Spec>()?, &Classes::all()))
        .collect::<Result<Vec<_>>>()?;
    Ok(Arc::new(Scans::new(config.seed, opened)))
}

fn clip_options(config: &TrainConfig, stage: usize) -> ClipOptions {
    let stage = &config.stages[stage];
    ClipOptions {
        length: stage.length,
        side: stage.image_size as usize,
        stochastic_propagation: config.data.stochastic_propagation,
        flow: config.prior.flow > 0.0,
    }
}

/// A copy of the network with weights of its own.
struct Replica {
    variables: VarStore,
    network: Sam2,
}

/// The first replica's weights are the run's; the others follow it.
struct Trainer<'a> {
    config: &'a TrainConfig,
    device: Device,
    replicas: Vec<Replica>,
    optimizer: AdamW,
    stage: usize,
}

/// A network on variables with these values.
fn build(config: &TrainConfig, stage: usize, values: &Named, device: Device) -> Result<Replica> {
    let network_config = config.network_at(stage)?;
    let mut variables = VarStore::new(device);
    let network = Sam2::for_training(&variables, &network_config, config.precision.precision());
    let mut state = weights::StateDict::new();
    for (key, value) in values {
        state.insert(key.clone(), value.detach().to_device(Device::Cpu).contiguous())?;
    }
    weights::load_strict(&mut variables, state)?;
    Ok(Replica { variables, network })
}

fn build_all(config: &TrainConfig, stage: usize, values: &Named, device: Device) -> Result<Vec<Replica>> {
    (0..config.replicas).map(|_| build(config, stage, values, device)).collect()
}

impl<'a> Trainer<'a> {
    fn new(config: &'a TrainConfig, step: u64, values: &Named, device: Device) -> Result<Self> {
        let (stage, _) = config.stage(step);
        let replicas = build_all(config, stage, values, device)?;
        let optimizer = AdamW::new(&replicas[0].variables, &config.optimizer);
        Ok(Self { config, device, replicas, optimizer, stage })
    }

    fn weights(&self) -> Named {
        self.replicas[0].variables.variables().into_iter().collect()
    }

    /// Goes over to a stage of another image size.
    fn enter(&mut self, stage: usize) -> Result<()> {
        if self.config.network_at(stage)?.image_size != self.replicas[0].network.config().image_size {
            self.replicas = build_all(self.config, stage, &self.weights(), self.device)?;
        }
        self.stage = stage;
        Ok(())
    }

    /// One optimizer step; `clips` gives the clips in order.
    fn step(&mut self, step: u64, clips: &mut Pipeline) -> Result<(Sums, f64)> {
        let config = self.config;
        let (stage, share) = config.stage(step);
        if stage != self.stage {
            self.enter(stage)?;
        }
        let stage = &config.stages[stage];
        let forcing = stage.forcing[0] + (stage.forcing[1] - stage.forcing[0]) * share;
        let share = stage.batch / config.replicas;
        let mut sums = Sums::default();
        for part in 0..stage.accumulate {
            let clips = (0..stage.batch).map(|_| clips.take()).collect::<Result<Vec<_>>>()?;
            let first = config.first_clip(step) + (part * stage.batch) as u64;
            let work =
                self.replicas.iter_mut().zip(clips.chunks(share)).enumerate().map(|(n, (replica, clips))| Share {
                    replica,
                    clips: clips.to_vec(),
                    forcing,
                    draws: rng(
                        config.seed,
                        Purpose::Step,
                        (step * stage.accumulate as u64 + part as u64) * MOST_REPLICAS + n as u64,
                    ),
                    first: first + (n * share) as u64,
                    fresh: part == 0,
                    scale: 1.0 / (stage.accumulate * config.replicas) as f64,
                });
            for of_share in together(config, step, stage.length, work.collect())? {
                sums.merge(&of_share);
            }
        }
        let rate = config.optimizer.rate_at((step + 1) as f64 / config.steps() as f64);
        let sum = self.gradients();
        let norm = self.optimizer.step(&self.replicas[0].variables, sum, rate, step + 1, &config.optimizer);
        if !norm.is_finite() {
            let first = config.first_clip(step);
            return Err(Error::new(
                ErrorKind::Compute,
                format!("step {step}: the gradient is not a finite number, on the clips from {first}; the last checkpoint is kept"),
            ));
        }
        self.spread_weights();
        Ok((sums, norm))
    }

    /// The sum of all replicas' gradients.
    fn gradients(&self) -> Named {
        let mut sum = gradients(&self.replicas[0].variables);
        let _guard = tch::no_grad_guard();
        for other in &self.replicas[1..] {
            for (key, gradient) in gradients(&other.variables) {
                if let Some(total) = sum.get_mut(&key) {
                    *total += gradient;
                }
            }
        }
        sum
    }

    fn spread_weights(&self) {
        let _guard = tch::no_grad_guard();
        let first = self.replicas[0].variables.variables();
        for other in &self.replicas[1..] {
            for (key, mut variable) in other.variables.variables() {
                variable.copy_(&first[&key]);
            }
        }
    }
}

/// More replicas than any machine has: keeps their draws apart.
const MOST_REPLICAS: u64 = 64;

/// What one replica does of a step.
struct Share<'a> {
    replica: &'a mut Replica,
    clips: Vec<Clip>,
    forcing: f64,
    draws: Rng,
    /// Number of its first clip.
    first: u64,
    /// Whether gradients begin anew.
    fresh: bool,
    scale: f64,
}

/// Forward and backward of all shares, each in a thread of its own.
fn together(config: &TrainConfig, step: u64, length: usize, shares: Vec<Share>) -> Result<Vec<Sums>> {
    if shares.len() == 1 {
        return shares.into_iter().map(|share| one_share(config, step, length, share)).collect();
    }
    std::thread::scope(|scope| {
        let threads: Vec<_> = (shares.into_iter())
            .map(|share| {
                scope.spawn(move || {
                    // Each replica has a core: threads inside operations would only get in each other's way.
                    tch::set_num_threads(1);
                    guarded(|| one_share(config, step, length, share))?
                })
            })
            .collect();
        let failed = || Error::new(ErrorKind::Compute, format!("step {step}: a replica's thread ended"));
        threads.into_iter().map(|thread| thread.join().map_err(|_| failed())?).collect()
    })
}

fn one_share(config: &TrainConfig, step: u64, length: usize, mut share: Share) -> Result<Sums> {
    let Replica { variables, network } = &*share.replica;
    if share.fresh {
        for (_, mut variable) in variables.variables() {
            if variable.grad().defined() {
                variable.zero_grad();
            }
        }
    }
    let count = share.clips.len();
    let batch = Batch::new(share.clips, network.device());
    let plan = Plan::draw(config, count, length, share.forcing, &mut share.draws);
    let predicted = unroll(network, &batch, &plan, &mut share.draws);
    let mut sums = Sums::default();
    let loss = sums.add(&predicted, &batch, config);
    if !loss.double_value(&[]).is_finite() {
        let (first, last) = (share.first, share.first + count as u64 - 1);
        let what = format!(
            "step {step}: the loss is not a finite number, on clips {first} to {last}; the last checkpoint is kept"
        );
        return Err(Error::new(ErrorKind::Compute, what));
    }
    (loss * share.scale).backward();
    Ok(sums)
}

/// Sums of losses over slices.
#[derive(Debug, Default, Clone, Copy)]
struct Sums {
    steps: f64,
    loss: f64,
    focal: f64,
    dice: f64,
    iou: f64,
    object: f64,
    found: [f64; 2],
    told: f64,
    slices: f64,
    clip_slices: f64,
}

impl Sums {
    /// The loss of a batch, and its parts added up.
    fn add(&mut self, predicted: &[Predicted], batch: &Batch, config: &TrainConfig) -> Tensor {
        let mut total: Option<Tensor> = None;
        let mut count = 0.0;
        for slice in predicted {
            let truth = batch.truth(slice.t, config.loss.stride);
            let side = truth.size()[3];
            for step in &slice.steps {
                let logits = step.logits.to_kind(tch::Kind::Float);
                let fine = match logits.size()[3] {
                    n if n == side => logits,
                    _ => logits.upsample_bilinear2d([side, side], false, None, None),
                };
                let at_stride = crate::train::loss::Prediction {
                    logits: fine,
                    ious: step.ious.shallow_clone(),
                    object_logit: step.object_logit.shallow_clone(),
                };
                let losses = slice_loss(&at_stride, &truth, &config.loss);
                self.note(&losses);
                count += 1.0;
                total = Some(match total {
                    Some(sum) => sum + losses.total,
                    None => losses.total,
                });
            }
        }
        let total = total.unwrap_or_else(|| Tensor::from(0f32));
        let total = match config.loss.reduction {
            Reduction::Sum => total,
            Reduction::Mean => total / f64::max(count, 1.0),
        };
        self.steps += 1.0;
        self.loss += total.double_value(&[]);
        let (b, length, _) = batch.size();
        self.clip_slices += (b * length) as f64;
        total
    }

    fn note(&mut self, losses: &Losses) {
        self.slices += 1.0;
        self.focal += losses.focal;
        self.dice += losses.dice;
        self.iou += losses.iou;
        self.object += losses.object;
        self.told += losses.told;
        self.found = [self.found[0] + losses.found.0, self.found[1] + losses.found.1];
    }

    fn merge(&mut self, o: &Self) {
        for (a, b) in [
            (&mut self.steps, o.steps),
            (&mut self.loss, o.loss),
            (&mut self.focal, o.focal),
            (&mut self.dice, o.dice),
            (&mut self.iou, o.iou),
            (&mut self.object, o.object),
            (&mut self.told, o.told),
            (&mut self.slices, o.slices),
            (&mut self.clip_slices, o.clip_slices),
        ] {
            *a += b;
        }
        self.found = [self.found[0] + o.found[0], self.found[1] + o.found[1]];
    }
}

/// Trains, from the run's checkpoint if there is one. `tell` gets every line of the log.
pub fn train(config: &TrainConfig, options: &RunOptions, tell: &mut dyn FnMut(&Line)) -> Result<Ended> {
    std::fs::create_dir_all(&options.output)
        .map_err(|e| Error::io(format!("cannot make the folder `{}`", options.output.display()), e))?;
    let source = source(config)?;
    let restored = checkpoint::restore(&options.output)?;
    let (mut step, mut seconds) = (0, 0.0);
    let mut trainer = match restored {
        Some(state) => {
            same_run(config, &state.progress, &options.output)?;
            (step, seconds) = (state.progress.step, state.progress.seconds);
            let [values, average, first, second] = state.tensors;
            let mut trainer = Trainer::new(config, step, &values, options.device)?;
            let place = |named: Named| named.into_iter().map(|(k, t)| (k, t.to_device(options.device))).collect();
            trainer.optimizer.average = place(average);
            trainer.optimizer.first = place(first);
            trainer.optimizer.second = place(second);
            trainer
        }
        None => Trainer::new(config, 0, &first_weights(config)?, options.device)?,
    };
    let mut log = Log::open(&options.output, step)?;
    let last = config.steps();
    let planned = config.clone();
    let plan = Box::new(move |clip| clip_options(&planned, planned.stage_of_clip(clip)));
    let widest = config.stages.iter().map(|s| s.batch * s.accumulate).max().unwrap_or(1);
    let mut clips = Pipeline::start(source, plan, config.first_clip(step), config.data.workers, 2 * widest + 4);
    let begin = Instant::now();
    let (mut sums, mut norms, mut since, mut waited) = (Sums::default(), 0.0, Instant::now(), clips.waited());
    let save = |trainer: &Trainer, step: u64, seconds: f64| -> Result<PathBuf> {
        let network = config.network_at(config.stages.len() - 1)?;
        let progress = Progress { step, seconds, config: config.text() };
        let o = &trainer.optimizer;
        checkpoint::write(&options.output, &network, &progress, [&trainer.weights(), &o.average, &o.first, &o.second])?;
        let path = options.output.join("model.safetensors");
        checkpoint::export(&path, &network, &o.average, tch::Kind::BFloat16, &about(config, step, seconds))?;
        Ok(path)
    };
    let over = |begin: &Instant| {
        options.stop.load(Ordering::SeqCst)
            || options.minutes.is_some_and(|minutes| begin.elapsed().as_secs_f64() > minutes * 60.0)
    };
    while step < last && !over(&begin) {
        let (of_step, norm) = guarded(|| trainer.step(step, &mut clips))??;
        sums.merge(&of_step);
        norms += norm;
        step += 1;
        let validating = config.log.validate > 0 && (step % config.log.validate == 0 || step == last);
        if step % config.log.every == 0 || step == last || validating {
            let elapsed = since.elapsed().as_secs_f64();
            let mut line = line(config, &sums, step, norms, elapsed, (clips.waited() - waited).as_secs_f64());
            line.skipped = clips.skipped();
            if validating {
                line.validation = validation(config, &trainer)?;
            }
            log.write(&line)?;
            tell(&line);
            (sums, norms, since, waited) = (Sums::default(), 0.0, Instant::now(), clips.waited());
        }
        if step % config.log.checkpoint == 0 && step < last {
            save(&trainer, step, seconds + begin.elapsed().as_secs_f64())?;
        }
    }
    seconds += begin.elapsed().as_secs_f64();
    let model = save(&trainer, step, seconds)?;
    Ok(Ended { step, steps: last, seconds, model })
}

fn line(config: &TrainConfig, sums: &Sums, step: u64, norms: f64, elapsed: f64, waited: f64) -> Line {
    let (slices, steps) = (sums.slices.max(1.0), sums.steps.max(1.0));
    let (stage, _) = config.stage(step - 1);
    Line {
        step,
        stage,
        rate: config.optimizer.rate_at(step as f64 / config.steps() as f64),
        loss: sums.loss / steps,
        focal: sums.focal / slices,
        dice: sums.dice / slices,
        iou: sums.iou / slices,
        object: sums.object / slices,
        found: sums.found[0] / sums.found[1].max(1.0),
        told: sums.told / slices,
        norm: norms / (steps / (config.stages[stage].accumulate * config.replicas) as f64).max(1.0),
        slices_per_second: sums.clip_slices / elapsed.max(1e-9),
        waited: waited / elapsed.max(1e-9),
        skipped: 0,
        validation: BTreeMap::new(),
    }
}

/// What the averaged weights reach, with each prior that the run trains.
fn validation(config: &TrainConfig, trainer: &Trainer) -> Result<BTreeMap<String, f64>> {
    let source: Arc<dyn ClipSource> = match config.data.scans.is_empty() {
        true => Arc::new(Phantoms::new(VALIDATION_SEED, config.data.held_out.clone(), Vec::new())),
        false => source(config)?,
    };
    let options = clip_options(config, trainer.stage);
    let clips = validate::clips(&*source, &options, config.log.validation_clips)?;
    let Replica { network, .. } = build(config, trainer.stage, &trainer.optimizer.average, trainer.device)?;
    let mut found = BTreeMap::new();
    let priors = [("none", Prior::None, config.prior.none), ("flow", Prior::Flow, config.prior.flow)];
    for (name, prior, _) in priors.into_iter().filter(|(_, _, share)| *share > 0.0) {
        let Validation { dice, presence } = validate::validate(&network, &clips, None, prior, trainer.device);
        found.insert(format!("dice_{name}"), dice);
        found.insert(format!("presence_{name}"), presence);
    }
    Ok(found)
}

fn first_weights(config: &TrainConfig) -> Result<Named> {
    if let Some(path) = &config.init {
        let file = model_file::read(path)?;
        return Ok(file.state.iter().map(|(k, t)| (k.to_owned(), t.to_kind(tch::Kind::Float))).collect());
    }
    let mut variables = VarStore::new(Device::Cpu);
    let _network = Sam2::for_training(&variables, &config.network_at(0)?, config.precision.precision());
    initialise(&mut variables, config.seed);
    Ok(variables.variables().into_iter().map(|(k, t)| (k, t.detach())).collect())
}

/// What the model file says of itself.
fn about(config: &TrainConfig, step: u64, seconds: f64) -> BTreeMap<String, String> {
    let data = if config.data.scans.is_empty() { "generated anatomy".into() } else { config.data.scans.join(", ") };
    let prior = if config.prior.flow > 0.0 { "flow" } else { "none" };
    BTreeMap::from([
        (
            "promem.made_by".into(),
            format!("promem-train, step {step} of {}, {:.1} h", config.steps(), seconds / 3600.0),
        ),
        ("promem.data".into(), data),
        ("promem.prior".into(), prior.into()),
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

/// The log, a JSON object a line.
struct Log {
    path: PathBuf,
    file: std::fs::File,
}

/// The lines of a run's log.
pub fn read_log(run: &Path) -> Result<Vec<Line>> {
    let path = run.join("log.jsonl");
    let text = std::fs::read_to_string(&path).map_err(|e| Error::io(format!("cannot read `{}`", path.display()), e))?;
    (text.lines().enumerate())
        .map(|(n, line)| {
            serde_json::from_str(line).map_err(|e| {
                let what = format!("`{}`, line {}: is no line of a training log", path.display(), n + 1);
                Error::new(ErrorKind::Format, what).with_source(e)
            })
        })
        .collect()
}

impl Log {
    /// Lines beyond `step` belong to steps that will be made again.
    fn open(run: &Path, step: u64) -> Result<Self> {
        let path = run.join("log.jsonl");
        let failed = |e| Error::io(format!("cannot write the log `{}`", path.display()), e);
        let kept: Vec<Line> = if path.exists() && step > 0 { read_log(run)? } else { Vec::new() };
        let mut file = std::fs::File::create(&path).map_err(failed)?;
        for line in kept.iter().filter(|line| line.step <= step) {
            writeln!(file, "{}", serde_json::to_string(line).unwrap_or_default()).map_err(failed)?;
        }
        Ok(Self { file, path })
    }

    fn write(&mut self, line: &Line) -> Result<()> {
        let text = serde_json::to_string(line).unwrap_or_default();
        writeln!(self.file, "{text}")
            .and_then(|()| self.file.flush())
            .map_err(|e| Error::io(format!("cannot write the log `{}`", self.path.display()), e))
    }
}
