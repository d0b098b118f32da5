//! A flow as the proposal of Metropolis–Hastings: exact draws of the flow, and of any energy that it comes near.

use std::sync::LazyLock;

use super::{Flow, energy::base};
use crate::{
    Error, Result, Schedule,
    energy::{Energy, Params},
    kernel::{Info, Kernel, State, Step, failure_of, is_usable, metropolis},
    random::normal_slots,
};

/// Metropolis–Hastings (Hastings 1970) that proposes x′ = f(z), z ~ N(0, I), wherever the chain stands, and accepts with probability
/// min(1, exp(−(E(x′) − E(x))/T) q(x)/q(x′)). Evaluates no gradient.
///
/// On the flow's own energy every proposal is accepted, up to f32: one step of any number of chains gives as many exact draws of the
/// flow, on the GPU too. On another energy it is exact as well, and moves far where the flow is close to it.
///
/// ```
/// # use ergodic::{Backend, flow::{Flow, Proposal}};
/// let flow = Flow::new(2, 4, 8, 1)?;
/// let mut chains = Backend::cpu().chains(flow.clone(), Proposal::new(flow)?).count(1_000).build()?;
/// chains.advance(1)?;
/// assert!(chains.report().mean_acceptance > Some(0.999));
/// # Ok::<(), ergodic::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct Proposal {
    flow: Flow,
}

impl Proposal {
    /// Of a flow of fewer than 65,536 layers and hidden units.
    ///
    /// # Errors
    /// [`Error::Limit`] where it has more.
    pub fn new(flow: Flow) -> Result<Self> {
        for (what, asked) in
            [("layers of the proposal's flow", flow.layers()), ("hidden units of the proposal's flow", flow.hidden())]
        {
            if asked > 0xffff {
                let limit = "the kernel's 16 bits".into();
                return Err(Error::Limit { what: what.into(), asked: asked as u64, allowed: 0xffff, limit });
            }
        }
        Ok(Self { flow })
    }

    /// The flow.
    pub fn flow(&self) -> &Flow {
        &self.flow
    }
}

/// The flow's functions under another name, since the target may be a flow as well; then the transition.
static SOURCE: LazyLock<String> = LazyLock::new(|| {
    let functions = include_str!("../../shaders/flow/energy.wgsl").replace("flow_", "proposal_");
    functions + "\n" + include_str!("../../shaders/flow/proposal.wgsl")
});

impl Kernel for Proposal {
    fn name(&self) -> &'static str {
        "flow_proposal"
    }

    fn source(&self) -> &'static str {
        SOURCE.as_str()
    }

    fn validate(&self, target: &dyn Energy) -> Result<()> {
        if target.dim() == self.flow.dim() {
            Ok(())
        } else {
            Err(Error::shape("coordinates of the proposal's flow", target.dim(), self.flow.dim()))
        }
    }

    fn slots(&self, dim: usize) -> u32 {
        1 + normal_slots(dim)
    }

    fn step_size(&self) -> &Schedule {
        // The proposal does not depend on where the chain stands.
        &Schedule::Constant(1.0)
    }

    fn uses_grad(&self) -> bool {
        false
    }

    fn variant(&self) -> u32 {
        (self.flow.layers() as u32) << 16 | self.flow.hidden() as u32
    }

    fn params(&self, _dim: usize) -> Vec<f32> {
        self.flow.device_params()
    }

    fn transition(&self, step: &Step<'_>, state: &mut State, scratch: &mut State) -> Info {
        let (places, params) = (self.flow.places(), Params::new(step.kernel_params));
        let dim = state.x.len();
        step.draws.normals(1, &mut scratch.x);
        let mut proposal = places.padded(&scratch.x);
        // −log q(x′) and −log q(x).
        let of_base = base(dim, &proposal);
        let q_proposed = of_base + places.forward(params, &mut proposal);
        let q = self.flow.energy(params, &state.x);
        scratch.x.copy_from_slice(&proposal[..dim]);
        scratch.energy = step.target.energy(step.params, &scratch.x);
        if !is_usable(scratch.energy) {
            return Info::rejected(failure_of(scratch.energy));
        }
        let log_ratio = (state.energy - scratch.energy) / f64::from(step.control.temperature) + q_proposed - q;
        let info = metropolis(step, 0, log_ratio);
        if info.accepted {
            state.x.copy_from_slice(&scratch.x);
            state.energy = scratch.energy;
        }
        info
    }
}
