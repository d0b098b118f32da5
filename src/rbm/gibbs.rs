//! Chains of block Gibbs: on a GPU, or as the f64 twin.

use rayon::prelude::*;

use super::{
    Data, Rbm, Reals, States,
    fields::{Bits, Fields, add_normals, draw},
    gpu::GpuGibbs,
};
use crate::{
    Backend, Error, Result,
    error::{place, room},
    random::{Epochs, Stream, key, threefry},
};

/// Chains of the twin that one thread runs together.
const BATCH: usize = 64;

/// Chains of block Gibbs. A sweep draws all hidden units given the visible ones, then all visible units given the hidden ones.
///
/// The random bits of (seed, chain, sweep, unit) are a pure function, as everywhere in this crate: the chains are the same however
/// many there are, however the sweeps are cut into calls, and, but for rounding at the edge of a draw, on the GPU and the CPU.
///
/// ```
/// # use ergodic::{Backend, rbm::{Gibbs, Rbm}};
/// let rbm = Rbm::new([1.0, -1.0, 0.5, 2.0], [0.0, -0.5], [0.1, 0.0])?; // W [visible][hidden], a, b
/// let mut chains = Gibbs::new(&Backend::cpu(), &rbm, 1_000, 7)?;
/// chains.advance(100)?;
/// println!("{:?}", chains.visible()?.means());
/// # Ok::<(), ergodic::Error>(())
/// ```
#[derive(Debug)]
pub struct Gibbs {
    engine: Engine,
    sds: Option<Vec<f32>>,
    seed: u64,
    sweeps: u64,
}

#[derive(Debug)]
enum Engine {
    Cpu(Box<CpuGibbs>),
    Gpu(Box<GpuGibbs>),
}

impl Gibbs {
    /// `chains` chains; the visible units start as fair coins, Gaussian ones as N(a, σ²).
    ///
    /// # Errors
    /// [`Error::Setting`] without chains; [`Error::Limit`] where they do not fit the device; errors of the device.
    pub fn new(backend: &Backend, rbm: &Rbm, chains: usize, seed: u64) -> Result<Self> {
        if chains == 0 {
            return Err(Error::setting("chains", 0, "must be at least 1"));
        }
        room("chains", chains, rbm.bytes_a_chain())?;
        Self::from_layer(backend, rbm, start(rbm, chains, seed), seed)
    }

    /// A chain from each row of visible values.
    ///
    /// # Errors
    /// [`Error::Shape`] where the rows have not as many units as the machine; [`Error::Setting`] where there are none, or where a binary
    /// unit is neither 0 nor 1; as [`new`](Self::new).
    pub fn start(backend: &Backend, rbm: &Rbm, visible: &impl Data, seed: u64) -> Result<Self> {
        if visible.units() != rbm.visible {
            return Err(Error::shape("visible units of the start", rbm.visible, visible.units()));
        }
        if visible.count() == 0 {
            return Err(Error::setting("chains", 0, "must be at least 1"));
        }
        Self::from_layer(backend, rbm, rbm.layer(visible)?, seed)
    }

    pub(crate) fn from_layer(backend: &Backend, rbm: &Rbm, visible: Layer, seed: u64) -> Result<Self> {
        let sds = rbm.sds.clone();
        let engine = match backend.gpu() {
            Some(gpu) => Engine::Gpu(Box::new(GpuGibbs::new(gpu, rbm, visible)?)),
            None => Engine::Cpu(Box::new(CpuGibbs::new(rbm, visible))),
        };
        Ok(Self { engine, sds, seed, sweeps: 0 })
    }

    /// The marked visible units keep their states from now on: the others are drawn given them. (Inpainting.)
    ///
    /// # Errors
    /// [`Error::Shape`] where there is not one mark a visible unit; errors of the device.
    pub fn clamp(&mut self, marks: &[bool]) -> Result<()> {
        let units = match &self.engine {
            Engine::Cpu(chains) => chains.clamped.len(),
            Engine::Gpu(chains) => chains.visible_units(),
        };
        if marks.len() != units {
            return Err(Error::shape("marks of clamped units", units, marks.len()));
        }
        match &mut self.engine {
            Engine::Cpu(chains) => chains.clamped = marks.to_vec(),
            Engine::Gpu(chains) => chains.clamp(marks)?,
        }
        Ok(())
    }

