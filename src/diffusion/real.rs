//! Activations over whole slices, in f32 so that a compiler can take several numbers at a time, and in f64 for tests.

use crate::net::Activation;

/// A number of the passes.
pub(super) trait Real: nalgebra::RealField + Copy {
    /// exp, for arguments of which it is finite and not subnormal; beyond, that of the nearest.
    fn exp_within(self) -> Self;

    fn of(value: f64) -> Self;

    fn wide(self) -> f64;
}

impl Real for f64 {
    fn exp_within(self) -> Self {
        self.clamp(-700.0, 700.0).exp()
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

    #[inline(always)]
    fn of(value: f64) -> Self {
        value as f32
    }

    fn wide(self) -> f64 {
        f64::from(self)
    }
}

/// The value and the first two derivatives at z, as [`Activation::derivatives`].
#[inline(always)]
fn silu<T: Real>(z: T) -> [T; 3] {
    let s = T::one() / (T::one() + (-z).exp_within());
    let s1 = s * (T::one() - s);
    [z * s, s + z * s1, s1 + s1 + z * s1 * (T::one() - s - s)]
}

#[inline(always)]
fn softplus<T: Real>(z: T) -> [T; 3] {
    let s = T::one() / (T::one() + (-z).exp_within());
    let s1 = s * (T::one() - s);
    [z.max(T::zero()) + (-z.abs()).exp_within().ln_1p(), s, s1]
}

#[inline(always)]
fn tanh<T: Real>(z: T) -> [T; 3] {
    let e = (-(z.abs() + z.abs())).exp_within();
    let t = ((T::one() - e) / (T::one() + e)).copysign(z);
    let u = T::one() - t * t;
    [t, u, -(t + t) * u]
}

/// z to a(z), and slopes, where there are some, to those of a(z).
pub(super) fn activate<T: Real>(activation: Activation, values: &mut [T], slopes: &mut [T]) {
    fn each<T: Real>(values: &mut [T], slopes: &mut [T], f: impl Fn(T) -> [T; 3]) {
        if slopes.is_empty() {
            values.iter_mut().for_each(|value| *value = f(*value)[0]);
            return;
        }
        for (value, slope) in values.iter_mut().zip(slopes) {
            let [a, a1, _] = f(*value);
            *value = a;
            *slope *= a1;
        }
    }
    match activation {
        Activation::Silu => each(values, slopes, silu),
        Activation::Softplus => each(values, slopes, softplus),
        Activation::Tanh => each(values, slopes, tanh),
    }
}

/// From the adjoints of a(z) and its slopes those of z and its slopes.
pub(super) fn reverse_activate<T: Real>(
    activation: Activation,
    z: &[T],
    slopes: &[T],
    of_values: &mut [T],
    of_slopes: &mut [T],
) {
    let each = |f: fn(T) -> [T; 3]| {
        if slopes.is_empty() {
            of_values.iter_mut().zip(z).for_each(|(of_value, z)| *of_value *= f(*z)[1]);
            return;
        }
        for (((z, slope), of_value), of_slope) in z.iter().zip(slopes).zip(of_values).zip(of_slopes) {
            let [_, a1, a2] = f(*z);
            *of_value = *of_value * a1 + a2 * *slope * *of_slope;
            *of_slope *= a1;
        }
    };
    match activation {
        Activation::Silu => each(silu),
        Activation::Softplus => each(softplus),
        Activation::Tanh => each(tanh),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn activations_are_those_of_networks() {
        for (activation, f32s, f64s) in [
            (Activation::Silu, silu::<f32> as fn(f32) -> [f32; 3], silu::<f64> as fn(f64) -> [f64; 3]),
            (Activation::Softplus, softplus, softplus),
            (Activation::Tanh, tanh, tanh),
        ] {
            for i in -3000..=3000 {
                let z = 0.01 * f64::from(i) + 1e-4;
                let [a, a1, a2, _] = activation.derivatives(z);
                let wide = f64s(z);
                let narrow = f32s(z as f32).map(f64::from);
                for (expected, (wide, narrow)) in [a, a1, a2].into_iter().zip(wide.into_iter().zip(narrow)) {
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
