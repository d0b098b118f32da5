//! Random numbers as a pure function: bits(seed, stream, chain, step, slot), by Threefry2x32 with 20 rounds.
//!
//! Chain 17 draws the same numbers among 32 chains or a million, for any number of steps a dispatch, after a restart, on any
//! driver and on the CPU. The integers agree bit for bit with `shaders/random.wgsl`; so do the uniforms, each of which is an
//! exact f32. Normals are computed here in f64 and there in f32, from the same integers.
//!
//! Source: Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3 (SC 2011).

/// Threefry2x32 with 20 rounds: encrypts the counter with the key.
pub fn threefry(key: [u32; 2], counter: [u32; 2]) -> [u32; 2] {
    const ROTATIONS: [[u32; 4]; 2] = [[13, 15, 26, 6], [17, 29, 16, 24]];
    let keys = [key[0], key[1], 0x1bd1_1bda ^ key[0] ^ key[1]];
    let mut x = [counter[0].wrapping_add(keys[0]), counter[1].wrapping_add(keys[1])];
    for group in 0..5 {
        for left in ROTATIONS[group % 2] {
            x[0] = x[0].wrapping_add(x[1]);
            x[1] = x[1].rotate_left(left) ^ x[0];
        }
        x[0] = x[0].wrapping_add(keys[(group + 1) % 3]);
        x[1] = x[1].wrapping_add(keys[(group + 2) % 3]).wrapping_add(group as u32 + 1);
    }
    x
}

/// What random numbers are for; different streams of one seed never share a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Stream {
    /// The transitions of the chains.
    Transition = 0,
    /// The starting positions.
    Start = 1,
    /// The starting momenta of kernels that carry one.
    Momentum = 2,
    /// The number of leapfrog steps, shared by all chains.
    Substeps = 3,
    /// Where the gradient of a user's energy is checked.
    Check = 4,
    /// Exact draws of the base of annealed importance sampling.
    Base = 16,
    /// Annealed importance sampling of a Boltzmann machine.
    Anneal = 24,
    /// The same, run backwards.
    Reverse = 25,
    /// Training: the hidden units of data and of the model.
    Train = 26,
    /// The order of the data in an epoch of training.
    Shuffle = 27,
    /// The forward process of a diffusion.
    Forward = 40,
    /// The base of a normalising flow, and its first parameters.
    Flow = 48,
    /// The initial parameters of a network.
    Network = 42,
    /// Noise for a network to predict.
    Denoise = 43,
    /// Training: noise and directions of a loss.
    Loss = 28,
    /// Training: which slots of a replay buffer go on, and which begin anew.
    Replay = 29,
    /// Data sets.
    Data = 30,
}

/// The key of one epoch of a stream. Two encryptions, each one-to-one, so different epochs of a stream have different keys.
pub fn key(seed: u64, stream: Stream, epoch: u64) -> [u32; 2] {
    let of_stream = threefry([seed as u32, (seed >> 32) as u32], [stream as u32, 0]);
    threefry(of_stream, [epoch as u32, (epoch >> 32) as u32])
}

/// How the 64-bit step count maps to (epoch, step in the epoch) so that step × slots + slot stays below 2³².
#[derive(Debug, Clone, Copy)]
pub(crate) struct Epochs {
    steps: u64,
}

impl Epochs {
    pub(crate) fn new(slots: u32) -> Self {
        Self { steps: (1u64 << 32) / u64::from(slots.max(1)) }
    }

    pub(crate) fn epoch(&self, step: u64) -> u64 {
        step / self.steps
    }

    pub(crate) fn step_in_epoch(&self, step: u64) -> u32 {
        (step % self.steps) as u32
    }

    /// Steps from this one to the end of its epoch; a dispatch never crosses it.
    pub(crate) fn left(&self, step: u64) -> u64 {
        self.steps - step % self.steps
    }
}

/// The random blocks of one step of one chain.
#[derive(Debug, Clone, Copy)]
pub struct Draws {
    key: [u32; 2],
    chain: u32,
    first: u32,
}

impl Draws {
    /// The blocks of `chain` in the step whose first block has the index `first` (step in the epoch × slots a step).
    pub fn new(key: [u32; 2], chain: u32, first: u32) -> Self {
        Self { key, chain, first }
    }

