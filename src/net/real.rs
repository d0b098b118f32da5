//! Activations over whole slices, in f32 so that a compiler can take several numbers at a time, and in f64 for tests.

use super::Activation;

/// A number of the passes over layers.
pub(crate) trait Real: nalgebra::RealField + Copy + Default {
    /// exp, for arguments of which it is finite and not subnormal; beyond, that of the nearest.
    fn exp_within(self) -> Self;

    /// ln(1 + e) for e in [0, 1].
    fn ln_1p_within(self) -> Self;

    fn of(value: f64) -> Self;

    fn wide(self) -> f64;
}

impl Real for f64 {
    fn exp_within(self) -> Self {
        self.clamp(-700.0, 700.0).exp()
    }

    fn ln_1p_within(self) -> Self {
        self.ln_1p()
    }

    fn of(value: f64) -> Self {
        value
    }

    fn wide(self) -> f64 {
        self
    }
}

impl Real for f32 {
    /// 2ⁿ times the Taylor polynomial of exp on ±ln 2 / 2: within 2·10⁻⁷, without a branch or a call.
    #[inline(always)]
    fn exp_within(self) -> Self {
        const ROUND: f32 = 12_582_912.0;
        let x = self.clamp(-87.0, 87.0);
        // The nearest whole number stands in the lowest bits.
        let shifted = x * std::f32::consts::LOG2_E + ROUND;
        let n = shifted - ROUND;
        let r = (x - n * 0.693_359_4) + n * 2.121_944_4e-4;
        let p = 1.0 + r * (1.0 + r * (0.5 + r * (1.0 / 6.0 + r * (1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0))))));
        let scale = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
        p * scale
    }

    /// 2 artanh w with w = e/(2 + e), by its series, of which w² ≤ 1/9 leaves 10⁻⁸ after eight terms.
    #[inline(always)]
    fn ln_1p_within(self) -> Self {
        let w = self / (2.0 + self);
        let u = w * w;
        let tail = 1.0 / 7.0 + u * (1.0 / 9.0 + u * (1.0 / 11.0 + u * (1.0 / 13.0 + u * (1.0 / 15.0))));
        2.0 * w * (1.0 + u * (1.0 / 3.0 + u * (1.0 / 5.0 + u * tail)))
    }

    #[inline(always)]
    fn of(value: f64) -> Self {
        value as f32
    }

    #[inline(always)]
    fn wide(self) -> f64 {
        f64::from(self)
    }
}

/// The value and the first three derivatives at z, as [`Activation::derivatives`].
#[inline(always)]
fn silu<T: Real>(z: T) -> [T; 4] {
    let [s, s1, s2, s3] = logistic(z);
    [z * s, s + z * s1, s1 + s1 + z * s2, s2 + s2 + s2 + z * s3]
}

#[inline(always)]
fn softplus<T: Real>(z: T) -> [T; 4] {
    let [s, s1, s2, _] = logistic(z);
    [z.max(T::zero()) + (-z.abs()).exp_within().ln_1p_within(), s, s1, s2]
}

#[inline(always)]
fn tanh<T: Real>(z: T) -> [T; 4] {
    let two = T::one() + T::one();
    let e = (-two * z.abs()).exp_within();
    let t = ((T::one() - e) / (T::one() + e)).copysign(z);
    let u = T::one() - t * t;
    [t, u, -two * t * u, u * (T::of(6.0) * t * t - two)]
}

/// σ(z) and its first three derivatives.
#[inline(always)]
fn logistic<T: Real>(z: T) -> [T; 4] {
    let s = T::one() / (T::one() + (-z).exp_within());
    let s1 = s * (T::one() - s);
    [s, s1, s1 * (T::one() - s - s), s1 * (T::one() - T::of(6.0) * s1)]
}

