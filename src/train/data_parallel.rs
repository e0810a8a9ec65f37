//! Data-parallel training: one copy of the network on each device.

use super::TrainError;
use super::checkpoint::{State, restore};
use super::figures::{Figure, Sums};
use super::process_group::{ProcessGroup, Rank};
use super::trainer::{StepRows, Trainer, TrainerConfig};
use crate::nn::cuda::{self, Comm, CommId};
use candle_core::{Device, Tensor};
use serde::de::DeserializeOwned;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

/// The trainers of all devices. They hold the same weights after every step.
pub struct DataParallel {
    /// The trainer of the first device, whose weights are validated and kept.
    pub first: Trainer,
    replicas: Vec<Replica>,
}

/// The trainer of a further device, in its own thread.
struct Replica {
    /// Closed when the trainers shut down, which ends the thread.
    jobs: Option<Sender<Job>>,
    done: Receiver<Reply>,
    thread: Option<JoinHandle<()>>,
}

/// The result of a job; only a step has figures.
type Reply = Result<Sums, TrainError>;

enum Job {
    Step(Vec<StepRows>),
    Begin(Arc<Vec<(String, Tensor)>>, Vec<String>),
    Restore(PathBuf),
}

impl DataParallel {
    /// A trainer on each device; with several CUDA devices NCCL links them.
    ///
    /// **Errors** when a network cannot be built, or devices cannot be linked.
    pub fn new(config: &TrainerConfig, devices: &[Device]) -> Result<Self, TrainError> {
        let Some((device, rest)) = devices.split_first() else {
            return Err(TrainError::Device(
                "no device is given to train on".to_owned(),
            ));
        };
        if rest.is_empty() {
            let first = Trainer::new(config.clone(), device)?;
            return Ok(Self {
                first,
                replicas: Vec::new(),
            });
        }
        let group = ProcessGroup::new(devices.len());
        let id = match devices.iter().all(Device::is_cuda) {
            true => Some(CommId::new()?),
            false => None,
        };
        let config_of = |rank: usize, device: &Device| ReplicaConfig {
            device: device.clone(),
            group: Arc::clone(&group),
            rank,
            size: devices.len(),
            id,
        };
        let replicas: Vec<Replica> = (rest.iter().enumerate())
            .map(|(i, device)| Replica::start(config.clone(), config_of(i + 1, device)))
            .collect::<Result<_, _>>()?;
        // Devices meet on the way, so the replicas' threads must run already.
        let first = config_of(0, device).join(config.clone());
        let (first, _) = both(first, replies(&replicas))?;
        Ok(Self { first, replicas })
    }

    /// One optimiser step: every device takes its share of the rows of each batch.
    ///
    /// Losses are means over the devices; fractions of voxels are of all their voxels.
    ///
    /// **Errors** as [`Trainer::train`], when rows cannot be shared evenly, or a device's share has
    /// no two rows to mix by CutMix.
    pub fn train(&mut self, batches: Vec<StepRows>) -> Result<Vec<Figure>, TrainError> {
        if self.replicas.is_empty() {
            return self.first.train(&batches);
        }
        let shares = split(batches, self.replicas.len() + 1)?;
        if self.first.mixes_rows() && shares.iter().flatten().any(|r| r.unlabelled.len() == 1) {
            return Err(TrainError::Device(format!(
                "`cutmix` mixes rows of one device, and {} devices get one unlabelled row each; make `train.batch.unlabelled` {} or more",
                shares.len(),
                2 * shares.len()
            )));
        }
        let mut shares = shares.into_iter();
        let own = shares.next().unwrap_or_default();
        for (replica, share) in self.replicas.iter().zip(shares) {
            replica.send(Job::Step(share))?;
        }
        let mine = self.first.advance(&own, self.first.lr());
        let (mine, theirs) = both(mine, replies(&self.replicas))?;
        Ok(self.first.figures(&mine.with(&theirs)))
    }

    /// As [`Trainer::expect`]; of several devices each makes its own share when its step comes.
    pub fn expect(&mut self, rows: Vec<StepRows>) {
        if self.replicas.is_empty() {
            self.first.expect(rows);
        }
    }

    /// As [`Trainer::begin_with`], on every device.
    ///
    /// **Errors** as there.
    pub fn begin_with(
        &mut self,
        weights: Vec<(String, Tensor)>,
        skip: &[String],
    ) -> Result<(usize, usize), TrainError> {
        let taken = self.first.begin_with(&weights, skip)?;
        let weights = Arc::new(weights);
        for replica in &self.replicas {
            replica.send(Job::Begin(Arc::clone(&weights), skip.to_vec()))?;
        }
        replies(&self.replicas)?;
        Ok(taken)
    }

    /// As [`restore`], on every device.
    ///
    /// **Errors** as there.
    pub fn restore<P: DeserializeOwned>(&mut self, folder: &Path) -> Result<State<P>, TrainError> {
        let state = restore(folder, &mut self.first)?;
        for replica in &self.replicas {
            replica.send(Job::Restore(folder.to_owned()))?;
        }
        replies(&self.replicas)?;
        Ok(state)
    }
}

