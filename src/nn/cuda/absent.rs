//! The CUDA side of a build without the feature `cuda`: the same functions, each with the same answer.
//!
//! No tensor can lie on a CUDA device in such a build, so nothing here is reached but [`open`].

use super::adamw::Constants;
use super::conv3d::{Pass, Sizes};
use super::{dice_ce, norm_act};
use candle_core::{CudaStorage, Device, Error, Layout, Result, Shape, Tensor};
use std::collections::BTreeMap;
use std::convert::Infallible;

/// What every function here says.
const ABSENT: &str = "built without CUDA; rebuild with `--features cuda`, or say `--device cpu`";

/// A tensor as operators get it.
pub(super) type Arg<'a> = (&'a CudaStorage, &'a Layout);

fn absent<T>() -> Result<T> {
    Err(Error::msg(ABSENT))
}

/// Nothing can be made of it.
pub(super) struct Table(Infallible);

/// Nothing can be made of it.
pub(super) struct LossState(Infallible);

/// Nothing can be made of it.
pub(super) struct Moments(Infallible);

impl Moments {
    pub(super) fn new(_: &CudaStorage, _: &[f32], _: &[f32]) -> Result<Self> {
        absent()
    }

    pub(super) fn values(&self, _: &Device) -> Result<[Vec<f32>; 2]> {
        match self.0 {}
    }
}

/// What a device is and holds.
#[derive(Debug, Clone)]
pub(crate) struct Figures {
    pub(crate) name: String,
    pub(crate) driver: i32,
    pub(crate) cudnn: usize,
    pub(crate) total: usize,
    pub(crate) peak: u64,
}

pub(crate) fn open(_: usize) -> std::result::Result<Device, String> {
    Err(ABSENT.to_owned())
}

pub(crate) fn figures(_: &Device) -> Result<Figures> {
    absent()
}

pub(crate) fn synchronize(_: &Device) -> Result<()> {
    absent()
}

pub(crate) fn upload<T>(_: &[T], _: impl Into<Shape>, _: &Device) -> Result<Tensor> {
    absent()
}

/// How a convolution may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    #[expect(
        dead_code,
        reason = "the choice without a wish, which only a device makes"
    )]
    Best,
    Thin,
    Graph,
    Legacy,
    Plain,
}

/// What was chosen for a shape.
#[derive(Debug, Clone)]
pub(crate) struct Choice {
    pub(crate) way: Way,
    pub(crate) engine: i64,
    pub(crate) workspace: usize,
    pub(crate) measured: String,
}

/// What `go` computes; there is one way here.
pub(crate) fn by_way<T>(_: Way, go: impl FnOnce() -> Result<T>) -> Result<T> {
    go()
}

pub(crate) fn choice(_: Pass, _: Sizes, _: bool, _: Way) -> Option<Choice> {
    None
}

pub(crate) fn has_thin(_: Pass, _: Sizes, _: bool) -> bool {
    false
}

/// Device time of one family of operators.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Share {
    pub(crate) launches: usize,
    pub(crate) milliseconds: f64,
}

pub(crate) fn profiled<T, E: From<Error>>(
    _: &Device,
    _: impl FnOnce() -> std::result::Result<T, E>,
) -> std::result::Result<(T, BTreeMap<&'static str, Share>), E> {
    Err(Error::msg(ABSENT).into())
}

pub(super) fn conv3d(_: &str, _: Pass, _: Sizes, _: Arg<'_>, _: Arg<'_>) -> Result<CudaStorage> {
    absent()
}

pub(super) fn max_pool3d(_: &str, _: [usize; 5], _: [usize; 3], _: Arg<'_>) -> Result<CudaStorage> {
    absent()
}

pub(super) fn max_pool3d_gradient(
    _: &str,
    _: [usize; 5],
    _: [usize; 3],
    _: [Arg<'_>; 3],
) -> Result<CudaStorage> {
    absent()
}

pub(super) fn permute_blocks(
    _: &str,
    _: [usize; 5],
    _: [usize; 3],
    _: bool,
    _: Arg<'_>,
) -> Result<CudaStorage> {
    absent()
}

pub(super) fn join_blocks(
    _: &str,
    _: [usize; 5],
    _: [usize; 3],
    _: [Arg<'_>; 2],
) -> Result<CudaStorage> {
    absent()
}

pub(super) fn part_blocks(
    _: &str,
    _: [usize; 5],
    _: [usize; 3],
    _: usize,
    _: Arg<'_>,
) -> Result<[CudaStorage; 2]> {
    absent()
}

pub(super) fn add_bias(_: &str, _: Arg<'_>, _: Arg<'_>) -> Result<CudaStorage> {
    absent()
}

pub(super) fn column_sums(_: &str, _: Arg<'_>, _: usize) -> Result<CudaStorage> {
    absent()
}

pub(super) fn norm_act(
    _: &str,
    _: &norm_act::Problem,
    _: Arg<'_>,
    _: Arg<'_>,
    _: Arg<'_>,
) -> Result<(CudaStorage, Table)> {
    absent()
}

pub(super) fn norm_act_again(
    _: &str,
    _: &norm_act::Problem,
    table: &Table,
    _: Arg<'_>,
) -> Result<CudaStorage> {
    match table.0 {}
}

pub(super) fn norm_act_sums(
    _: &str,
    _: &norm_act::Problem,
    table: &Table,
    _: [Arg<'_>; 3],
) -> Result<(CudaStorage, Table)> {
    match table.0 {}
}

pub(super) fn norm_act_input(
    _: &str,
    _: &norm_act::Problem,
    (table, _): (&Table, &Table),
    _: [Arg<'_>; 2],
) -> Result<CudaStorage> {
    match table.0 {}
}

pub(super) fn dice_ce(
    _: &str,
    _: &dice_ce::Problem,
    _: &dice_ce::DiceCe,
    _: Arg<'_>,
    _: Arg<'_>,
) -> Result<(CudaStorage, LossState)> {
    absent()
}

pub(super) fn dice_ce_gradient(
    _: &str,
    _: &dice_ce::Problem,
    state: &LossState,
    _: [Arg<'_>; 3],
) -> Result<CudaStorage> {
    match state.0 {}
}

pub(super) fn blend(
    _: &str,
    _: (&mut CudaStorage, &Layout),
    _: Arg<'_>,
    _: (f32, f32),
) -> Result<()> {
    absent()
}

pub(super) fn scale(_: &str, _: (&mut CudaStorage, &Layout), _: f32) -> Result<()> {
    absent()
}

pub(super) fn adamw(
    _: &str,
    _: (&mut CudaStorage, &Layout),
    _: Arg<'_>,
    moments: &mut Moments,
    _: &Constants,
) -> Result<()> {
    match moments.0 {}
}

/// Nothing can be made of it.
#[derive(Clone, Copy)]
pub(crate) struct CommId(Infallible);

impl CommId {
    pub(crate) fn new() -> Result<Self> {
        absent()
    }
}

/// Nothing can be made of it.
pub(crate) struct Comm(Infallible);

impl Comm {
    pub(crate) fn new(_: &Device, _: usize, _: usize, id: CommId) -> Result<Self> {
        match id.0 {}
    }
}

pub(crate) fn bind(_: &Device) -> Result<()> {
    absent()
}

pub(super) fn all_reduce(_: &str, comm: &Comm, _: (&mut CudaStorage, &Layout)) -> Result<()> {
    match comm.0 {}
}

pub(super) fn sum_of_squares(_: &str, _: &[Arg<'_>]) -> Result<f64> {
    absent()
}
