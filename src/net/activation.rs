//! The functions between the layers, with their derivatives. Twin: shaders/net/activation.wgsl.

/// What stands between two layers of a [`Network`](super::Network).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// log(1 + exp z).
    Softplus,
    /// z σ(z), with the logistic function σ (also known as swish).
    Silu,
    /// tanh z.
    Tanh,
}

impl Activation {
    /// The name in files and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Softplus => "softplus",
            Self::Silu => "silu",
            Self::Tanh => "tanh",
        }
    }

    /// The value and the first three derivatives at z. With s = σ(z) and s₁ = s(1 − s): s₂ = s₁(1 − 2s), s₃ = s₁(1 − 6s₁).
    pub(crate) fn derivatives(self, z: f64) -> [f64; 4] {
        let e = (-z.abs()).exp();
        let s = if z < 0.0 { e } else { 1.0 } / (1.0 + e);
        let s1 = s * (1.0 - s);
        let s2 = s1 * (1.0 - 2.0 * s);
        match self {
            Self::Softplus => [z.max(0.0) + e.ln_1p(), s, s1, s2],
            Self::Silu => [z * s, s + z * s1, 2.0 * s1 + z * s2, 3.0 * s2 + z * s1 * (1.0 - 6.0 * s1)],
            Self::Tanh => {
                let t = z.tanh();
                let u = 1.0 - t * t;
                [t, u, -2.0 * t * u, u * (6.0 * t * t - 2.0)]
            }
        }
    }
}
