//! Langevin chains of a network on the CPU's threads: each thread takes some chains through all their steps.

use rayon::prelude::*;

use super::{Walk, Walked};
use crate::{
    energy::Energy,
    kernel::is_usable,
    net::{
        Mlp,
        layers::{LEAST_POINTS, Layers, Weights},
        threads::TOGETHER,
    },
    random::{Draws, Epochs, Stream, key, normal_slots},
};

#[derive(Debug)]
pub(super) struct OnThreads {
    weights: Weights<f32>,
    confinement: f32,
}

/// Chains of one thread, all `[dim][chain]`.
struct Chunk {
    /// Where the next gradient is taken.
    x: Vec<f32>,
    /// Where the last one was.
    before: Vec<f32>,
    stopped: Vec<bool>,
}

impl OnThreads {
    pub(super) fn new(mlp: &Mlp) -> Self {
        Self { weights: Weights::new(mlp.network(), mlp.params()), confinement: mlp.confinement() as f32 }
    }

    pub(super) fn set_params(&mut self, params: &[f32]) {
        self.weights.set(params);
    }

    pub(super) fn run(&self, x: &[f32], chains: usize, walk: Walk) -> Walked {
        let firsts = (0..chains).into_par_iter().step_by(TOGETHER);
        let chunks: Vec<_> = firsts
            .map(|first| {
                let own = first..chains.min(first + TOGETHER);
                let x: Vec<_> = x.chunks_exact(chains).flat_map(|row| &row[own.clone()]).copied().collect();
                let mut chunk = Chunk { before: x.clone(), x, stopped: vec![false; own.len()] };
                self.run_chunk(&mut chunk, Walk { first_chain: walk.first_chain.wrapping_add(first as u32), ..walk });
                chunk
            })
            .collect();
        let stopped = chunks.iter().flat_map(|chunk| &chunk.stopped).filter(|&&stopped| stopped).count();
        let rows = (0..x.len() / chains).flat_map(|i| {
            chunks.iter().flat_map(move |chunk| &chunk.x[i * chunk.stopped.len()..(i + 1) * chunk.stopped.len()])
        });
        Walked { positions: rows.copied().collect(), stopped }
    }

    fn run_chunk(&self, chunk: &mut Chunk, walk: Walk) {
        let chains = chunk.stopped.len();
        let dim = chunk.x.len() / chains;
        let rows = chains.max(LEAST_POINTS);
        let (mut layers, ones) = (Layers::default(), vec![1.0; rows]);
        let (mut z, mut energies, mut grad) = (vec![0.0; dim], vec![0.0; chains], vec![0.0; dim * chains]);
        let slots = normal_slots(dim);
        let epochs = Epochs::new(slots);
        let (h, noise) = (walk.step_size as f32, (2.0 * walk.step_size * walk.temperature).sqrt() as f32);
        for at in walk.first_step..walk.first_step + walk.steps {
            let input = layers.input(&self.weights, 1, rows).chunks_exact_mut(rows);
            input.zip(chunk.x.chunks_exact(chains)).for_each(|(row, x)| row[..chains].copy_from_slice(x));
            energies.copy_from_slice(&layers.forward(&self.weights)[..chains]);
            let slopes = layers.input_grad(&self.weights, &ones).chunks_exact(rows);
            for ((grad, slopes), x) in grad.chunks_exact_mut(chains).zip(slopes).zip(chunk.x.chunks_exact(chains)) {
                grad.iter_mut().zip(slopes).zip(x).for_each(|((grad, slope), x)| *grad = slope + self.confinement * x);
            }
            let key = key(walk.seed, Stream::Transition, epochs.epoch(at));
            for (chain, &energy) in energies.iter().enumerate() {
                let own = || (chain..dim * chains).step_by(chains);
                let square: f32 = own().map(|at| chunk.x[at] * chunk.x[at]).sum();
                let size: f32 = own().map(|at| grad[at] * grad[at]).sum();
                let good = is_usable(f64::from(energy + 0.5 * self.confinement * square)) && size.is_finite();
                let goes = good && !chunk.stopped[chain];
                chunk.stopped[chain] = !goes;
                let own_chain = walk.first_chain.wrapping_add(chain as u32);
                Draws::new(key, own_chain, epochs.step_in_epoch(at) * slots).normals(0, &mut z);
                for (at, z) in own().zip(&z) {
                    let moved = chunk.x[at] - h * grad[at] + noise * *z as f32;
                    let kept = if good { chunk.x[at] } else { chunk.before[at] };
                    chunk.before[at] = kept;
                    chunk.x[at] = if goes { moved } else { kept };
                }
            }
        }
    }
}