/// Waits for one reply from every replica, also if one of them failed.
fn replies(replicas: &[Replica]) -> Result<Vec<Sums>, TrainError> {
    let gone = |_| Err(TrainError::Device("a device's thread ended".to_owned()));
    let replies: Vec<Reply> = (replicas.iter())
        .map(|replica| replica.done.recv().unwrap_or_else(gone))
        .collect();
    let of_devices = |r: &Reply| matches!(r, Err(TrainError::Device(_)));
    let (of_device, mut real): (Vec<_>, Vec<_>) = replies.into_iter().partition(of_devices);
    real.extend(of_device);
    real.into_iter().collect()
}

/// The results of the first device and of the replicas.
///
/// **Errors** with the failing device's own error; the other devices only know that one failed.
fn both<A, B>(
    mine: Result<A, TrainError>,
    theirs: Result<B, TrainError>,
) -> Result<(A, B), TrainError> {
    match (mine, theirs) {
        (Ok(mine), Ok(theirs)) => Ok((mine, theirs)),
        (Err(TrainError::Device(_)), Err(e)) | (Err(e), _) | (_, Err(e)) => Err(e),
    }
}

/// What one replica needs to build its trainer and to join the others.
struct ReplicaConfig {
    device: Device,
    group: Arc<ProcessGroup>,
    rank: usize,
    size: usize,
    id: Option<CommId>,
}

impl Replica {
    fn start(config: TrainerConfig, replica: ReplicaConfig) -> Result<Self, TrainError> {
        let ((jobs, received), (replies, done)) = (channel(), channel());
        let thread = std::thread::Builder::new()
            .name(format!("device-{}", replica.rank))
            .spawn(move || {
                let mut trainer = match replica.join(config) {
                    Ok(trainer) => trainer,
                    Err(e) => return replies.send(Err(e)).unwrap_or_default(),
                };
                // The receiver is gone once the trainers have shut down.
                let mut listened = replies.send(Ok(Sums::default())).is_ok();
                while let (true, Ok(job)) = (listened, received.recv()) {
                    listened = replies.send(execute(&mut trainer, job)).is_ok();
                }
            })
            .map_err(|e| TrainError::Device(format!("a device's thread cannot start: {e}")))?;
        Ok(Self {
            jobs: Some(jobs),
            done,
            thread: Some(thread),
        })
    }

    fn send(&self, job: Job) -> Result<(), TrainError> {
        let sent = self.jobs.as_ref().map(|jobs| jobs.send(job));
        match sent {
            Some(Ok(())) => Ok(()),
            _ => Err(TrainError::Device("a device's thread ended".to_owned())),
        }
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            // A panic was reported by its thread.
            thread.join().unwrap_or_default();
        }
    }
}

impl ReplicaConfig {
    /// Builds the replica's trainer and joins the process group.
    ///
    /// **Errors** if the network cannot be built on any device, or the devices cannot be linked.
    fn join(&self, config: TrainerConfig) -> Result<Trainer, TrainError> {
        let mut rank = Rank::new(&self.group, self.rank);
        // NCCL blocks until every device has joined, so no replica may start alone.
        let mut trainer = rank.agree(self.alone(config))?;
        if let Some(id) = self.id {
            rank.link(Comm::new(&self.device, self.rank, self.size, id)?);
        }
        trainer.rank = Some(rank);
        Ok(trainer)
    }

    fn alone(&self, config: TrainerConfig) -> Result<Trainer, TrainError> {
        if self.device.is_cuda() {
            cuda::bind(&self.device)?;
        }
        Trainer::new(config, &self.device)
    }
}

fn execute(trainer: &mut Trainer, job: Job) -> Reply {
    match job {
        Job::Step(batches) => trainer.advance(&batches, trainer.lr()),
        Job::Begin(weights, skip) => trainer.begin_with(&weights, &skip).map(|_| Sums::default()),
        Job::Restore(folder) => {
            restore::<serde_json::Value>(&folder, trainer).map(|_| Sums::default())
        }
    }
}

/// The rows of each batch in `parts` equal shares: row `i` belongs to part `i` modulo `parts`.
///
/// **Errors** when they cannot be shared evenly.
fn split(batches: Vec<StepRows>, parts: usize) -> Result<Vec<Vec<StepRows>>, TrainError> {
    let mut shares: Vec<Vec<StepRows>> = (0..parts).map(|_| Vec::new()).collect();
    for rows in batches {
        let counts = (rows.labelled.len(), rows.unlabelled.len());
        if counts.0 % parts != 0 || counts.1 % parts != 0 {
            return Err(TrainError::Device(format!(
                "{} labelled and {} unlabelled rows a step cannot be shared by {parts} devices; make `train.batch.labelled` and `train.batch.unlabelled` multiples of {parts}",
                counts.0, counts.1
            )));
        }
        for share in &mut shares {
            share.push(StepRows::default());
        }
        for (i, row) in rows.labelled.into_iter().enumerate() {
            if let Some(share) = shares[i % parts].last_mut() {
                share.labelled.push(row);
            }
        }
        for (i, row) in rows.unlabelled.into_iter().enumerate() {
            if let Some(share) = shares[i % parts].last_mut() {
                share.unlabelled.push(row);
            }
        }
    }
    Ok(shares)
}
