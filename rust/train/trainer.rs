//! One optimizer step: clips to replicas, forward and backward together, one update.

use crate::error::{Error, ErrorKind, Result};
use crate::model::{weights, Sam2};
use crate::session::{choose_precision, guarded};
use crate::train::batch::Batch;
use crate::train::config::{Reduction, Stage, TrainConfig};
use crate::train::feed::{Feed, Part};
use crate::train::flat::{Named, WeightLayout};
use crate::train::log::LogLine;
use crate::train::loss::{slice_loss, Prediction};
use crate::train::optimizer::AdamW;
use crate::train::plan::ClipPlan;
use crate::train::unroll::{unroll, SlicePredictions};
use crate::train::{rng, Purpose, Rng};
use std::collections::BTreeMap;
use tch::nn::VarStore;
use tch::{Device, Kind, Tensor};

/// A copy of the network with weights of its own.
pub struct Replica {
    variables: VarStore,
    /// All weights; the variables are views of it.
    weights: Tensor,
    layout: WeightLayout,
    /// The network.
    pub network: Sam2,
}

/// The first replica's weights are the run's; the others follow it.
pub struct Trainer<'a> {
    config: &'a TrainConfig,
    /// Where it computes.
    pub device: Device,
    replicas: Vec<Replica>,
    /// The optimizer, with its moments and the average.
    pub optimizer: AdamW,
    /// Number of the present stage.
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
    let layout = WeightLayout::of(&variables);
    let weights = layout.gather(&mut variables);
    Ok(Replica { variables, weights, layout, network })
}

fn build_all(config: &TrainConfig, stage: usize, values: &Named, device: Device) -> Result<Vec<Replica>> {
    (0..config.replicas).map(|_| build(config, stage, values, device)).collect()
}

impl<'a> Trainer<'a> {
    /// A trainer that goes on after `step` steps with the weights `values`.
    ///
    /// # Errors
    /// `Checkpoint` where the weights do not fit the network.
    pub fn new(config: &'a TrainConfig, step: u64, values: &Named, device: Device) -> Result<Self> {
        let (stage, _) = config.stage(step);
        let replicas = build_all(config, stage, values, device)?;
        let optimizer = AdamW::new(&replicas[0].variables, &replicas[0].weights, &config.optimizer);
        Ok(Self { config, device, replicas, optimizer, stage })
    }

    /// The weights by name.
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

    /// One optimizer step; `feed` gives its parts.
    pub fn step(&mut self, step: u64, feed: &mut Feed) -> Result<(Sums, f64)> {
        let config = self.config;
        let (stage, share) = config.stage(step);
        if stage != self.stage {
            self.enter(stage)?;
        }
        let stage = &config.stages[stage];
        let forcing = stage.teacher_forcing[0] + (stage.teacher_forcing[1] - stage.teacher_forcing[0]) * share;
        let mut sums = Sums::default();
        let mut gradient: Option<Tensor> = None;
        for part in 0..stage.accumulate {
            let Part { first, batches, .. } = feed.take()?;
            let count = stage.batch / config.replicas;
            let work = self.replicas.iter_mut().zip(batches).enumerate().map(|(n, (replica, batch))| ReplicaWork {
                replica,
                batch,
                forcing,
                draws: rng(
                    config.seed,
                    Purpose::Step,
                    (step * stage.accumulate as u64 + part as u64) * MAX_REPLICAS + n as u64,
                ),
                first: first + (n * count) as u64,
                scale: 1.0 / (stage.accumulate * config.replicas) as f64,
            });
            for (of_share, its_gradient) in forward_backward(config, step, stage, work.collect())? {
                sums.merge(&of_share);
                gradient = Some(match gradient {
                    Some(sum) => sum + its_gradient,
                    None => its_gradient,
                });
            }
        }
        let rate = config.optimizer.rate_at((step + 1) as f64 / config.steps() as f64);
        let (leader, followers) = self.replicas.split_first_mut().expect("at least one replica");
        let gradient = gradient.unwrap_or_else(|| leader.weights.zeros_like());
        let norm = self.optimizer.step(&mut leader.weights, gradient, rate, step + 1, &config.optimizer);
        if !norm.is_finite() {
            let first = config.first_clip(step);
            return Err(Error::new(
                ErrorKind::Compute,
                format!("step {step}: the gradient is not a finite number, on the clips from {first}; the last checkpoint is kept"),
            ));
        }
        followers.iter_mut().for_each(|follower| follower.weights.copy_(&leader.weights));
        Ok((sums, norm))
    }
}

/// More replicas than any machine has: keeps their draws apart.
const MAX_REPLICAS: u64 = 64;

/// The part of a step that one replica computes.
struct ReplicaWork<'a> {
    replica: &'a mut Replica,
    batch: Batch,
    forcing: f64,
    draws: Rng,
    /// Number of its first clip.
    first: u64,
    scale: f64,
}

/// Forward and backward pass of all replicas, each in a thread of its own: what is logged, and the gradient.
fn forward_backward(
    config: &TrainConfig,
    step: u64,
    stage: &Stage,
    shares: Vec<ReplicaWork>,
) -> Result<Vec<(Sums, Tensor)>> {
    if shares.len() == 1 {
        return shares.into_iter().map(|share| replica_step(config, step, stage, share)).collect();
    }
    std::thread::scope(|scope| {
        let threads: Vec<_> = (shares.into_iter())
            .map(|share| {
                scope.spawn(move || {
                    // Each replica has a core: threads inside operations would only get in each other's way.
                    tch::set_num_threads(1);
                    guarded(|| replica_step(config, step, stage, share))?
                })
            })
            .collect();
        let failed = || Error::new(ErrorKind::Compute, format!("step {step}: a replica's thread ended"));
        threads.into_iter().map(|thread| thread.join().map_err(|_| failed())?).collect()
    })
}

