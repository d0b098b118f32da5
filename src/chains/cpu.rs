//! The CPU reference: the same transitions in f64 from the same random bits, one plain loop a chain.

mod checkpoint;
mod gathered;
mod slice;
mod trial;

use std::{
    borrow::Cow,
    fmt,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use rayon::prelude::*;

use self::gathered::{Gathered, Weight};
pub(crate) use self::slice::{gradients, next_steps};
use super::{
    Chains, Collect, Report, Setup, Tally,
    collect::{Collecting, collect},
    moments::Moments,
    progress::{Call, Phase},
    report::Clock,
    rows::Rows,
    summary::Summary,
    tally::Ledger,
};
use crate::{
    Error, Result, Warmup,
    adapt::{self, Adapted, Adapting as _},
    check,
    energy::{Energy, Params},
    kernel::{End, Kernel, State},
    random::Epochs,
    store::{BATCH_BYTES, Sink, Storing},
};

/// Chains on the CPU, in f64, in parallel over chains (rayon).
pub struct CpuChains {
    setup: Setup,
    target: Arc<dyn Energy>,
    kernel: Arc<dyn Kernel>,
    params: Vec<f32>,
    kernel_params: Vec<f32>,
    states: Vec<State>,
    /// What the last collection has, chain by chain.
    gathered: Vec<Gathered>,
    /// Which end of its ladder each state visited last.
    ends: Vec<End>,
    weights: Vec<Weight>,
    starts_at_one_point: bool,
    stopped: Vec<bool>,
    ledger: Ledger,
    clock: Clock,
    adapted: Adapted,
    /// The clock at the end of the warm-up.
    warmed_up: Clock,
    /// The clock when the last collection began.
    begun: Clock,
    slice_steps: u64,
    /// When the run was last saved, or built.
    saved: Instant,
}

/// Bytes of a chain: its state, its start in f32, and the moments of a collection.
fn bytes_a_chain(setup: &Setup) -> u64 {
    let dim = setup.target.dim();
    let watched = Rows::new(dim, &*setup.kernel).watched();
    let structs = size_of::<State>() + size_of::<Gathered>() + size_of::<Weight>() + size_of::<End>();
    (structs + 8 * (3 * dim + 2 * watched) + 4 * dim) as u64
}

impl fmt::Debug for CpuChains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.setup.fmt_as("CpuChains", self.clock.steps, f)
    }
}

impl CpuChains {
    /// Checks the setup and evaluates the energy where the chains start.
    ///
    /// # Errors
    /// As [`Setup::build`].
    pub fn new(setup: Setup) -> Result<Self> {
        setup.check_settings()?;
        setup.check_memory(bytes_a_chain(&setup), true)?;
        let (start, starts_at_one_point) = setup.starts()?;
        let mut chains = Self::without_states(setup)?;
        chains.states = chains.states_at(&start)?;
        chains.starts_at_one_point = starts_at_one_point;
        Ok(chains)
    }

    /// Chains that have no states yet.
    fn without_states(setup: Setup) -> Result<Self> {
        let (target, kernel) = (setup.target.clone(), setup.kernel.clone());
        if !target.has_twin() {
            return Err(Error::Unsupported(format!(
                "{} is given as WGSL text alone and has no f64 twin, so it runs on a GPU only; implement the trait Energy for it",
                target.name()
            )));
        }
        let clock = Clock { steps: setup.first_step, ..Clock::default() };
        Ok(Self {
            kernel_params: kernel.params(target.dim()),
            params: target.params(),
            stopped: vec![false; setup.chains],
            gathered: Vec::new(),
            ends: vec![End::default(); setup.chains],
            weights: vec![Weight::default(); setup.chains],
            starts_at_one_point: false,
            begun: clock,
            ledger: Ledger::new(setup.chains),
            clock,
            adapted: Adapted::default(),
            warmed_up: clock,
            slice_steps: 1,
            saved: Instant::now(),
            setup,
            target,
            kernel,
            states: Vec::new(),
        })
    }

    /// The states in which chains start, with the energy evaluated.
    fn states_at(&self, start: &[f32]) -> Result<Vec<State>> {
        let (setup, target, kernel) = (&self.setup, &*self.target, &*self.kernel);
        let (dim, chains) = (target.dim(), setup.chains);
        let momenta = if kernel.carries_momentum() { setup.momenta() } else { Vec::new() };
        if target.check_gradient() && kernel.uses_grad() {
            check::twin(target, start, chains, setup.seed)?;
        }
        let at_start = |chain: usize| {
            let mut state = State::zeros(dim);
            for i in 0..dim {
                state.x[i] = f64::from(start[i * chains + chain]);
                state.momentum[i] = momenta.get(i * chains + chain).map_or(0.0, |&p| f64::from(p));
            }
            state
        };
        let mut states: Vec<_> = (0..chains).map(at_start).collect();
        self.evaluate(&mut states)?;
        Ok(states)
    }

