//! How chains are cut into chunks.

use crate::{
    Error, Gpu, Result,
    chains::{Setup, chunk, rows::Rows},
    program::Spread,
};

/// Chains of one submission on a software rasteriser.
const MOST_IN_SOFTWARE: u64 = 1 << 16;

/// The chains of each chunk, so that every binding fits; checked against the memory budget before anything is allocated.
pub(super) fn chunk_sizes(gpu: &Gpu, setup: &Setup) -> Result<Vec<usize>> {
    let rows = &Rows::new(setup.target.dim(), &*setup.kernel);
    let largest = chunk::largest_bytes_a_chain(rows);
    let limits = gpu.device().limits();
    let binding = limits.max_storage_buffer_binding_size.min(limits.max_buffer_size);
    let group_chains = Spread::new(&*setup.target, &*setup.kernel, gpu.subgroup()).group_chains() as u64;
    let groups = u64::from(limits.max_compute_workgroups_per_dimension);
    // Each dispatch costs a chain some ten steps' time on software Vulkan: fewer chains a submission leave time for more steps.
    let worth = if gpu.is_software() { MOST_IN_SOFTWARE } else { u64::MAX };
    let most = (binding / largest).min(groups * groups * group_chains).min(worth) / 64 * 64;
    if most == 0 {
        return Err(Error::Limit {
            what: "bytes of 64 chains in one storage binding".into(),
            asked: largest * 64,
            allowed: binding,
            limit: "the device's max_storage_buffer_binding_size".into(),
        });
    }
    let chunks = setup.chains.div_ceil(most as usize);
    setup.check_memory(chunk::bytes_a_chain(gpu, setup.target.dim(), rows, chunk::ring(chunks)), gpu.is_software())?;
    // Chunks of nearly equal size.
    let size = setup.chains.div_ceil(chunks).div_ceil(64) * 64;
    let mut sizes = vec![size; setup.chains / size];
    sizes.extend(Some(setup.chains % size).filter(|&rest| rest > 0));
    Ok(sizes)
}