    /// Runs sweeps.
    ///
    /// # Errors
    /// [`Error::CutShort`] where the driver does not run a layer to its end; errors of the device. The state is then that after
    /// the sweeps counted by [`sweeps`](Self::sweeps).
    pub fn advance(&mut self, sweeps: u64) -> Result<()> {
        match &mut self.engine {
            Engine::Cpu(chains) => {
                chains.advance(self.seed, self.sweeps, sweeps);
                self.sweeps = self.sweeps.saturating_add(sweeps);
                Ok(())
            }
            Engine::Gpu(chains) => chains.advance(self.seed, &mut self.sweeps, sweeps),
        }
    }

    /// Sweeps run so far.
    pub fn sweeps(&self) -> u64 {
        self.sweeps
    }

    /// The visible units, where they are binary.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where they are Gaussian; errors of the device.
    pub fn visible(&self) -> Result<States> {
        match self.visible_layer()? {
            Layer::Bits(states) => Ok(states),
            Layer::Reals { .. } => Err(Error::Unsupported("Gaussian visible units are read by Gibbs::reals".into())),
        }
    }

    /// The visible units, where they are Gaussian, in the units of the data.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where they are binary; errors of the device.
    pub fn reals(&self) -> Result<Reals> {
        match (self.visible_layer()?, &self.sds) {
            (Layer::Reals { units, rows }, Some(sds)) => {
                let values = rows.iter().zip(sds.iter().cycle()).map(|(x, &sd)| (x * f64::from(sd)) as f32);
                Reals::new(values.collect::<Vec<_>>(), units)
            }
            _ => Err(Error::Unsupported("binary visible units are read by Gibbs::visible".into())),
        }
    }

    pub(crate) fn visible_layer(&self) -> Result<Layer> {
        match &self.engine {
            Engine::Cpu(chains) => Ok(chains.visible.clone()),
            Engine::Gpu(chains) => chains.visible(),
        }
    }

    /// The hidden units that the visible ones were drawn from; all zero before the first sweep.
    ///
    /// # Errors
    /// Errors of the device.
    pub fn hidden(&self) -> Result<States> {
        match &self.engine {
            Engine::Cpu(chains) => Ok(chains.hidden.clone()),
            Engine::Gpu(chains) => chains.hidden(),
        }
    }
}

/// Fair coins: the highest bit of the word of (chain, unit).
pub(crate) fn coins(units: usize, chains: usize, seed: u64) -> States {
    let key = key(seed, Stream::Start, 0);
    let groups = chains.div_ceil(32);
    let word = |unit: usize, group: usize| {
        (0..16).fold(0, |word, pair| {
            let [even, odd] = threefry(key, [(16 * group + pair) as u32, unit as u32]);
            word | (even >> 31 | odd >> 31 << 1) << (2 * pair)
        })
    };
    let words: Vec<_> = (0..units * groups).into_par_iter().map(|at| word(at / groups, at % groups)).collect();
    States::from_words(units, chains, words)
}

/// Where chains start: fair coins, or N(a, σ²).
pub(crate) fn start(rbm: &Rbm, chains: usize, seed: u64) -> Layer {
    if rbm.sds.is_none() {
        return Layer::Bits(coins(rbm.visible, chains, seed));
    }
    let bias: Vec<_> = rbm.visible_bias.iter().map(|&a| f64::from(a)).collect();
    let mut rows = rbm.scaled(&bias).repeat(chains);
    add_normals(Bits { key: key(seed, Stream::Start, 0), first_chain: 0, index: 0 }, rbm.visible, &mut rows);
    Layer::Reals { units: rbm.visible, rows }
}

/// The visible units of many chains.
#[derive(Debug, Clone)]
pub(crate) enum Layer {
    Bits(States),
    /// v/σ, `[chain][unit]`.
    Reals {
        units: usize,
        rows: Vec<f64>,
    },
}

impl Layer {
    pub(crate) fn chains(&self) -> usize {
        match self {
            Self::Bits(states) => states.chains(),
            Self::Reals { units, rows } => rows.len() / units,
        }
    }

