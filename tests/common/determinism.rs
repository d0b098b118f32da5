//! What must make no difference to a chain, compared bit for bit.

use std::{sync::Arc, time::Duration};

use ergodic::{
    Backend, Collect, Result,
    chains::{Chains, Setup},
    energy::{Energy, Mixture},
    kernel::Kernel,
};

/// The bits of every position and energy, [dim + 1][chain].
pub fn bits(chains: &dyn Chains) -> Result<Vec<Vec<u32>>> {
    let positions = chains.positions()?;
    let rows = positions.chunks(chains.count()).map(|row| row.to_vec()).chain([chains.energies()?]);
    Ok(rows.map(|row| row.into_iter().map(f32::to_bits).collect()).collect())
}

/// Columns of some chains.
pub fn columns(rows: &[Vec<u32>], chains: std::ops::Range<usize>) -> Vec<Vec<u32>> {
    rows.iter().map(|row| row[chains.clone()].to_vec()).collect()
}

/// Runs a setup by calls of `advance`.
pub fn after(setup: Setup, calls: &[u64]) -> Result<Vec<Vec<u32>>> {
    let mut chains = setup.build()?;
    calls.iter().try_for_each(|&steps| chains.advance(steps))?;
    bits(&*chains)
}

pub fn ring() -> Arc<dyn Energy> {
    Arc::new(Mixture::ring(8, 2.0, 0.5).unwrap())
}

/// Everything that must make no difference, for one kernel; what did.
pub fn differences(backend: &Backend, energy: &Arc<dyn Energy>, kernel: &Arc<dyn Kernel>) -> Result<Vec<&'static str>> {
    let setup = || backend.chains_of(energy.clone(), kernel.clone()).seed(9);
    let whole = after(setup().count(1000), &[40])?;
    let mut found = Vec::new();
    let mut expect = |same: bool, what| (!same).then(|| found.push(what));

    let few = after(setup().count(32), &[40])?;
    expect(columns(&whole, 17..18) == columns(&few, 17..18), "chain 17 among 32 and among 1,000");
    expect(columns(&whole, 0..32) == few, "32 chains and 1,000");
    let last = after(setup().count(333).first_chain(667), &[40])?;
    expect(columns(&whole, 667..1000) == last, "chains from 667 on, on their own");
    let ends = after(setup().count(1), &[40])?;
    expect(columns(&whole, 0..1) == ends, "one chain and the first of 1,000");

    expect(whole == after(setup().count(1000), &[20, 20])?, "40 steps and twice 20");
    expect(whole == after(setup().count(1000), &[1, 2, 37])?, "40 steps and 1 + 2 + 37");
    expect(whole == after(setup().count(1000).slice(Duration::from_nanos(1)), &[40])?, "slices of one step");

    let mut chains = setup().count(1000).build()?;
    chains.advance(13)?;
    chains.collect(Collect::draws(27))?;
    expect(whole == bits(&*chains)?, "advance and collect");
    Ok(found)
}

/// Steps in slices of this length, a third of them collected. With many leapfrog steps a long slice has more loop iterations than
/// llvmpipe's 65,535 a dispatch.
pub fn long_slices(backend: &Backend, kernel: Arc<dyn Kernel>, slice: Duration, steps: u64) -> Result<Box<dyn Chains>> {
    let target = Arc::new(Mixture::ring(3, 1.5, 0.6)?);
    let mut chains = backend.chains_of(target, kernel).count(64).seed(4).slice(slice).build()?;
    chains.advance(steps - steps / 3)?;
    chains.collect(Collect::draws(steps / 3))?;
    Ok(chains)
}
