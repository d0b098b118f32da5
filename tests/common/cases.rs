//! The energies and kernels that every promise is tested on: one row each.

use std::sync::Arc;

use ergodic::{
    Result,
    diffusion::NoiseSchedule,
    energy::{
        Ackley, Banana, Beta, Call, CholeskyGaussian, Compose, Conditioned, Constrained, Convex, Dirichlet, DoubleWell, Energy,
        Exponential, Funnel, Gamma, Gaussian, HalfCauchy, Himmelblau, InverseGamma, Mixture, Params, Rastrigin, Ring,
        Rosenbrock, SoftmaxMixture, StudentT, Sum, TwoMoons,
    },
    kernel::{
        Annealed, Drift, Hmc, Independence, Kernel, Ladder, Mala, ProbabilityFlow, Reverse, Rwm, Tempering, Ula, Underdamped,
        Variance,
    },
    net::{Activation, Mlp},
    program::Composer,
    train::{Trainable, TrainableConvex, TrainableScaled, TrainableSum},
    transform::{Affine, Log, Logit, Ordered, StickBreaking},
};

/// A named case.
pub type Case<T> = (&'static str, Arc<T>);

/// Every energy, in a dimension or two.
pub fn energies() -> Vec<Case<dyn Energy>> {
    vec![
        ("double_well_1", Arc::new(DoubleWell::new(1, 2.0).unwrap())),
        ("double_well_5", Arc::new(DoubleWell::new(5, 1.0).unwrap())),
        ("mixture_ring", Arc::new(Mixture::ring(8, 4.0, 0.5).unwrap())),
        (
            "mixture_6",
            Arc::new(Mixture::new(&[0.5, 0.3, 0.2], &[vec![-1.0; 6], vec![0.5; 6], vec![2.0; 6]], &[0.6, 1.0, 0.4]).unwrap()),
        ),
        ("mixture_grid", Arc::new(Mixture::grid(3, 2, 2.0, 0.7).unwrap())),
        (
            "mixture_covariances_3",
            Arc::new(
                Mixture::with_covariances(
                    &[0.7, 0.3],
                    &[vec![0.0; 3], vec![2.0, 1.0, -1.0]],
                    &[vec![1.0, 0.6, 0.1, 0.6, 1.5, -0.2, 0.1, -0.2, 0.7], vec![0.5, 0.0, 0.1, 0.0, 0.4, 0.0, 0.1, 0.0, 0.6]],
                )
                .unwrap(),
            ),
        ),
        ("gaussian_4", Arc::new(Gaussian::isotropic([1.0, -1.0, 0.5, 0.0], 1.5).unwrap())),
        ("gaussian_diagonal_3", Arc::new(Gaussian::diagonal([0.0, 1.0, 2.0], &[0.5, 1.0, 2.0]).unwrap())),
        ("gaussian_full_2", Arc::new(Gaussian::full([1.0, -0.5], &[2.0, 0.9, 0.9, 0.7]).unwrap())),
        ("gaussian_full_18", Arc::new(Gaussian::full(vec![0.3; 18], &correlated(18)).unwrap())),
        ("cholesky_gaussian_3", Arc::new(cholesky_gaussian(3))),
        ("cholesky_gaussian_6", Arc::new(cholesky_gaussian(6))),
        ("softmax_mixture_2", Arc::new(softmax_mixture(3, 2))),
        ("softmax_mixture_5", Arc::new(softmax_mixture(4, 5))),
        ("rosenbrock_2", Arc::new(Rosenbrock::new(2).unwrap().scaled(0.05).unwrap())),
        ("rosenbrock_9", Arc::new(Rosenbrock::new(9).unwrap().shape(0.5, 2.0).unwrap())),
        ("banana", Arc::new(Banana::new())),
        ("funnel_2", Arc::new(Funnel::new(2).unwrap().scale(1.0).unwrap())),
        ("funnel_10", Arc::new(Funnel::new(10).unwrap())),
        ("ring_2", Arc::new(Ring::new(2, 3.0, 0.5).unwrap())),
        ("ring_7", Arc::new(Ring::new(7, 2.0, 0.7).unwrap())),
        ("two_moons", Arc::new(TwoMoons::new())),
        ("himmelblau", Arc::new(Himmelblau::new().at_temperature(50.0).unwrap())),
        ("rastrigin_3", Arc::new(Rastrigin::new(3).amplitude(0.5).unwrap())),
        ("ackley_6", Arc::new(Ackley::new(6).plus(Gaussian::isotropic([0.0; 6], 3.0).unwrap()).unwrap())),
        ("sum", Arc::new(DoubleWell::new(2, 1.0).unwrap().plus(Banana::new()).unwrap())),
        ("convex_5", Arc::new(DoubleWell::new(5, 1.0).unwrap().mixed_with(0.4, Ring::new(5, 2.0, 0.5).unwrap()).unwrap())),
        ("convex_of_gaussians", Arc::new(convex_of_gaussians())),
        ("nested", Arc::new(nested())),
        ("gamma_3", Arc::new(Gamma::new(3, 2.5, 2.0).unwrap().constrain(0..3, Log::above(0.0)).unwrap())),
        ("exponential_1", Arc::new(Exponential::new(1, 1.5).unwrap().constrain(0..1, Log::above(0.0)).unwrap())),
        ("beta_5", Arc::new(Beta::new(5, 2.0, 3.0).unwrap().constrain(0..5, Logit::between(0.0, 1.0)).unwrap())),
        ("inverse_gamma_2", Arc::new(InverseGamma::new(2, 3.0, 2.0).unwrap().constrain(0..2, Log::above(0.0)).unwrap())),
        ("half_cauchy_2", Arc::new(HalfCauchy::new(2, 1.5).unwrap().constrain(0..2, Log::above(0.0)).unwrap())),
        ("student_t_4", Arc::new(StudentT::new(4, 5.0, 0.5, 1.2).unwrap())),
        ("dirichlet_2", Arc::new(Dirichlet::new(&[1.5, 2.5]).unwrap().constrain(0..2, StickBreaking).unwrap())),
        (
            "dirichlet_6",
            Arc::new(Dirichlet::new(&[1.0, 2.0, 3.0, 1.5, 0.7, 2.5]).unwrap().constrain(0..6, StickBreaking).unwrap()),
        ),
        ("ordered_5", Arc::new(Gaussian::standard(5).constrain(0..5, Ordered).unwrap())),
        ("constrained_11", Arc::new(constrained())),
        ("log_scaled_5", Arc::new(TrainableScaled::new(0.7, Arc::new(softmax_mixture(3, 5))).unwrap())),
        ("conditioned_5", Arc::new(conditioned(18, &[0, 2, 3, 11, 17]))),
        ("conditioned_2", Arc::new(conditioned(40, &[5, 37]))),
        ("conditioned_with_noise_3", Arc::new(conditioned(7, &[0, 3, 6]).with_noise(5).unwrap())),
        ("conditioned_nested_3", Arc::new(conditioned_nested())),
        (
            "conditioned_mlp_4",
            Arc::new(
                Mlp::new(9, &[11, 6], Activation::Silu, 4)
                    .unwrap()
                    .confined(0.5)
                    .unwrap()
                    .condition(held(9, &[1, 2, 5, 8]))
                    .unwrap(),
            ),
        ),
        ("mlp_softplus_2", Arc::new(Mlp::new(2, &[20], Activation::Softplus, 1).unwrap().confined(0.5).unwrap())),
        ("mlp_silu_3", Arc::new(Mlp::new(3, &[9, 17, 6], Activation::Silu, 2).unwrap().confined(0.3).unwrap())),
        ("mlp_tanh_5", Arc::new(Mlp::new(5, &[12, 8], Activation::Tanh, 3).unwrap().confined(1.0).unwrap())),
    ]
}

/// Values at which the coordinates that are not `free` are held.
fn held(dim: usize, free: &[usize]) -> Vec<(usize, f64)> {
    (0..dim).filter(|i| !free.contains(i)).map(|i| (i, 0.5 * (1.7 * i as f64).sin())).collect()
}

/// A correlated Gaussian of `dim` dimensions with few of them free.
fn conditioned(dim: usize, free: &[usize]) -> Conditioned {
    Gaussian::full(vec![0.3; dim], &correlated(dim)).unwrap().condition(held(dim, free)).unwrap()
}

/// One formula in three dimensions, in five of which three are free, and in seven of which three stay free after two rounds.
pub fn conditioned_nested() -> Sum {
    let of = |dim: usize| DoubleWell::new(dim, 0.3).unwrap().plus(Rosenbrock::new(dim).unwrap().scaled(0.05).unwrap()).unwrap();
    let twice = of(7).condition([(6, 0.4), (1, -0.3)]).unwrap().condition([(0, 0.7), (3, 1.1)]).unwrap();
    let once = of(5).condition([(2, 0.6), (3, -0.2)]).unwrap();
    of(3).plus(once).unwrap().plus(twice).unwrap()
}

/// Every transform, on ranges that begin and end within lanes; the last coordinate is free.
pub fn constrained() -> Constrained {
    constrained_of(11)
}

/// The same in `dim` ≥ 11 dimensions; the simplex takes those that are more.
pub fn constrained_of(dim: usize) -> Constrained {
    let means: Vec<_> = (0..dim).map(|i| 0.3 * (i % 4) as f64).collect();
    let positions = Gaussian::diagonal(means, &vec![1.3; dim]).unwrap();
    let rest = dim - 6;
    let constrained = positions.constrain(0..1, Log::below(2.0)).unwrap().constrain(1..rest, StickBreaking).unwrap();
    let constrained = constrained.constrain(rest..rest + 2, Logit::between(-1.0, 3.0)).unwrap();
    let constrained = constrained.constrain(rest + 2..rest + 4, Ordered).unwrap();
    constrained.constrain(rest + 4..rest + 5, Affine::new(0.5, -1.5)).unwrap()
}

/// An energy as its free coordinates see it, which are then its positions.
#[derive(Debug)]
pub struct Free(pub Arc<dyn Energy>);

impl Energy for Free {
    fn name(&self) -> String {
        self.0.name()
    }
    fn dim(&self) -> usize {
        self.0.dim()
    }
    fn params(&self) -> Vec<f32> {
        self.0.params()
    }
    fn compose(&self, program: &mut Composer) -> Result<Call> {
        self.0.compose(program)
    }
    fn energy(&self, params: Params<'_>, x: &[f64]) -> f64 {
        self.0.energy(params, x)
    }
    fn energy_and_grad(&self, params: Params<'_>, x: &[f64], grad: &mut [f64]) -> f64 {
        self.0.energy_and_grad(params, x, grad)
    }
    fn has_noise_levels(&self) -> bool {
        self.0.has_noise_levels()
    }
    fn spread(&self) -> Option<Vec<usize>> {
        self.0.spread()
    }
}

/// Energies of so many dimensions that a chain is run by several invocations, and of no multiple of their blocks.
pub fn spread() -> Vec<Case<dyn Energy>> {
    let sds: Vec<_> = (0..70).map(|i| 0.6 + 0.1 * f64::from(i % 7)).collect();
    let means = |dim: usize| (0..5).map(|j| (0..dim).map(|i| 0.2 * ((i * j) % 5) as f64 - 0.4).collect()).collect::<Vec<_>>();
    let nested = Rastrigin::new(34).amplitude(0.3).unwrap().plus(Ackley::new(34)).unwrap();
    let nested = nested.mixed_with(0.4, Gaussian::standard(34).plus(Ring::new(34, 6.0, 0.5).unwrap()).unwrap()).unwrap();
    vec![
        ("double_well_33", Arc::new(DoubleWell::new(33, 0.5).unwrap())),
        ("double_well_130", Arc::new(DoubleWell::new(130, 0.5).unwrap())),
        ("gaussian_diagonal_70", Arc::new(Gaussian::diagonal(vec![0.5; 70], &sds).unwrap())),
        ("mixture_41", Arc::new(Mixture::new(&[1.0; 5], &means(41), &[1.0; 5]).unwrap())),
        ("mixture_299", Arc::new(Mixture::new(&[1.0; 5], &means(299), &[1.0; 5]).unwrap())),
        ("softmax_mixture_37", Arc::new(softmax_mixture(3, 37))),
        ("funnel_65", Arc::new(Funnel::new(65).unwrap().scale(1.0).unwrap())),
        ("nested_34", Arc::new(nested.scaled(0.9).unwrap())),
    ]
}

/// Energies to be trained, alone and composed.
pub fn trainable() -> Vec<Case<dyn Trainable>> {
    let experts: [Arc<dyn Trainable>; 2] = [Arc::new(cholesky_gaussian(2)), Arc::new(softmax_mixture(3, 2))];
    let parts: [Arc<dyn Trainable>; 3] = [
        Arc::new(cholesky_gaussian(2)),
        Arc::new(softmax_mixture(2, 2)),
        Arc::new(TrainableSum::new(experts.clone()).unwrap()),
    ];
    let raised: Vec<_> = cholesky_gaussian(2).params().iter().map(|p| p + 0.3).collect();
    let twice: [Arc<dyn Trainable>; 2] =
        [Arc::new(cholesky_gaussian(2)), Arc::new(cholesky_gaussian(2).reparametrised(&raised).unwrap())];
    let scaled = TrainableScaled::new(0.7, Arc::new(TrainableConvex::new(&[1.0, 0.4], experts.clone()).unwrap())).unwrap();
    vec![
        ("gaussian_1", Arc::new(cholesky_gaussian(1))),
        ("gaussian_2", Arc::new(cholesky_gaussian(2))),
        ("gaussian_5", Arc::new(cholesky_gaussian(5))),
        ("mixture_1", Arc::new(softmax_mixture(1, 1))),
        ("mixture_2", Arc::new(softmax_mixture(3, 2))),
        ("mixture_6", Arc::new(softmax_mixture(5, 6))),
        ("twice", Arc::new(TrainableSum::new(twice).unwrap())),
        ("scaled", Arc::new(scaled)),
        ("sum", Arc::new(TrainableSum::new(experts).unwrap())),
        ("convex", Arc::new(TrainableConvex::new(&[0.5, 1.0, 2.0], parts).unwrap())),
    ]
}

/// Energies whose jets are loops over parameters, which are left to the CPU on software Vulkan.
pub fn trainable_by_loops() -> Vec<Case<dyn Trainable>> {
    let parts: [Arc<dyn Trainable>; 2] = [Arc::new(cholesky_gaussian(14)), Arc::new(softmax_mixture(2, 14))];
    vec![
        ("gaussian_13", Arc::new(cholesky_gaussian(13))),
        ("gaussian_32", Arc::new(cholesky_gaussian(32))),
        ("mixture_37", Arc::new(softmax_mixture(3, 37))),
        ("convex_14", Arc::new(TrainableConvex::new(&[0.5, 1.0], parts).unwrap())),
    ]
}

/// A Gaussian to be trained whose parameters are all different.
pub fn cholesky_gaussian(dim: usize) -> CholeskyGaussian {
    let start = CholeskyGaussian::isotropic(vec![0.0; dim], 1.0).unwrap();
    let params: Vec<_> = (0..start.params().len()).map(|i| 0.4 * (1.3 * i as f32).sin()).collect();
    start.reparametrised(&params).unwrap()
}

/// A mixture to be trained.
pub fn softmax_mixture(components: usize, dim: usize) -> SoftmaxMixture {
    let of = |j: usize| j as f64;
    let mean = |j: usize| (0..dim).map(|i| 2.0 * (1.7 * of(j) + of(i)).sin()).collect::<Vec<_>>();
    let weights: Vec<_> = (0..components).map(|j| 1.0 + 0.5 * of(j)).collect();
    let sds: Vec<_> = (0..components).map(|j| 0.6 + 0.2 * of(j)).collect();
    SoftmaxMixture::of(&Mixture::new(&weights, &(0..components).map(mean).collect::<Vec<_>>(), &sds).unwrap()).unwrap()
}

/// A covariance with C_ij = s_i s_j 0.6^|i − j|.
pub fn correlated(dim: usize) -> Vec<f64> {
    let sd = |i: usize| 0.7 + 0.3 * (i % 4) as f64;
    (0..dim * dim).map(|k| (k / dim, k % dim)).map(|(i, j)| sd(i) * sd(j) * 0.6f64.powi(i.abs_diff(j) as i32)).collect()
}

/// A mixture of every form that has noise levels.
pub fn convex_of_gaussians() -> Convex {
    let parts: [Arc<dyn Energy>; 3] = [
        Arc::new(Gaussian::isotropic([-1.0, 1.0], 0.6).unwrap()),
        Arc::new(Gaussian::full([1.0, 0.0], &[1.0, -0.5, -0.5, 0.6]).unwrap()),
        Arc::new(Mixture::ring(3, 2.0, 0.5).unwrap()),
    ];
    Convex::new(&[1.0, 0.5, 2.0], parts).unwrap()
}

/// One energy twice with different parameters, a shared one twice, and every operation in another.
pub fn nested() -> Sum {
    let shared: Arc<dyn Energy> = Arc::new(Gaussian::diagonal([0.5, -0.5, 0.0], &[1.0, 2.0, 1.5]).unwrap());
    let wells = DoubleWell::new(3, 0.5).unwrap().scaled(2.0).unwrap().plus(DoubleWell::new(3, 0.1).unwrap()).unwrap();
    let both = wells.mixed_with(0.3, shared.clone().at_temperature(2.0).unwrap()).unwrap();
    both.plus(shared.mixed_with(0.5, Ring::new(3, 2.0, 0.6).unwrap()).unwrap()).unwrap()
}

/// Every kernel, with settings for targets of scale one.
pub fn kernels() -> Vec<Case<dyn Kernel>> {
    vec![
        ("rwm", Arc::new(Rwm::new(0.8))),
        ("ula", Arc::new(Ula::new(0.05))),
        ("mala", Arc::new(Mala::new(0.1))),
        ("rwm_scales", Arc::new(Rwm::new(0.8).scales([0.9]))),
        ("mala_scales", Arc::new(Mala::new(0.1).scales([1.2]))),
        ("hmc", Arc::new(Hmc::new(0.2, 8).jitter(4))),
        ("hmc_mass", Arc::new(Hmc::new(0.2, 5).inverse_mass([1.3]))),
        ("independence", Arc::new(Independence::new([0.2], [1.5]))),
        ("drift", Arc::new(Drift::new(0.7, [0.4]))),
        ("annealed", Arc::new(Annealed::geometric(2.0, 0.5, 3, 2, 0.05))),
        ("reverse", Arc::new(Reverse::ancestral(&noise_schedule(), Variance::Beta))),
        ("probability_flow", Arc::new(ProbabilityFlow::new(&noise_schedule(), 80).unwrap())),
        ("underdamped", Arc::new(Underdamped::new(0.2, 1.5))),
        ("underdamped_mass", Arc::new(Underdamped::new(0.2, 0.5).inverse_mass([1.3]))),
    ]
}

/// Noise of the targets' scale, in more steps than any test takes.
fn noise_schedule() -> NoiseSchedule {
    NoiseSchedule::linear(80, 0.005, 0.05).unwrap()
}

/// Kernels on a ladder of temperatures, whose chains go in fours.
pub fn tempered() -> Vec<Case<dyn Kernel>> {
    let ladder = || Ladder::geometric(6.0, 4).swap_every(2);
    vec![
        ("tempered_rwm", Arc::new(Tempering::new(Rwm::new(0.8), ladder()))),
        ("tempered_mala", Arc::new(Tempering::new(Mala::new(0.1), ladder()))),
        ("tempered_hmc", Arc::new(Tempering::new(Hmc::new(0.2, 4).jitter(2), ladder().swap_every(1)))),
        ("tempered_independence", Arc::new(Tempering::new(Independence::new([0.2], [1.5]), ladder()))),
    ]
}

/// A composed energy of any dimension, with a full covariance in it.
pub fn high_dimension(dim: usize) -> Arc<dyn Energy> {
    let full = Gaussian::full(vec![0.1; dim], &correlated(dim)).unwrap();
    let mixed = full.mixed_with(0.5, Ring::new(dim, 1.5 * (dim as f64).sqrt(), 1.0).unwrap()).unwrap();
    Arc::new(mixed.plus(Rosenbrock::new(dim).unwrap().scaled(1e-3).unwrap()).unwrap())
}