/// From the jets z of units those of a(z), into `h`. In the place of z comes what their reverse takes: a′, a″z′ and a‴z′² + a″z″.
/// Both are `[unit][part][point]`, of so many points and one to four parts: the fourth is the slope along a second direction, whose
/// curvature is added to that along the first.
pub(super) fn activate<T: Real>(activation: Activation, parts: usize, points: usize, z: &mut [T], h: &mut [T]) {
    match activation {
        Activation::Silu => activate_by(silu, parts, points, z, h),
        Activation::Softplus => activate_by(softplus, parts, points, z, h),
        Activation::Tanh => activate_by(tanh, parts, points, z, h),
    }
}

#[inline(always)]
fn activate_by<T: Real>(f: impl Fn(T) -> [T; 4] + Copy, parts: usize, points: usize, z: &mut [T], h: &mut [T]) {
    if parts == 1 {
        return values(f, z, h);
    }
    for (z, h) in z.chunks_exact_mut(parts * points).zip(h.chunks_exact_mut(parts * points)) {
        let ((z, z1), (h, h1)) = (z.split_at_mut(points), h.split_at_mut(points));
        if parts == 2 {
            slopes(f, z, z1, h, h1);
        } else {
            let ((z1, z2), (h1, h2)) = (z1.split_at_mut(points), h1.split_at_mut(points));
            if parts == 3 {
                curvatures(f, z, z1, z2, h, h1, h2);
            } else {
                let ((z2, z3), (h2, h3)) = (z2.split_at_mut(points), h2.split_at_mut(points));
                pairs(f, z, z1, z2, z3, h, h1, h2, h3);
            }
        }
    }
}

/// From the adjoints of a(z)'s jets those of z's, by what [`activate`] left in the place of z.
pub(super) fn reverse_activate<T: Real>(parts: usize, points: usize, left: &[T], adjoint: &mut [T]) {
    if parts == 1 {
        return adjoint.iter_mut().zip(left).for_each(|(d, a1)| *d *= *a1);
    }
    for (c, d) in left.chunks_exact(parts * points).zip(adjoint.chunks_exact_mut(parts * points)) {
        let ((c, c1), (d, d1)) = (c.split_at(points), d.split_at_mut(points));
        if parts == 2 {
            reverse_slopes(c, c1, d, d1);
        } else {
            let ((c1, c2), (d1, d2)) = (c1.split_at(points), d1.split_at_mut(points));
            if parts == 3 {
                reverse_curvatures(c, c1, c2, d, d1, d2);
            } else {
                let ((c2, c3), (d2, d3)) = (c2.split_at(points), d2.split_at_mut(points));
                reverse_pairs(c, c1, c2, c3, d, d1, d2, d3);
            }
        }
    }
}

// Functions that are never inlined, since compilers know of the slices of a function, and of no others, that they do not overlap, so that
// several numbers can be taken at a time.

#[inline(never)]
fn values<T: Real>(f: impl Fn(T) -> [T; 4], z: &mut [T], h: &mut [T]) {
    for (z, h) in z.iter_mut().zip(h) {
        [*h, *z, ..] = f(*z);
    }
}

#[inline(never)]
fn slopes<T: Real>(f: impl Fn(T) -> [T; 4], z: &mut [T], z1: &mut [T], h: &mut [T], h1: &mut [T]) {
    for ((z, z1), (h, h1)) in z.iter_mut().zip(z1).zip(h.iter_mut().zip(h1)) {
        let slope = *z1;
        let [a, a1, a2, _] = f(*z);
        (*h, *h1) = (a, a1 * slope);
        (*z, *z1) = (a1, a2 * slope);
    }
}

#[inline(never)]
fn curvatures<T: Real>(
    f: impl Fn(T) -> [T; 4],
    z: &mut [T],
    z1: &mut [T],
    z2: &mut [T],
    h: &mut [T],
    h1: &mut [T],
    h2: &mut [T],
) {
    for (((z, z1), z2), ((h, h1), h2)) in z.iter_mut().zip(z1).zip(z2).zip(h.iter_mut().zip(h1).zip(h2)) {
        let (slope, curvature) = (*z1, *z2);
        let [a, a1, a2, a3] = f(*z);
        (*h, *h1, *h2) = (a, a1 * slope, a2 * slope * slope + a1 * curvature);
        (*z, *z1, *z2) = (a1, a2 * slope, a3 * slope * slope + a2 * curvature);
    }
}