    /// Energy and gradient of states, for the next step.
    fn evaluate(&self, states: &mut [State]) -> Result<()> {
        let (setup, target, uses_grad) = (&self.setup, &*self.target, self.kernel.uses_grad());
        let params = Params::new(&self.params).at_noise(setup.noise_variance(self.clock.steps));
        let evaluate = |(chain, state): (usize, &mut State)| {
            state.energy = if uses_grad {
                target.energy_and_grad(params, &state.x, &mut state.grad)
            } else {
                target.energy(params, &state.x)
            };
            check::start(u64::from(setup.first_chain) + chain as u64, state.energy, state.grad.iter().copied())
        };
        states.par_iter_mut().enumerate().try_for_each(evaluate)
    }

    /// Takes other parameters, and other positions where there are some, and evaluates the energy.
    fn go_on_with(&mut self, params: &[f32], positions: Option<&[f32]>) -> Result<()> {
        self.setup.set_params(params)?;
        if let Some(positions) = positions {
            let chains = self.states.len();
            positions.iter().enumerate().for_each(|(at, &x)| self.states[at % chains].x[at / chains] = f64::from(x));
            self.stopped.fill(false);
        }
        self.target = self.setup.target.clone();
        self.params = params.to_vec();
        self.gathered.clear();
        // A warm-up in progress has learnt of other parameters.
        self.adapted.plan = None;
        let mut states = std::mem::take(&mut self.states);
        let evaluated = self.evaluate(&mut states);
        self.states = states;
        evaluated
    }

    /// The positions in f64, `[dim][chain]`.
    pub fn positions_f64(&self) -> Vec<f64> {
        let points: Vec<_> = self.states.par_iter().map(|state| position(&*self.target, &state.x)).collect();
        (0..self.target.dim()).flat_map(|i| points.iter().map(move |x| x[i])).collect()
    }

    /// The log weights of annealed importance sampling, one a chain.
    pub(crate) fn log_weights(&self) -> Vec<f64> {
        self.weights.iter().map(|weight| weight.log_weight).collect()
    }

    fn report_since(&self, clock: &Clock) -> Report {
        let adapter = format!("CPU reference (f64, {} threads)", rayon::current_num_threads());
        let report = Report::new(&self.setup, "cpu", adapter, clock, &self.ledger, self.clock.steps.saturating_sub(1));
        Report { adaptation: self.adapted.found.clone(), ..report }
    }
}

impl Collecting for CpuChains {
    fn setup(&self) -> &Setup {
        &self.setup
    }

    fn begin(&mut self, goes_on: bool, call: &Call) -> Result<u64> {
        adapt::ensure(self, call)?;
        self.begun = self.clock;
        let draws = self.gathered.first().map_or(0, |gathered| gathered.draws);
        if goes_on && draws > 0 {
            return Ok(draws);
        }
        let watched = Rows::new(self.target.dim(), &*self.kernel).watched();
        self.gathered = vec![Gathered::new(watched); self.states.len()];
        Ok(0)
    }

    fn steps_done(&self) -> u64 {
        self.clock.steps
    }

    fn run(&mut self, steps: u64, call: &Call, mut storing: Option<&mut Storing<'_>>) -> Result<u64> {
        let epochs = Epochs::new(self.kernel.slots(self.target.dim()));
        let begun = self.clock.steps;
        let goal = begun + steps;
        while self.clock.steps < goal && !call.is_over() {
            let first = self.clock.steps;
            let state = self.gathered.first().map_or(0, |gathered| gathered.draws);
            let most = storing
                .as_ref()
                .map_or(u64::MAX, |s| s.most_steps(state, (BATCH_BYTES / s.bytes_a_draw(s.chains.len())).max(1)));
            let n = self.slice_steps.min(goal - first).min(epochs.left(first)).min(most);
            let slice_begun = Instant::now();
            let mut slices = self.slice(first, n, &epochs, call.collects(), storing.as_deref());
            let stored = storing.as_ref().map_or(0..0, |storing| storing.chains.clone());
            let coldest = slices.iter_mut().step_by(self.setup.rungs()).skip(stored.start).take(stored.len());
            let drawn: Vec<_> = coldest.map(|slice| std::mem::take(&mut slice.draws)).collect();
            self.count(slices);
            let took = slice_begun.elapsed();
            self.clock.steps += n;
            self.clock.slices += 1;
            self.clock.wall += took;
            self.clock.acceptance = self.ledger.acceptance;
            self.clock.gradients += gradients(&self.setup, first, n);
            self.slice_steps = next_steps(n, took, self.setup.slice).min(1 << 20);
            if let Some(storing) = &mut storing {
                let rows = self.target.dim() + 1;
                storing.hand_over(state, state + n, |draws, room| {
                    for (column, drawn) in drawn.iter().enumerate() {
                        let rows = &drawn[draws.start * rows..draws.end * rows];
                        rows.iter().zip(room[column..].iter_mut().step_by(stored.len())).for_each(|(&value, to)| *to = value);
                    }
                    Ok(())
                })?;
            }
            self.save_if_due()?;
            call.progress(&self.setup, self.clock.steps - begun, self.clock.steps)?;
        }
        Ok(self.clock.steps - begun)
    }

