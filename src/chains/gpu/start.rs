//! Energies and gradients where chains start, or go on with other parameters.

use super::GpuChains;
use crate::{
    Result,
    chains::{chunk::Chunk, moments::Moments},
    check,
    evaluate::energies_alone,
    kernel::Control,
    pipelines::Task,
};

impl GpuChains {
    /// Evaluates the energy where the chains start.
    pub(super) fn evaluate_start(&mut self, start: &[f32], chunk_sizes: &[usize]) -> Result<()> {
        if self.setup.target.check_gradient() && self.setup.kernel.uses_grad() {
            self.check_gradient(start)?;
        }
        let momenta = if self.setup.kernel.carries_momentum() { self.setup.momenta() } else { Vec::new() };
        let control = self.setup.controls(self.at.clock.steps, 0)[0];
        let all = self.setup.chains;
        let mut first = 0;
        for &size in chunk_sizes {
            let rows =
                |values: &[f32]| values.chunks(all).flat_map(|row| row[first..first + size].to_vec()).collect::<Vec<_>>();
            let mut chunk = Chunk::new(&self.gpu, &self.pipelines, first, self.ring, &rows(start), &rows(&momenta));
            self.evaluate(&mut chunk, control)?;
            self.chunks.push(chunk);
            first += size;
        }
        debug_assert_eq!(first, all);
        Ok(())
    }

    /// Evaluates the energy where the chains of a chunk stand.
    pub(super) fn evaluate(&mut self, chunk: &mut Chunk, control: Control) -> Result<()> {
        let starting = chunk.start(&self.gpu, &self.pipelines, control, self.current);
        // Software compiles what it runs when it runs it, which takes as long again: a part of the next pipeline is ready by then.
        self.pipelines.advance(&self.gpu, Task::Advance)?;
        let (energies, grads) = chunk.evaluated(&self.gpu, &self.pipelines, starting, self.setup.timeout)?;
        let size = chunk.chains;
        for (i, &energy) in energies.iter().enumerate() {
            let id = u64::from(self.setup.first_chain) + (chunk.first + i) as u64;
            let grad = (0..grads.len() / size).map(|row| f64::from(grads[row * size + i]));
            check::start(id, f64::from(energy), grad)?;
        }
        Ok(())
    }

    /// Takes other parameters, and other positions where there are some, and evaluates the energy.
    pub(super) fn go_on_with(&mut self, params: &[f32], positions: Option<&[f32]>) -> Result<()> {
        self.close_segment()?;
        self.setup.set_params(params)?;
        self.pipelines.set_target(&self.gpu, self.setup.target.clone());
        (self.at.moments, self.settled) = (Moments::new(self.rows.watched(), 0, 1).into(), 0);
        // The copy is of the state under other parameters, and a warm-up in progress has learnt of those.
        self.spare = None;
        self.at.adapted.plan = None;
        let control = self.setup.controls(self.at.clock.steps, 0)[0];
        let mut chunks = std::mem::take(&mut self.chunks);
        let evaluated = chunks.iter_mut().try_for_each(|chunk| {
            if let Some(positions) = positions {
                let columns = chunk.first..chunk.first + chunk.chains;
                let own: Vec<_> = positions.chunks(self.setup.chains).flat_map(|row| &row[columns.clone()]).copied().collect();
                let stopped = self.setup.kernel.is_unadjusted().then(|| self.rows.stopped());
                chunk.place(&self.gpu, &own, stopped, self.current);
            }
            self.evaluate(chunk, control)
        });
        self.chunks = chunks;
        evaluated
    }

    /// Compares the energies of a user's two functions, and the gradient with their differences, as the device computes them.
    pub(super) fn check_gradient(&self, start: &[f32]) -> Result<()> {
        let dim = self.setup.target.dim();
        let probes = check::probes(dim, start, self.setup.chains, self.setup.seed);
        let alone: Vec<_> = probes.iter().flat_map(|probe| probe.alone()).collect();
        let a_probe = alone.len() / probes.len();
        let alone = if self.setup.target.has_values() {
            let positions: Vec<f32> = (0..dim).flat_map(|i| alone.iter().map(move |x| x[i])).collect();
            let level = self.setup.controls(0, 0)[0].level;
            energies_alone(&self.gpu, self.setup.target.clone(), &positions, level, self.setup.timeout)?
        } else {
            Vec::new()
        };
        let mut alone = alone.chunks_exact(a_probe);
        // A dispatch a point keeps the buffers small: there are hundreds of differences a point.
        for probe in probes {
            let points = check::points(&probe);
            let n = points.len();
            let positions: Vec<f32> = (0..dim).flat_map(|i| points.iter().map(move |x| x[i])).collect();
            let momenta = if self.setup.kernel.carries_momentum() { vec![0.0; dim * n] } else { Vec::new() };
            let mut chunk = Chunk::new(&self.gpu, &self.pipelines, 0, 2, &positions, &momenta);
            let starting = chunk.start(&self.gpu, &self.pipelines, self.setup.controls(0, 0)[0], 0);
            let (energies, grads) = chunk.evaluated(&self.gpu, &self.pipelines, starting, self.setup.timeout)?;
            let energies: Vec<_> = energies.into_iter().map(f64::from).collect();
            if let Some(alone) = alone.next() {
                check::same_energy(&self.setup.target.name(), &probe, alone, energies[0], f64::from(f32::EPSILON))?;
            }
            let grad: Vec<_> = (0..dim).map(|i| f64::from(grads[i * n])).collect();
            check::compare(&self.setup.target.name(), &probe, &grad, &energies, f64::from(f32::EPSILON))?;
        }
        Ok(())
    }
}
