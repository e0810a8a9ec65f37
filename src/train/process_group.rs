//! Communication between the devices that train one network.
//!
//! All devices belong to one process, one thread each. Small values are exchanged through shared
//! memory; gradients on GPUs go through NCCL.

use super::TrainError;
use super::objective::class_statistics::ClassStatistics;
use super::objective::threshold::Thresholds;
use crate::nn::cuda::Comm;
use crate::nn::inplace::AllReduce;
use candle_core::{Result as TensorResult, Tensor};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// One device's contribution to an exchange.
enum Post {
    /// Whether its part of the step went well.
    Ready(bool),
    /// The values of a tensor.
    Values(Vec<f32>),
    /// What its pseudo-labels and predictions have shown so far.
    Learnt(Option<Thresholds>, ClassStatistics),
}

/// The devices of one training: every device contributes a post and receives the posts of all.
pub struct ProcessGroup {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// What was brought to the meeting under way, by rank.
    posts: Vec<Option<Post>>,
    /// The posts of the last meeting.
    last: Arc<Vec<Post>>,
    meetings: u64,
    /// Whether a device left: nobody waits for it.
    left: bool,
}

impl ProcessGroup {
    /// For so many devices.
    pub fn new(size: usize) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                posts: (0..size).map(|_| None).collect(),
                last: Arc::default(),
                meetings: 0,
                left: false,
            }),
            changed: Condvar::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn meet(&self, rank: usize, post: Post) -> Result<Arc<Vec<Post>>, TrainError> {
        let mut state = self.lock();
        state.posts[rank] = Some(post);
        if state.posts.iter().all(Option::is_some) {
            let posts = state.posts.iter_mut().filter_map(Option::take).collect();
            state.last = Arc::new(posts);
            state.meetings += 1;
            self.changed.notify_all();
            return Ok(Arc::clone(&state.last));
        }
        let before = state.meetings;
        while state.meetings == before && !state.left {
            state = (self.changed.wait(state)).unwrap_or_else(PoisonError::into_inner);
        }
        match state.meetings == before {
            true => Err(TrainError::Device(
                "another device of this training is gone; its own error stands above".to_owned(),
            )),
            false => Ok(Arc::clone(&state.last)),
        }
    }
}

/// One device's place among all.
pub struct Rank {
    group: Arc<ProcessGroup>,
    rank: usize,
    /// The link between GPUs; without it gradients go through the machine's memory.
    link: Option<Comm>,
}

impl Rank {
    /// Number `rank` of a group; every number must be taken once.
    pub fn new(group: &Arc<ProcessGroup>, rank: usize) -> Self {
        Self {
            group: Arc::clone(group),
            rank,
            link: None,
        }
    }

    /// What this device came to, if every device came to something. All must call it.
    ///
    /// **Errors** as `own`, when another device failed, or when one is gone.
    pub fn agree<T>(&self, own: Result<T, TrainError>) -> Result<T, TrainError> {
        let posts = self.group.meet(self.rank, Post::Ready(own.is_ok()));
        let own = own?;
        let ready = |post: &Post| matches!(post, Post::Ready(true));
        match posts?.iter().all(ready) {
            true => Ok(own),
            false => Err(TrainError::Device(
                "another device of this training failed".to_owned(),
            )),
        }
    }

    /// From now on gradients go through this link.
    pub(crate) fn link(&mut self, link: Comm) {
        self.link = Some(link);
    }

    /// The tensor becomes its mean over all devices. All must call it, in the same order.
    ///
    /// **Errors** when a device is gone, shapes differ or NCCL refuses.
    pub fn average(&self, tensor: &mut Tensor) -> TensorResult<()> {
        if let Some(link) = &self.link {
            return tensor.inplace_op1(&AllReduce(link));
        }
        let own: Vec<f32> = tensor.flatten_all()?.to_vec1()?;
        let count = own.len();
        let posts = self.group.meet(self.rank, Post::Values(own));
        let posts = posts.map_err(candle_core::Error::wrap)?;
        // In the order of the ranks, so that all devices come to the same bits.
        let mut sum = vec![0f32; count];
        for post in posts.iter() {
            match post {
                Post::Values(values) if values.len() == count => {
                    sum.iter_mut().zip(values).for_each(|(s, v)| *s += v);
                }
                _ => candle_core::bail!("devices of one training are not at the same tensor"),
            }
        }
        let share = 1.0 / posts.len() as f32;
        sum.iter_mut().for_each(|s| *s *= share);
        *tensor = Tensor::from_vec(sum, tensor.shape(), tensor.device())?;
        Ok(())
    }

    /// Makes one of what the devices have seen. All must call it.
    ///
    /// **Errors** when a device is gone.
    pub fn share(
        &self,
        thresholds: &mut Option<Thresholds>,
        statistics: &mut ClassStatistics,
    ) -> Result<(), TrainError> {
        let own = Post::Learnt(thresholds.clone(), statistics.clone());
        let posts = self.group.meet(self.rank, own)?;
        let learnt = || {
            posts.iter().filter_map(|post| match post {
                Post::Learnt(thresholds, statistics) => Some((thresholds, statistics)),
                _ => None,
            })
        };
        let all: Vec<&Thresholds> = learnt().filter_map(|(t, _)| t.as_ref()).collect();
        *thresholds = Thresholds::mean(&all);
        *statistics = ClassStatistics::mean(&learnt().map(|(_, s)| s).collect::<Vec<_>>());
        Ok(())
    }
}

impl Drop for Rank {
    fn drop(&mut self) {
        self.group.lock().left = true;
        self.group.changed.notify_all();
    }
}