    fn summary(&self) -> Result<Summary> {
        let watched = Rows::new(self.target.dim(), &*self.kernel).watched();
        let rungs = self.setup.rungs();
        let mut moments = Moments::new(watched, self.gathered.len(), rungs);
        let cold = || self.gathered.iter().step_by(rungs);
        for row in 0..watched {
            let at = row * moments.chains();
            for (chain, gathered) in cold().enumerate() {
                (moments.mean[at + chain], moments.m2[at + chain]) = (gathered.mean[row], gathered.m2[row]);
            }
        }
        moments.jumps = cold().map(|gathered| gathered.jumps).sum();
        moments.changes = cold().map(|gathered| gathered.changes).sum();
        for (chain, gathered) in self.gathered.iter().enumerate() {
            let [proposed, made, round_trips] = gathered.exchanged;
            moments.exchanges.add(chain % rungs, proposed, made, round_trips);
        }
        moments.count(self.gathered.first().map_or(0, |gathered| gathered.draws));
        Ok(Summary::of(&moments, self.target.dim(), self.setup.superchain_count()))
    }

    fn report_of(&self, summary: &Summary) -> Report {
        let (counted, is_warming_up) = (self.clock.steps - self.warmed_up.steps, self.adapted.plan.is_some());
        let report = self.report_since(&self.clock.since(&self.begun));
        report.with_moments(summary, self.starts_at_one_point, counted, is_warming_up)
    }
}

/// The position of a state in free coordinates `y`.
fn position<'a>(target: &dyn Energy, y: &'a [f64]) -> Cow<'a, [f64]> {
    let mut x = Cow::Borrowed(y);
    if let Some(constraints) = target.constraints() {
        constraints.place(x.to_mut());
    }
    x
}

impl Chains for CpuChains {
    fn warm_up(&mut self, limits: Warmup) -> Result<()> {
        adapt::warm_up(self, limits, &Call::new(Phase::WarmUp, 0, None))
    }

    fn advance(&mut self, steps: u64) -> Result<()> {
        let call = Call::new(Phase::Advance, steps, None);
        adapt::ensure(self, &call)?;
        self.run(steps, &call.after_warm_up(), None).map(drop)
    }

    fn collect(&mut self, what: Collect) -> Result<Report> {
        collect(self, what, None)
    }

    fn collect_into(&mut self, what: Collect, sink: &mut dyn Sink) -> Result<Report> {
        collect(self, what, Some(sink))
    }

    fn stored_bytes(&self, what: &Collect) -> Result<u64> {
        what.bytes(&self.setup)
    }

    fn report(&self) -> Report {
        self.report_since(&self.clock.since(&self.warmed_up))
    }

    fn count(&self) -> usize {
        self.setup.chains
    }

    fn dim(&self) -> usize {
        self.target.dim()
    }

    fn steps(&self) -> u64 {
        self.clock.steps
    }

    fn positions(&self) -> Result<Vec<f32>> {
        Ok(self.positions_f64().into_iter().map(|x| x as f32).collect())
    }

    fn energies(&self) -> Result<Vec<f32>> {
        Ok(self.states.iter().map(|state| state.energy as f32).collect())
    }

    fn tallies(&self) -> Vec<Tally> {
        self.ledger.tallies()
    }

    fn set_params(&mut self, params: &[f32]) -> Result<()> {
        self.go_on_with(params, None)
    }

    fn restart(&mut self, params: &[f32], positions: &[f32]) -> Result<()> {
        let placed = self.setup.placed(positions)?;
        self.go_on_with(params, Some(&placed))
    }

    fn save(&self, path: &Path) -> Result<()> {
        self.write(path)
    }

    fn set_timeout(&mut self, timeout: Duration) {
        self.setup.timeout = timeout;
    }
}
