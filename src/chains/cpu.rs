//! The CPU reference: the same transitions in f64 from the same random bits, one plain loop a chain.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rayon::prelude::*;

use super::{Chains, Collect, Report, Setup, Tally, moments::Moments, report::Clock, tally::Ledger};
use crate::{
    Error, Result, check,
    energy::{Energy, Params},
    kernel::{Failure, Kernel, State, Step},
    random::{Draws, Epochs, Stream, key},
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
    stopped: Vec<bool>,
    ledger: Ledger,
    clock: Clock,
    slice_steps: u64,
}

/// What one chain did in a slice.
struct Slice {
    accepted: u64,
    acceptance: f64,
    failures: Option<(u64, u64, Failure)>,
    /// Mean and m2 of each coordinate and of the energy.
    moments: Vec<(f64, f64)>,
}

impl CpuChains {
    /// Checks the setup and evaluates the energy where the chains start.
    ///
    /// # Errors
    /// As [`Setup::build`].
    pub fn new(setup: Setup) -> Result<Self> {
        let start = setup.check()?;
        let (target, kernel) = (setup.target.clone(), setup.kernel.clone());
        if !target.has_twin() {
            return Err(Error::Unsupported(format!(
                "{} is given as WGSL text alone and has no f64 twin, so it runs on a GPU only; implement the trait Energy for it",
                target.name()
            )));
        }
        let (dim, chains) = (target.dim(), setup.chains);
        let params = target.params();
        if target.check_gradient() && kernel.uses_grad() {
            check::gradient_of_twin(&*target, &start, chains, setup.seed)?;
        }
        let momenta = if kernel.carries_momentum() { setup.momenta() } else { Vec::new() };
        let noise_variance = f64::from(setup.controls(0, 0)[0].noise_variance);
        let at_start = |chain: usize| {
            let mut state = State::zeros(dim);
            for i in 0..dim {
                state.x[i] = f64::from(start[i * chains + chain]);
                state.momentum[i] = momenta.get(i * chains + chain).map_or(0.0, |&p| f64::from(p));
            }
            let params = Params::new(&params).at_noise(noise_variance);
            state.energy = if kernel.uses_grad() {
                target.energy_and_grad(params, &state.x, &mut state.grad)
            } else {
                target.energy(params, &state.x)
            };
            check::start(u64::from(setup.first_chain) + chain as u64, state.energy, state.grad.iter().copied())?;
            Ok(state)
        };
        let states = (0..chains).into_par_iter().map(at_start).collect::<Result<Vec<_>>>()?;
        Ok(Self {
            kernel_params: kernel.params(dim),
            stopped: vec![false; chains],
            ledger: Ledger::new(chains),
            clock: Clock::default(),
            slice_steps: 1,
            setup,
            target,
            kernel,
            params,
            states,
        })
    }

    /// The positions in f64, `[dim][chain]`.
    pub fn positions_f64(&self) -> Vec<f64> {
        let dim = self.target.dim();
        (0..dim).flat_map(|i| self.states.iter().map(move |state| state.x[i])).collect()
    }

    fn run(&mut self, steps: u64, mut moments: Option<&mut Moments>) -> Result<()> {
        let begun = Instant::now();
        let epochs = Epochs::new(self.kernel.slots(self.target.dim()));
        let goal = self.clock.steps + steps;
        while self.clock.steps < goal {
            let first = self.clock.steps;
            let n = self.slice_steps.min(goal - first).min(epochs.left(first));
            let slice_begun = Instant::now();
            let slices = self.slice(first, n, &epochs, moments.is_some());
            for (chain, slice) in slices.iter().enumerate() {
                self.ledger.accepted[chain] += slice.accepted;
                self.ledger.acceptance += slice.acceptance;
                if let Some((count, step, kind)) = slice.failures {
                    self.ledger.fail(chain, count, step, kind);
                }
                if let Some(moments) = moments.as_deref_mut() {
                    moments.merge_chain(chain, n, |row| slice.moments[row]);
                }
            }
            if let Some(moments) = moments.as_deref_mut() {
                moments.draws += n;
            }
            let took = slice_begun.elapsed();
            self.clock.steps += n;
            self.clock.slices += 1;
            self.clock.wall += took;
            self.clock.acceptance = self.ledger.acceptance;
            self.clock.gradients += gradients(&self.setup, first, n);
            self.slice_steps = next_steps(n, took, self.setup.slice).min(1 << 20);
            self.setup.progress(self.clock.steps + steps - goal, steps, begun.elapsed(), self.clock.steps)?;
        }
        Ok(())
    }

    /// Runs the steps first..first + n of every chain.
    fn slice(&mut self, first: u64, n: u64, epochs: &Epochs, collect: bool) -> Vec<Slice> {
        let controls = self.setup.controls(first, n);
        let key = key(self.setup.seed, Stream::Transition, epochs.epoch(first));
        let dim = self.target.dim();
        let slots = self.kernel.slots(dim);
        let (target, kernel, params) = (&*self.target, &*self.kernel, Params::new(&self.params));
        let (kernel_params, first_chain) = (self.kernel_params.as_slice(), self.setup.first_chain);
        let chains = self.states.par_iter_mut().zip(&mut self.stopped).enumerate();
        let work = chains.map_init(
            || State::zeros(dim),
            |scratch, (chain, (state, stopped))| {
                let id = first_chain.wrapping_add(chain as u32);
                let rows = if collect { dim + 1 } else { 0 };
                let mut slice = Slice { accepted: 0, acceptance: 0.0, failures: None, moments: vec![(0.0, 0.0); rows] };
                for k in 0..n {
                    let control = |k: u64| controls[(k as usize).min(controls.len() - 1)];
                    if !*stopped {
                        let info = kernel.transition(
                            &Step {
                                target,
                                params: params.at_noise(f64::from(control(k + 1).noise_variance)),
                                kernel_params,
                                control: control(k),
                                draws: Draws::new(key, id, epochs.step_in_epoch(first + k) * slots),
                            },
                            state,
                            scratch,
                        );
                        slice.accepted += u64::from(info.accepted);
                        slice.acceptance += info.acceptance;
                        if let Some(kind) = info.failure {
                            slice.failures.get_or_insert((0, first + k, kind)).0 += 1;
                            *stopped = kernel.is_unadjusted();
                        }
                    }
                    for (row, (mean, m2)) in slice.moments.iter_mut().enumerate() {
                        let value = state.x.get(row).copied().unwrap_or(state.energy);
                        let before = value - *mean;
                        *mean += before / (k + 1) as f64;
                        *m2 += before * (value - *mean);
                    }
                }
                slice
            },
        );
        work.collect()
    }

    fn report_of(&self, clock: &Clock, moments: Option<&Moments>) -> Report {
        let adapter = format!("CPU reference (f64, {} threads)", rayon::current_num_threads());
        Report::new(&self.setup, "cpu", adapter, clock, &self.ledger, moments, self.clock.steps.saturating_sub(1))
    }
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
    fn advance(&mut self, steps: u64) -> Result<()> {
        self.run(steps, None)
    }

    fn collect(&mut self, collect: Collect) -> Result<Report> {
        check::draws(collect)?;
        let before = self.clock;
        let mut moments = Moments::new(self.target.dim() + 1, self.setup.chains);
        self.run(collect.draws, Some(&mut moments))?;
        Ok(self.report_of(&self.clock.since(&before), Some(&moments)))
    }

    fn report(&self) -> Report {
        self.report_of(&self.clock, None)
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

    fn set_timeout(&mut self, timeout: Duration) {
        self.setup.timeout = timeout;
    }
}
