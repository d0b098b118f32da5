//! The CPU reference: the same transitions in f64 from the same random bits, one plain loop a chain.

mod checkpoint;
mod trial;

use std::{
    borrow::Cow,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use rayon::prelude::*;

use super::{
    Chains, Collect, FailedAt, Report, Setup, Tally,
    collect::{Collecting, collect},
    moments::Moments,
    progress::{Call, Phase},
    report::Clock,
    rows::Rows,
    tally::{Ledger, SHOWN_FAILURES},
};
use crate::{
    Error, Result, Warmup,
    adapt::{self, Adapted},
    check,
    energy::{Energy, Params},
    kernel::{End, Failure, Kernel, Rungs, State, Step, Swapped},
    random::{Draws, Epochs, Stream, key},
    store::{BATCH_BYTES, Sink, Storing},
};

/// Chains on the CPU, in f64, in parallel over chains (rayon).
#[derive(Debug)]
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

/// What one chain did in a slice.
#[derive(Default)]
struct Slice {
    accepted: u64,
    acceptance: f64,
    /// Their number, and the first: step, kind and position.
    failures: Option<(u64, u64, Failure, Vec<f64>)>,
    /// Draws to store, `[draw][dim + 1]`.
    draws: Vec<f32>,
}

/// Moments of the watched values of one chain: the coordinates, the energy, and the Hamiltonian where the kernel has one.
#[derive(Debug, Clone, Default)]
struct Gathered {
    draws: u64,
    mean: Vec<f64>,
    m2: Vec<f64>,
    jumps: f64,
    last_hamiltonian: f64,
    changes: f64,
    /// Swaps proposed and made with the next rung of the ladder, and round trips.
    exchanged: [f64; 3],
}

/// How far annealed importance sampling has come with a chain: β of its bridge, and the log weight.
#[derive(Debug, Clone, Copy, Default)]
struct Weight {
    beta: f64,
    log_weight: f64,
}

impl Weight {
    /// Moves the bridge on to β, weighs the state, and evaluates it there; the parameters at β.
    fn move_on<'a>(&mut self, beta: f64, target: &dyn Energy, params: Params<'a>, state: &mut State) -> Params<'a> {
        let at_beta = params.at_bridge(beta);
        if beta != self.beta {
            let energy = |beta| target.energy(params.at_bridge(beta), &state.x);
            self.log_weight -= (beta - self.beta) * (energy(1.0) - energy(0.0));
            self.beta = beta;
            state.energy = target.energy_and_grad(at_beta, &state.x, &mut state.grad);
        }
        at_beta
    }
}

impl Gathered {
    fn new(watched: usize) -> Self {
        Self { mean: vec![0.0; watched], m2: vec![0.0; watched], ..Self::default() }
    }

    /// Adds a state at position `x`, `squared_jump` from the last one (Welford 1962).
    fn add(&mut self, x: &[f64], state: &State, squared_jump: f64) {
        self.draws += 1;
        let values = x.iter().chain([&state.energy, &state.hamiltonian]);
        for ((mean, m2), value) in self.mean.iter_mut().zip(&mut self.m2).zip(values) {
            let before = value - *mean;
            *mean += before / self.draws as f64;
            *m2 += before * (value - *mean);
        }
        self.jumps += squared_jump;
        if self.draws > 1 {
            self.changes += (state.hamiltonian - self.last_hamiltonian).powi(2);
        }
        self.last_hamiltonian = state.hamiltonian;
    }

    /// Counts a round of swaps.
    fn count(&mut self, swapped: Swapped) {
        let Swapped { proposed, made, round_trip } = swapped;
        for (sum, is_so) in self.exchanged.iter_mut().zip([proposed, made, round_trip]) {
            *sum += f64::from(u8::from(is_so));
        }
    }
}

