//! Has an energy gone flat? Nothing else tells: its gap is zero, and its chains move.

use super::{Order, Passes};
use crate::Result;

/// Points are blown up and shrunk by so much about their mean.
const BY: f64 = 0.05;
/// Fewer points say too little.
const FEWEST: usize = 32;
/// A rise, relative to its least value in a model that fits, from which on an energy has taken shape; and one below which it is flat.
const SHAPED: f64 = 0.5;
const FLAT: f64 = 0.05;

/// What is remembered of an energy's rise.
///
/// Where the law exp(−E/T) is that of the data, of mean m in `dim` coordinates, mean (x − m)·∇E = T dim (integration by parts), so the
/// root mean square of (x − m)·∇E is at least that. Here it is a difference of energies, of the points blown up and shrunk about their
/// mean. An energy whose rise was half of T dim or more and is below a twentieth of it has gone flat: it is no model of these data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Flatness {
    /// Whether the energy has taken shape.
    pub(crate) shaped: bool,
}

impl Flatness {
    /// Looks at the energy that the passes have, at points, `[dim][point]`, and says so where it has gone flat.
    pub(crate) fn check(&mut self, passes: &mut dyn Passes, dim: usize, x: &[f32], temperature: f64) -> Result<Option<String>> {
        let points = x.len() / dim;
        if points < FEWEST {
            return Ok(None);
        }
        let scaled = |by: f64| {
            x.chunks_exact(points).flat_map(move |row| {
                let mean = row.iter().map(|&x| f64::from(x)).sum::<f64>() / points as f64;
                row.iter().map(move |&x| (mean + by * (f64::from(x) - mean)) as f32)
            })
        };
        let [outer, inner] = [1.0 + BY, 1.0 - BY].map(|by| scaled(by).collect::<Vec<_>>());
        let outer = passes.jets(&outer, &[], Order::Value)?.values;
        let inner = passes.jets(&inner, &[], Order::Value)?.values;
        let square = outer.iter().zip(inner).map(|(outer, inner)| (outer - inner).powi(2)).sum::<f64>() / points as f64;
        let (rise, least) = (square.sqrt() / (2.0 * BY), temperature * dim as f64);
        self.shaped |= rise >= SHAPED * least;
        let is_flat = self.shaped && rise < FLAT * least;
        Ok(is_flat.then(|| {
            format!(
                "the energy has gone flat: it rises by {rise:.2e} where that of a model that fits rises by {least} or more; the learning \
                 rate or the energy regularization may be too large"
            )
        }))
    }
}
