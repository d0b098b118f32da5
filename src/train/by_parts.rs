//! The passes over composed energies by those over their parts, each the best that the backend has for it; what composes them is done on
//! the host.

use std::sync::Arc;

use super::{Adjoints, Jets, Order, Passes, Trainable, check_params, jet_passes::JetPasses, passes};
use crate::{Backend, Result, energy::LogSumExp};

/// The passes over a composed energy on a GPU: over the whole where there are such, else `by_parts`. None on the CPU.
pub(super) fn composed_passes<P: Passes + 'static>(
    whole: &dyn Trainable,
    parts: &[Arc<dyn Trainable>],
    backend: &Backend,
    by_parts: impl FnOnce(Parts) -> P,
) -> Result<Option<Box<dyn Passes>>> {
    let Some(gpu) = backend.gpu() else { return Ok(None) };
    if let Some(passes) = JetPasses::new(gpu, whole)? {
        return Ok(Some(Box::new(passes)));
    }
    let own = whole.params().len() - parts.iter().map(|part| part.params().len()).sum::<usize>();
    let passes: Vec<_> = parts.iter().map(|part| passes(part, backend)).collect::<Result<_>>()?;
    let parts = passes.into_iter().zip(parts).map(|(passes, part)| (passes, part.params().len())).collect();
    Ok(Some(Box::new(by_parts(Parts { params: whole.params()[..own].to_vec(), parts, jets: Vec::new(), traced: 0 }))))
}

/// The passes over the parts, each with its number of parameters.
#[derive(Debug)]
pub(super) struct Parts {
    /// The energy's own parameters, which come first.
    params: Vec<f32>,
    parts: Vec<(Box<dyn Passes>, usize)>,
    /// Of each part, in the last call of `jets`.
    jets: Vec<Jets>,
    traced: usize,
}

impl Parts {
    fn own(&self, i: usize) -> f64 {
        f64::from(self.params[i])
    }

    fn dim(&self) -> usize {
        self.parts.first().map_or(0, |(part, _)| part.dim())
    }

    fn set_params(&mut self, params: &[f32]) -> Result<()> {
        let own = self.params.len();
        check_params("energy", own + self.parts.iter().map(|(_, params)| params).sum::<usize>(), params)?;
        self.params.copy_from_slice(&params[..own]);
        self.jets.clear();
        self.traced = 0;
        let mut rest = &params[own..];
        for (part, len) in &mut self.parts {
            let (of_part, after) = rest.split_at(*len);
            part.set_params(of_part)?;
            rest = after;
        }
        Ok(())
    }

    fn energies_and_grads(&mut self, x: &[f32]) -> Result<Vec<(Vec<f64>, Vec<f32>)>> {
        self.parts.iter_mut().map(|(part, _)| part.energy_and_grad(x)).collect()
    }

    fn jets(&mut self, x: &[f32], v: &[f32], order: Order) -> Result<()> {
        self.jets.clear();
        self.traced = 0;
        self.jets = self.parts.iter_mut().map(|(part, _)| part.jets(x, v, order)).collect::<Result<_>>()?;
        Ok(())
    }

    fn points(&self) -> usize {
        self.jets.first().map_or(0, |jets| jets.values.len())
    }

    /// Of every part at a point; zero beyond the order asked for.
    fn jets_at(&self, point: usize) -> impl Iterator<Item = [f64; 3]> {
        self.jets
            .iter()
            .map(move |jets| [&jets.values, &jets.slopes, &jets.curvatures].map(|all| all.get(point).copied().unwrap_or(0.0)))
    }

    /// The jets of the whole, from those of the parts at each point.
    fn whole(&self, of: impl Fn(&mut dyn Iterator<Item = [f64; 3]>) -> [f64; 3], order: Order) -> Jets {
        let all: Vec<_> = (0..self.points()).map(|point| of(&mut self.jets_at(point))).collect();
        let each = |i: usize, wanted: bool| if wanted { all.iter().map(|jet| jet[i]).collect() } else { Vec::new() };
        Jets { values: each(0, true), slopes: each(1, order >= Order::Slope), curvatures: each(2, order == Order::Curvature) }
    }

    /// The gradient in the energy's own parameters, then those of the parts, each from its adjoints.
    fn param_grad(&mut self, mut own: Vec<f64>, adjoints: &[Adjoints]) -> Result<Vec<f64>> {
        for ((part, _), adjoints) in self.parts.iter_mut().zip(adjoints) {
            own.extend(part.param_grad(adjoints)?);
        }
        Ok(own)
    }
}

/// Adjoints of so many points, to be filled in.
fn zeros(points: usize) -> Adjoints {
    Adjoints { values: vec![0.0; points], slopes: vec![0.0; points], curvatures: vec![0.0; points] }
}

fn put(adjoints: &mut Adjoints, point: usize, [value, slope, curvature]: [f64; 3]) {
    adjoints.values[point] = value;
    adjoints.slopes[point] = slope;
    adjoints.curvatures[point] = curvature;
}

/// Σᵢ Eᵢ.
#[derive(Debug)]
pub(super) struct SumPasses(pub(super) Parts);

impl Passes for SumPasses {
    fn dim(&self) -> usize {
        self.0.dim()
    }

    fn set_params(&mut self, params: &[f32]) -> Result<()> {
        self.0.set_params(params)
    }

    fn energy_and_grad(&mut self, x: &[f32]) -> Result<(Vec<f64>, Vec<f32>)> {
        let mut all = self.0.energies_and_grads(x)?.into_iter();
        let (mut energies, mut grads) = all.next().unwrap_or_default();
        for (of_part, grads_of_part) in all {
            energies.iter_mut().zip(of_part).for_each(|(sum, e)| *sum += e);
            grads.iter_mut().zip(grads_of_part).for_each(|(sum, g)| *sum += g);
        }
        Ok((energies, grads))
    }