impl CpuChains {
    /// Checks the setup and evaluates the energy where the chains start.
    ///
    /// # Errors
    /// As [`Setup::build`].
    pub fn new(setup: Setup) -> Result<Self> {
        let (start, starts_at_one_point) = setup.check()?;
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
            check::gradient_of_twin(target, start, chains, setup.seed)?;
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

    /// Counts what the chains did in a slice.
    fn count(&mut self, slices: Vec<Slice>) {
        let mut first = Vec::new();
        for (chain, slice) in slices.into_iter().enumerate() {
            self.ledger.accepted[chain] += slice.accepted;
            self.ledger.acceptance += slice.acceptance;
            if let Some((count, step, kind, position)) = slice.failures {
                if !self.ledger.failed.contains_key(&chain) {
                    let position = self::position(&*self.target, &position).into_owned();
                    first.push(FailedAt { chain: u64::from(self.setup.first_chain) + chain as u64, step, kind, position });
                }
                self.ledger.fail(chain, count, step, kind);
            }
        }
        first.sort_by_key(|failed| (failed.step, failed.chain));
        first.truncate(SHOWN_FAILURES - self.ledger.failed_at.len());
        self.ledger.failed_at.extend(first);
    }

    /// Runs the steps first..first + n of every chain.
    fn slice(&mut self, first: u64, n: u64, epochs: &Epochs, collects: bool, storing: Option<&Storing<'_>>) -> Vec<Slice> {
        let controls = self.setup.controls(first, n);
        let key = key(self.setup.seed, Stream::Transition, epochs.epoch(first));
        let dim = self.target.dim();
        let slots = self.kernel.slots(dim);
        let (target, kernel, params) = (&*self.target, &*self.kernel, Params::new(&self.params));
        let (kernel_params, first_chain) = (self.kernel_params.as_slice(), self.setup.first_chain);
        if !collects {
            // Steps that collect nothing leave the moments alone.
            self.gathered.resize_with(self.states.len(), Gathered::default);
        }
        let stored = storing.map(|storing| (storing.chains.clone(), storing.thin));
        let rungs = self.setup.rungs();
        let ladder = Rungs::of(kernel, kernel_params);
        let kernel_params = ladder.map_or(kernel_params, |ladder| ladder.inner);
        let groups = self.states.par_chunks_mut(rungs).zip(self.stopped.par_chunks_mut(rungs));
        let groups = groups.zip(self.gathered.par_chunks_mut(rungs)).zip(self.ends.par_chunks_mut(rungs));
        let groups = groups.zip(self.weights.par_chunks_mut(rungs)).enumerate();
        let work = groups.map_init(
            || (State::zeros(dim), vec![vec![0.0; dim]; rungs]),
            |(scratch, lasts), (group, ((((states, stopped), gathered), ends), weights))| {
                let mut slices: Vec<_> = (0..rungs).map(|_| Slice::default()).collect();
                for k in 0..n {
                    let control = |k: u64| controls[(k as usize).min(controls.len() - 1)];
                    let step = epochs.step_in_epoch(first + k);
                    let draws = |rung: usize| {
                        let chain = (group * rungs + rung) as u32;
                        Draws::new(key, first_chain.wrapping_add(chain), step * slots)
                    };
                    let level = |k: u64| f64::from(control(k).level);
                    for rung in 0..rungs {
                        let (state, slice, last) = (&mut states[rung], &mut slices[rung], &mut lasts[rung]);
                        last.copy_from_slice(&state.x);
                        let params = match kernel.bridge() {
                            Some(_) => weights[rung].move_on(level(k), target, params, state),
                            None => params.at_noise(level(k + 1)),
                        };
                        if stopped[rung] {
                            continue;
                        }
                        let control = ladder.map_or(control(k), |ladder| ladder.control(control(k), rung));
                        let info = kernel.transition(
                            &Step { target, params, kernel_params, control, draws: draws(rung) },
                            state,
                            scratch,
                        );
                        slice.accepted += u64::from(info.accepted);
                        // In units of 2⁻¹⁶, as on the device: sums are exact, however they are cut.
                        slice.acceptance += (info.acceptance * 65_536.0).round() / 65_536.0;
                        if let Some(kind) = info.failure {
                            slice.failures.get_or_insert_with(|| (0, first + k, kind, last.clone())).0 += 1;
                            stopped[rung] = kernel.is_unadjusted();
                        }
                    }
                    let swapped = ladder.and_then(|ladder| {
                        let temperature = f64::from(control(k).temperature);
                        let round = ladder.round(step)?;
                        Some(ladder.exchange(round, temperature, draws, slots - 1, states, ends))
                    });
                    if collects {
                        for (gathered, (state, last)) in gathered.iter_mut().zip(states.iter().zip(&*lasts)) {
                            let (x, last) = (position(target, &state.x), position(target, last));
                            gathered.add(&x, state, x.iter().zip(&*last).map(|(x, last)| (x - last).powi(2)).sum());
                        }
                        for (gathered, swapped) in gathered.iter_mut().zip(swapped.unwrap_or_default()) {
                            gathered.count(swapped);
                        }
                        // Of a ladder, the coldest chain is the target's.
                        let is_draw = |thin| gathered[0].draws.is_multiple_of(thin);
                        if stored.as_ref().is_some_and(|(groups, thin)| groups.contains(&group) && is_draw(*thin)) {
                            let x = position(target, &states[0].x);
                            slices[0].draws.extend(x.iter().chain([&states[0].energy]).map(|&v| v as f32));
                        }
                    }
                }
                slices
            },
        );
        work.collect::<Vec<_>>().into_iter().flatten().collect()
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

    fn begin(&mut self, goes_on: bool) -> Result<u64> {
        adapt::ensure(self)?;
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
            let slices = self.slice(first, n, &epochs, call.collects(), storing.as_deref());
            if let Some(storing) = &mut storing {
                let chains = storing.chains.clone();
                let (stored, rungs) = (chains.len(), storing.rungs);
                let ready = storing.ready(state, state + n);
                let coldest = slices.iter().step_by(rungs);
                for (column, slice) in coldest.skip(chains.start).take(stored).enumerate() {
                    slice.draws.iter().enumerate().for_each(|(row, &value)| ready[row * stored + column] = value);
                }
            }
            self.count(slices);
            let took = slice_begun.elapsed();
            self.clock.steps += n;
            self.clock.slices += 1;
            self.clock.wall += took;
            self.clock.acceptance = self.ledger.acceptance;
            self.clock.gradients += gradients(&self.setup, first, n);
            self.slice_steps = next_steps(n, took, self.setup.slice).min(1 << 20);
            if let Some(storing) = &mut storing {
                storing.deliver()?;
            }
            if let Some(path) = self.setup.save_due(self.saved) {
                self.save(path)?;
                self.saved = Instant::now();
            }
            call.progress(&self.setup, self.clock.steps - begun, self.clock.steps)?;
        }
        Ok(self.clock.steps - begun)
    }

    fn moments(&self) -> Result<Moments> {
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
        Ok(moments)
    }

    fn report_of(&self, moments: &Moments) -> Report {
        self.report_since(&self.clock.since(&self.begun)).with_moments(moments, self.starts_at_one_point)
    }
}

/// The position of a state in free coordinates `y`.
fn position<'a>(target: &dyn Energy, y: &'a [f64]) -> Cow<'a, [f64]> {
    let mut x = Cow::Borrowed(y);
    if let Some(constraints) = target.constraints() {
        constraints.position(x.to_mut());
    }
    x
}

/// Gradient evaluations of one chain in the steps first..first + n.
pub(crate) fn gradients(setup: &Setup, first: u64, n: u64) -> u64 {
    let (least, most) = setup.kernel.substeps();
    match (setup.kernel.uses_grad(), least == most) {
        (false, _) => 0,
        (true, true) => n * u64::from(most),
        (true, false) => setup.controls(first, n)[..n as usize].iter().map(|c| c.substeps as u64).sum(),
    }
}

/// The next slice's steps, so that it takes about `target`; never more than eight times the last.
pub(crate) fn next_steps(steps: u64, took: Duration, target: Duration) -> u64 {
    let ratio = target.as_secs_f64() / took.as_secs_f64().max(1e-6);
    ((steps as f64 * ratio.min(8.0)) as u64).max(1)
}

impl Chains for CpuChains {
    fn warm_up(&mut self, limits: Warmup) -> Result<()> {
        adapt::warm_up(self, limits)
    }

    fn advance(&mut self, steps: u64) -> Result<()> {
        adapt::ensure(self)?;
        self.run(steps, &Call::new(Phase::Advance, steps, None), None).map(drop)
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