    pub(crate) fn zeros(rbm: &Rbm, chains: usize) -> Self {
        match rbm.sds {
            None => Self::Bits(States::blank(rbm.visible, chains)),
            Some(_) => Self::Reals { units: rbm.visible, rows: vec![0.0; rbm.visible * chains] },
        }
    }

    /// Some chains, `[chain][unit]`.
    pub(crate) fn rows(&self, chains: std::ops::Range<usize>) -> Vec<f64> {
        match self {
            Self::Bits(states) => states.rows(chains),
            Self::Reals { units, rows } => rows[chains.start * units..chains.end * units].to_vec(),
        }
    }

    pub(crate) fn set_rows(&mut self, first: usize, of: &[f64]) {
        match self {
            Self::Bits(states) => states.set_rows(first, of),
            Self::Reals { units, rows } => rows[first * *units..][..of.len()].copy_from_slice(of),
        }
    }
}

impl Rbm {
    /// What the states of a chain take.
    pub(crate) fn bytes_a_chain(&self) -> usize {
        let visible = if self.sds.is_some() { size_of::<f64>() * self.visible } else { self.visible.div_ceil(8) };
        visible + self.hidden.div_ceil(8)
    }

    /// Visible values as the machine's own units.
    fn layer(&self, visible: &impl Data) -> Result<Layer> {
        let values = visible.rows_of(&(0..visible.count()).collect::<Vec<_>>());
        if self.sds.is_some() {
            return Ok(Layer::Reals { units: self.visible, rows: self.scaled_rows(&values) });
        }
        if let Some(i) = values.iter().position(|&v| v != 0.0 && v != 1.0) {
            let (row, column) = (i / self.visible, i % self.visible);
            return Err(Error::setting(place(row, column), values[i], "must be 0 or 1, as the units are binary"));
        }
        let mut states = States::blank(self.visible, visible.count());
        states.set_rows(0, &values);
        Ok(Layer::Bits(states))
    }
}

/// How sweeps map to random blocks: a block a unit, hidden units first.
pub(crate) fn epochs(rbm_units: usize) -> Epochs {
    Epochs::new(rbm_units as u32)
}

/// The twin.
#[derive(Debug)]
struct CpuGibbs {
    fields: Fields<'static, f64>,
    visible: Layer,
    hidden: States,
    clamped: Vec<bool>,
}

impl CpuGibbs {
    fn new(rbm: &Rbm, visible: Layer) -> Self {
        let hidden = States::blank(rbm.hidden, visible.chains());
        Self { fields: Fields::new(rbm), clamped: vec![false; rbm.visible], visible, hidden }
    }

    fn advance(&mut self, seed: u64, first: u64, sweeps: u64) {
        let (visible, hidden) = (self.clamped.len(), self.hidden.units());
        let slots = visible + hidden;
        let epochs = epochs(slots);
        let clamped: Vec<_> = (0..visible).filter(|&unit| self.clamped[unit]).collect();
        let batches: Vec<_> = (0..self.visible.chains()).step_by(BATCH).collect();
        let run = |&batch: &usize| {
            let chains = batch..(batch + BATCH).min(self.visible.chains());
            let start = self.visible.rows(chains.clone());
            let (mut v, mut h) = (start.clone(), self.hidden.rows(chains));
            for sweep in first..first.saturating_add(sweeps) {
                let index = epochs.step_in_epoch(sweep) * slots as u32;
                let key = key(seed, Stream::Transition, epochs.epoch(sweep));
                let bits = Bits { key, first_chain: batch as u32, index };
                self.fields.hidden(&v, &mut h);
                draw(bits, hidden, &mut h);
                self.fields.visible(&h, &mut v);
                self.fields.draw_visible(Bits { index: index + hidden as u32, ..bits }, &mut v);
                for (row, kept) in v.chunks_mut(visible).zip(start.chunks(visible)) {
                    clamped.iter().for_each(|&unit| row[unit] = kept[unit]);
                }
            }
            (v, h)
        };
        let drawn: Vec<_> = batches.par_iter().map(run).collect();
        for (&batch, (v, h)) in batches.iter().zip(&drawn) {
            self.visible.set_rows(batch, v);
            self.hidden.set_rows(batch, h);
        }
    }
}
