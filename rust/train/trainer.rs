//! One optimizer step: clips to replicas, forward and backward together, one update.

use crate::error::{Error, ErrorKind, Result};
use crate::model::{weights, Sam2};
use crate::session::{choose_precision, guarded};
use crate::train::clip::Clip;
use crate::train::config::{Reduction, Stage, TrainConfig};
use crate::train::log::Line;
use crate::train::loss::{slice_loss, Losses, Prediction};
use crate::train::optimizer::{gradients, AdamW, Named};
use crate::train::pipeline::Pipeline;
use crate::train::unroll::{unroll, Batch, Plan, Predicted};
use crate::train::{rng, Purpose, Rng};
use std::collections::BTreeMap;
use tch::nn::VarStore;
use tch::{Device, Tensor};

/// A copy of the network with weights of its own.
pub struct Replica {
    variables: VarStore,
    pub network: Sam2,
}

/// The first replica's weights are the run's; the others follow it.
pub struct Trainer<'a> {
    config: &'a TrainConfig,
    pub device: Device,
    replicas: Vec<Replica>,
    pub optimizer: AdamW,
    pub stage: usize,
}

/// A network on variables with these values.
pub fn build(config: &TrainConfig, stage: usize, values: &Named, device: Device) -> Result<Replica> {
    let network_config = config.network_at(stage)?;
    let mut variables = VarStore::new(device);
    let network = Sam2::for_training(&variables, &network_config, choose_precision(config.precision, device));
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
    pub fn new(config: &'a TrainConfig, step: u64, values: &Named, device: Device) -> Result<Self> {
        let (stage, _) = config.stage(step);
        let replicas = build_all(config, stage, values, device)?;
        let optimizer = AdamW::new(&replicas[0].variables, &config.optimizer);
        Ok(Self { config, device, replicas, optimizer, stage })
    }

    pub fn weights(&self) -> Named {
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
    pub fn step(&mut self, step: u64, clips: &mut Pipeline) -> Result<(Sums, f64)> {
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
            let mut clips = (0..stage.batch).map(|_| clips.take()).collect::<Result<Vec<_>>>()?;
            let first = config.first_clip(step) + (part * stage.batch) as u64;
            let work = self.replicas.iter_mut().enumerate().map(|(n, replica)| Share {
                replica,
                clips: clips.drain(..share).collect(),
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
            for of_share in together(config, step, stage, work.collect())? {
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
fn together(config: &TrainConfig, step: u64, stage: &Stage, shares: Vec<Share>) -> Result<Vec<Sums>> {
    if shares.len() == 1 {
        return shares.into_iter().map(|share| one_share(config, step, stage, share)).collect();
    }
    std::thread::scope(|scope| {
        let threads: Vec<_> = (shares.into_iter())
            .map(|share| {
                scope.spawn(move || {
                    // Each replica has a core: threads inside operations would only get in each other's way.
                    tch::set_num_threads(1);
                    guarded(|| one_share(config, step, stage, share))?
                })
            })
            .collect();
        let failed = || Error::new(ErrorKind::Compute, format!("step {step}: a replica's thread ended"));
        threads.into_iter().map(|thread| thread.join().map_err(|_| failed())?).collect()
    })
}

fn one_share(config: &TrainConfig, step: u64, stage: &Stage, mut share: Share) -> Result<Sums> {
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
    let plan = Plan::draw(config, stage, count, share.forcing, &mut share.draws);
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
pub struct Sums {
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
    pub fn add(&mut self, predicted: &[Predicted], batch: &Batch, config: &TrainConfig) -> Tensor {
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
                let at_stride = Prediction {
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

    pub fn merge(&mut self, o: &Self) {
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

/// A line of the log from what was added up since the last.
pub fn line(config: &TrainConfig, sums: &Sums, step: u64, norms: f64, elapsed: f64, waited: f64) -> Line {
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