    /// 64 random bits.
    pub fn bits(&self, slot: u32) -> [u32; 2] {
        threefry(self.key, [self.chain, self.first.wrapping_add(slot)])
    }

    /// A uniform in (0, 1).
    pub fn uniform(&self, slot: u32) -> f64 {
        uniform(self.bits(slot))
    }

    /// The standard normal of coordinate i: what [`normals`](Self::normals) from slot 0 on gives there.
    pub fn normal(&self, i: usize) -> f64 {
        normal_pair(self.bits((i / 2) as u32))[i % 2]
    }

    /// Fills `z` with standard normals: coordinate i comes from block `slot` + i/2.
    pub fn normals(&self, slot: u32, z: &mut [f64]) {
        for (block, pair) in z.chunks_mut(2).enumerate() {
            let normals = normal_pair(self.bits(slot + block as u32));
            pair.copy_from_slice(&normals[..pair.len()]);
        }
    }
}

/// Blocks of random bits that `dim` normals take.
pub fn normal_slots(dim: usize) -> u32 {
    dim.div_ceil(2) as u32
}

/// A uniform in (0, 1): an odd multiple of 2⁻²⁴, or, below 2⁻¹⁸, of 2⁻⁴² (nine more bits from the second word). Exact in f32.
pub fn uniform(bits: [u32; 2]) -> f64 {
    if bits[0] < 0x4000 {
        f64::from((((bits[0] << 9) | (bits[1] & 511)) << 1) | 1) * (-42f64).exp2()
    } else {
        f64::from(((bits[0] >> 9) << 1) | 1) * (-24f64).exp2()
    }
}

/// Two standard normals by Box–Muller: the radius from the first word and nine bits of the second, the angle from its other 23.
pub fn normal_pair(bits: [u32; 2]) -> [f64; 2] {
    let radius = (-2.0 * uniform(bits).ln()).sqrt();
    let word = bits[1] >> 9;
    let t = f64::from(((word & 0x1f_ffff) << 1) | 1) * (-22f64).exp2() - 0.5;
    let (s, c) = (t * std::f64::consts::FRAC_PI_2).sin_cos();
    let (x, y) = match word >> 21 {
        0 => (c, s),
        1 => (-s, c),
        2 => (-c, -s),
        _ => (s, -c),
    };
    [radius * x, radius * y]
}

/// Numbers below n in random order (Fisher and Yates).
pub(crate) fn shuffled(n: usize, seed: u64, epoch: u64) -> Vec<usize> {
    let key = key(seed, Stream::Shuffle, epoch);
    let mut order: Vec<_> = (0..n).collect();
    for i in (1..n).rev() {
        let word = u64::from(threefry(key, [i as u32, 0])[0]);
        order.swap(i, ((word * (i as u64 + 1)) >> 32) as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Random123's kat_vectors, threefry2x32 20.
    #[test]
    fn threefry_gives_the_published_answers() {
        for (counter, key, expected) in [
            ([0, 0], [0, 0], [0x6b20_0159, 0x99ba_4efe]),
            ([u32::MAX; 2], [u32::MAX; 2], [0x1cb9_96fc, 0xbb00_2be7]),
            ([0x243f_6a88, 0x85a3_08d3], [0x1319_8a2e, 0x0370_7344], [0xc492_3a9c, 0x483d_f7a0]),
        ] {
            assert_eq!(threefry(key, counter), expected);
        }
    }

    #[test]
    fn epochs_never_repeat_a_block() {
        let epochs = Epochs::new(3);
        let last = epochs.steps - 1;
        assert!(u64::from(epochs.step_in_epoch(last)) * 3 + 2 < 1 << 32);
        assert_eq!((epochs.epoch(last), epochs.left(last)), (0, 1));
        assert_eq!((epochs.epoch(last + 1), epochs.step_in_epoch(last + 1)), (1, 0));
        assert_ne!(key(7, Stream::Transition, 0), key(7, Stream::Transition, 1));
    }

    #[test]
    fn uniforms_are_open_and_exact_in_f32() {
        for bits in [[0, 0], [0, 511], [0x3fff, u32::MAX], [0x4000, 0], [u32::MAX; 2]] {
            let u = uniform(bits);
            assert!(u > 0.0 && u < 1.0);
            assert_eq!(f64::from(u as f32), u);
        }
    }
}