#[inline(never)]
#[expect(clippy::too_many_arguments, reason = "of slices in an array compilers know less")]
fn pairs<T: Real>(
    f: impl Fn(T) -> [T; 4],
    z: &mut [T],
    z1: &mut [T],
    z2: &mut [T],
    z3: &mut [T],
    h: &mut [T],
    h1: &mut [T],
    h2: &mut [T],
    h3: &mut [T],
) {
    let (z, h) = (z.iter_mut().zip(z1).zip(z2.iter_mut().zip(z3)), h.iter_mut().zip(h1).zip(h2.iter_mut().zip(h3)));
    for (((z, z1), (z2, z3)), ((h, h1), (h2, h3))) in z.zip(h) {
        let (slope, curvature, second) = (*z1, *z2, *z3);
        let squares = slope * slope + second * second;
        let [a, a1, a2, a3] = f(*z);
        (*h, *h1, *h2, *h3) = (a, a1 * slope, a2 * squares + a1 * curvature, a1 * second);
        (*z, *z1, *z2, *z3) = (a1, a2 * slope, a3 * squares + a2 * curvature, a2 * second);
    }
}

#[inline(never)]
fn reverse_slopes<T: Real>(c: &[T], c1: &[T], d: &mut [T], d1: &mut [T]) {
    for ((d, d1), (c, c1)) in d.iter_mut().zip(d1).zip(c.iter().zip(c1)) {
        (*d, *d1) = (*c * *d + *c1 * *d1, *c * *d1);
    }
}

#[inline(never)]
fn reverse_curvatures<T: Real>(c: &[T], c1: &[T], c2: &[T], d: &mut [T], d1: &mut [T], d2: &mut [T]) {
    for (((d, d1), d2), ((c, c1), c2)) in d.iter_mut().zip(d1).zip(d2).zip(c.iter().zip(c1).zip(c2)) {
        let of_slope = *c * *d1 + (*c1 + *c1) * *d2;
        (*d, *d1, *d2) = (*c * *d + *c1 * *d1 + *c2 * *d2, of_slope, *c * *d2);
    }
}

#[inline(never)]
#[expect(clippy::too_many_arguments, reason = "of slices in an array compilers know less")]
fn reverse_pairs<T: Real>(c: &[T], c1: &[T], c2: &[T], c3: &[T], d: &mut [T], d1: &mut [T], d2: &mut [T], d3: &mut [T]) {
    let (c, d) = (c.iter().zip(c1).zip(c2.iter().zip(c3)), d.iter_mut().zip(d1).zip(d2.iter_mut().zip(d3)));
    for (((c, c1), (c2, c3)), ((d, d1), (d2, d3))) in c.zip(d) {
        let (of_slope, of_second) = (*c * *d1 + (*c1 + *c1) * *d2, *c * *d3 + (*c3 + *c3) * *d2);
        (*d, *d1, *d2, *d3) = (*c * *d + *c1 * *d1 + *c2 * *d2 + *c3 * *d3, of_slope, *c * *d2, of_second);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn activations_are_those_of_networks() {
        for (activation, f32s, f64s) in [
            (Activation::Silu, silu::<f32> as fn(f32) -> [f32; 4], silu::<f64> as fn(f64) -> [f64; 4]),
            (Activation::Softplus, softplus, softplus),
            (Activation::Tanh, tanh, tanh),
        ] {
            for i in -3000..=3000 {
                let z = 0.01 * f64::from(i) + 1e-4;
                let wide = f64s(z);
                let narrow = f32s(z as f32).map(f64::from);
                for (expected, (wide, narrow)) in activation.derivatives(z).into_iter().zip(wide.into_iter().zip(narrow)) {
                    assert!((wide - expected).abs() < 1e-13 * (1.0 + z.abs()), "{activation:?} at {z}: {wide}, not {expected}");
                    assert!(
                        (narrow - expected).abs() < 1e-6 * (1.0 + z.abs()),
                        "{activation:?} at {z}: {narrow}, not {expected}"
                    );
                }
            }
        }
    }
}