    fn jets(&mut self, x: &[f32], v: &[f32], order: Order) -> Result<Jets> {
        self.0.jets(x, v, order)?;
        let sum =
            |jets: &mut dyn Iterator<Item = [f64; 3]>| jets.fold([0.0; 3], |sum, jet| std::array::from_fn(|i| sum[i] + jet[i]));
        Ok(self.0.whole(sum, order))
    }

    fn traced(&mut self) -> Option<&mut usize> {
        Some(&mut self.0.traced)
    }

    fn param_grad(&mut self, adjoints: &Adjoints) -> Result<Vec<f64>> {
        adjoints.check(self.0.points())?;
        let all = vec![adjoints.clone(); self.0.parts.len()];
        self.0.param_grad(Vec::new(), &all)
    }
}

/// −log Σᵢ exp(log wᵢ − Eᵢ).
#[derive(Debug)]
pub(super) struct ConvexPasses(pub(super) Parts);

impl ConvexPasses {
    /// The jets of log wᵢ − Eᵢ, from those of all Eᵢ.
    fn terms(&self, jets: impl Iterator<Item = [f64; 3]>) -> Vec<[f64; 3]> {
        jets.enumerate().map(|(i, jet)| [self.0.own(i) - jet[0], -jet[1], -jet[2]]).collect()
    }
}

impl Passes for ConvexPasses {
    fn dim(&self) -> usize {
        self.0.dim()
    }

    fn set_params(&mut self, params: &[f32]) -> Result<()> {
        self.0.set_params(params)
    }

    fn energy_and_grad(&mut self, x: &[f32]) -> Result<(Vec<f64>, Vec<f32>)> {
        let all = self.0.energies_and_grads(x)?;
        let points = all[0].0.len();
        let (mut energies, mut grads) = (Vec::with_capacity(points), vec![0.0; x.len()]);
        for point in 0..points {
            let terms = self.terms(all.iter().map(|(energies, _)| [energies[point], 0.0, 0.0]));
            let sum = LogSumExp::new(&terms);
            energies.push(sum.jet()[0]);
            for at in (point..x.len()).step_by(points) {
                grads[at] =
                    sum.shares.iter().zip(&all).map(|(share, (_, grads))| share * f64::from(grads[at])).sum::<f64>() as f32;
            }
        }
        Ok((energies, grads))
    }

    fn jets(&mut self, x: &[f32], v: &[f32], order: Order) -> Result<Jets> {
        self.0.jets(x, v, order)?;
        Ok(self.0.whole(|jets| LogSumExp::new(&self.terms(jets)).jet(), order))
    }

    fn traced(&mut self) -> Option<&mut usize> {
        Some(&mut self.0.traced)
    }

    fn param_grad(&mut self, adjoints: &Adjoints) -> Result<Vec<f64>> {
        let points = self.0.points();
        adjoints.check(points)?;
        let parts = self.0.parts.len();
        let (mut own, mut of_parts) = (vec![0.0; parts], vec![zeros(points); parts]);
        for point in 0..points {
            let terms = self.terms(self.0.jets_at(point));
            let sum = LogSumExp::new(&terms);
            for (i, (own, of_part)) in own.iter_mut().zip(&mut of_parts).enumerate() {
                let of_term = sum.adjoints(i, adjoints.of(point));
                *own += of_term[0];
                put(of_part, point, of_term.map(|adjoint| -adjoint));
            }
        }
        self.0.param_grad(own, &of_parts)
    }
}

/// exp(a) E.
#[derive(Debug)]
pub(super) struct ScaledPasses(pub(super) Parts);

impl ScaledPasses {
    fn factor(&self) -> f64 {
        self.0.own(0).exp()
    }
}

impl Passes for ScaledPasses {
    fn dim(&self) -> usize {
        self.0.dim()
    }

    fn set_params(&mut self, params: &[f32]) -> Result<()> {
        self.0.set_params(params)
    }

    fn energy_and_grad(&mut self, x: &[f32]) -> Result<(Vec<f64>, Vec<f32>)> {
        let factor = self.factor();
        let (mut energies, mut grads) = self.0.energies_and_grads(x)?.swap_remove(0);
        energies.iter_mut().for_each(|e| *e *= factor);
        grads.iter_mut().for_each(|g| *g = (factor * f64::from(*g)) as f32);
        Ok((energies, grads))
    }

    fn jets(&mut self, x: &[f32], v: &[f32], order: Order) -> Result<Jets> {
        self.0.jets(x, v, order)?;
        let factor = self.factor();
        Ok(self.0.whole(|jets| jets.next().unwrap_or_default().map(|of| factor * of), order))
    }

    fn traced(&mut self) -> Option<&mut usize> {
        Some(&mut self.0.traced)
    }

    fn param_grad(&mut self, adjoints: &Adjoints) -> Result<Vec<f64>> {
        let (points, factor) = (self.0.points(), self.factor());
        adjoints.check(points)?;
        let (mut own, mut of_part) = (0.0, zeros(points));
        for point in 0..points {
            let of = adjoints.of(point);
            let jet = self.0.jets_at(point).next().unwrap_or_default();
            own += factor * of.iter().zip(jet).map(|(adjoint, jet)| adjoint * jet).sum::<f64>();
            put(&mut of_part, point, of.map(|adjoint| factor * adjoint));
        }
        self.0.param_grad(vec![own], &[of_part])
    }
}