fn replica_step(config: &TrainConfig, step: u64, stage: &Stage, mut share: ReplicaWork) -> Result<(Sums, Tensor)> {
    let Replica { variables, layout, network, .. } = &*share.replica;
    let (count, length, _) = share.batch.size();
    let plan = ClipPlan::draw(config, stage, count as usize, share.forcing, &mut share.draws);
    let predicted = unroll(network, &share.batch, &plan, &mut share.draws);
    let loss = loss_along(&predicted, &share.batch, config);
    let gradient = layout.gradients(&(&loss.total * share.scale), variables);
    let sums = Sums::read(&loss, (count * length) as f64);
    if !sums.loss.is_finite() {
        let (first, last) = (share.first, share.first + count as u64 - 1);
        let what = format!(
            "step {step}: the loss is not a finite number, on clips {first} to {last}; the last checkpoint is kept"
        );
        return Err(Error::new(ErrorKind::Compute, what));
    }
    Ok((sums, gradient))
}

/// The loss of a batch along its slices.
pub struct LossAlong {
    /// The loss, with gradients.
    pub total: Tensor,
    /// What is logged of each prediction, [N, 7]: focal, dice, IoU, object, IoU of the best masks (sum and count),
    /// presence right.
    parts: Tensor,
}

/// The loss of all predictions.
pub fn loss_along(predicted: &[SlicePredictions], batch: &Batch, config: &TrainConfig) -> LossAlong {
    let (mut totals, mut parts) = (Vec::new(), Vec::new());
    for slice in predicted {
        let truth = batch.truth(slice.t, config.loss.stride);
        let side = truth.size()[3];
        for step in &slice.rounds {
            let logits = step.logits.to_kind(Kind::Float);
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
            let [best_iou, present] = losses.best_iou;
            parts.push(
                Tensor::stack(
                    &[losses.focal, losses.dice, losses.iou, losses.object, best_iou, present, losses.presence_right],
                    0,
                )
                .detach(),
            );
            totals.push(losses.total);
        }
    }
    if totals.is_empty() {
        return LossAlong { total: Tensor::from(0f32), parts: Tensor::zeros([0, 7], (Kind::Float, Device::Cpu)) };
    }
    let total = Tensor::stack(&totals, 0).sum(Kind::Float);
    let total = match config.loss.reduction {
        Reduction::Sum => total,
        Reduction::Mean => total / totals.len() as f64,
    };
    LossAlong { total, parts: Tensor::stack(&parts, 0) }
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
    best_iou: [f64; 2],
    presence_right: f64,
    slices: f64,
    clip_slices: f64,
}

impl Sums {
    /// Of one batch, of so many slices in all. Waits for the device, once.
    fn read(loss: &LossAlong, clip_slices: f64) -> Self {
        let slices = loss.parts.size()[0];
        let sums = loss.parts.sum_dim_intlist([0i64].as_slice(), false, Kind::Float);
        let all = Tensor::cat(&[loss.total.detach().reshape([1]), sums], 0).to_kind(Kind::Double);
        let all = Vec::<f64>::try_from(all.to_device(Device::Cpu)).expect("a flat tensor is a vector");
        Self {
            steps: 1.0,
            loss: all[0],
            focal: all[1],
            dice: all[2],
            iou: all[3],
            object: all[4],
            best_iou: [all[5], all[6]],
            presence_right: all[7],
            slices: slices as f64,
            clip_slices,
        }
    }

    /// Adds the sums of another part.
    pub fn merge(&mut self, o: &Self) {
        for (a, b) in [
            (&mut self.steps, o.steps),
            (&mut self.loss, o.loss),
            (&mut self.focal, o.focal),
            (&mut self.dice, o.dice),
            (&mut self.iou, o.iou),
            (&mut self.object, o.object),
            (&mut self.presence_right, o.presence_right),
            (&mut self.slices, o.slices),
            (&mut self.clip_slices, o.clip_slices),
        ] {
            *a += b;
        }
        self.best_iou = [self.best_iou[0] + o.best_iou[0], self.best_iou[1] + o.best_iou[1]];
    }
}

/// A line of the log from what was added up since the last.
pub fn line(config: &TrainConfig, sums: &Sums, step: u64, grad_norms: f64, elapsed: f64, data_wait: f64) -> LogLine {
    let (slices, steps) = (sums.slices.max(1.0), sums.steps.max(1.0));
    let (stage, _) = config.stage(step - 1);
    LogLine {
        step,
        stage,
        learning_rate: config.optimizer.rate_at(step as f64 / config.steps() as f64),
        loss: sums.loss / steps,
        focal: sums.focal / slices,
        dice: sums.dice / slices,
        iou: sums.iou / slices,
        object: sums.object / slices,
        best_mask_iou: sums.best_iou[0] / sums.best_iou[1].max(1.0),
        presence_accuracy: sums.presence_right / slices,
        grad_norm: grad_norms / (steps / (config.stages[stage].accumulate * config.replicas) as f64).max(1.0),
        slices_per_second: sums.clip_slices / elapsed.max(1e-9),
        data_wait_fraction: data_wait / elapsed.max(1e-9),
        skipped: 0,
        validation: BTreeMap::new(),
    }
}
