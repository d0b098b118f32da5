//! Where everything of a network stands in the buffers of its passes, and the programs of the passes.

use bytemuck::{Pod, Zeroable};

use super::{
    Network,
    narrow::{NARROW, narrow_size, pack_narrow},
    product::{self, Form},
    sums,
};

/// A layer as the passes read it; the same as in shaders/net/passes.wgsl.
#[derive(Debug, Clone, Copy, Pod, Zeroable)]
#[repr(C)]
pub(super) struct Layer {
    source: u32,
    inputs: u32,
    outputs: u32,
    weights_at: u32,
    to: u32,
    finish: u32,
    factors: u32,
    narrow: u32,
}

/// Marks rows of hidden layers.
const HIDDEN: usize = 0x8000_0000;
const RAW: u32 = 0;
const ACTIVATE: u32 = 1;
const REVERSE: u32 = 2;

/// What passes compute, and leave in `work`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// Jets of so many parts, the fourth being a slope along a second direction, and from their adjoints those of all layers.
    Jets(usize),
    /// An energy and its gradient.
    Gradient,
    /// The same, leaving what [`Along`](Self::Along) needs.
    Kept,
    /// After [`Kept`](Self::Kept), the slope along a direction and the adjoints of all layers.
    Along,
}

impl Kind {
    pub(super) const ALL: [Self; 7] =
        [Self::Jets(1), Self::Jets(2), Self::Jets(3), Self::Jets(4), Self::Gradient, Self::Kept, Self::Along];

    /// Parts that go through the layers at once.
    fn parts(self) -> usize {
        match self {
            Self::Jets(parts) => parts,
            _ => 1,
        }
    }

    /// Rows of a unit.
    pub(super) fn stride(self) -> usize {
        match self {
            Self::Jets(parts) => parts,
            Self::Gradient => 1,
            Self::Kept | Self::Along => 2,
        }
    }

    /// Whether an energy goes to its gradient in one pass.
    fn is_gradient(self) -> bool {
        matches!(self, Self::Gradient | Self::Kept)
    }
}

/// The rows of `work` for passes of a kind, and their programs.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    network: Network,
    form: Form,
    pub(super) kind: Kind,
    /// Rows of a unit.
    pub(super) stride: usize,
}

impl Plan {
    pub(super) fn new(network: &Network, form: Form, kind: Kind) -> Self {
        Self { network: network.clone(), form, kind, stride: kind.stride() }
    }

    /// vec4s of points of an invocation.
    fn quads(&self) -> usize {
        self.form.quads(self.kind.parts())
    }

    /// Points of a workgroup.
    pub(super) fn points_a_group(&self) -> usize {
        4 * self.quads() * self.form.across
    }

    fn units(&self, layer: usize) -> usize {
        self.network.sizes()[layer]
    }

    fn last(&self) -> usize {
        self.network.layers()
    }

    /// What goes into layer `layer` of weights.
    pub(super) fn input(&self, layer: usize) -> usize {
        let rows = |layer: usize| self.stride * 3 * self.units(layer);
        if layer == 0 { 0 } else { HIDDEN + (1..layer).map(rows).sum::<usize>() }
    }

    /// What the reverse pass multiplies by at a hidden layer of units: derivatives of the activation.
    fn factors(&self, layer: usize) -> usize {
        self.input(layer) + self.stride * self.units(layer)
    }

    /// The output.
    pub(super) fn output(&self) -> usize {
        self.stride * self.units(0)
    }

    /// The adjoint of the input: of an energy, its gradient.
    pub(super) fn input_adjoint(&self) -> usize {
        self.output() + self.stride * self.units(self.last())
    }

    /// The adjoint of what layer `layer` of units had before the activation; of the last, of the output.
    pub(super) fn adjoint(&self, layer: usize) -> usize {
        match layer == self.last() {
            true => self.input_adjoint() + self.stride * self.units(0),
            false => self.factors(layer) + self.stride * self.units(layer),
        }
    }

    /// Where rows for other uses begin, after those that the host writes and reads.
    pub(super) fn known_rows(&self) -> usize {
        self.adjoint(self.last()) + self.stride * self.units(self.last())
    }

    /// Rows of the hidden layers.
    pub(super) fn hidden_rows(&self) -> usize {
        self.input(self.last()) - HIDDEN
    }

    /// Whether the layer, or its transpose, is narrow: the last of its pass, of few outputs, after one that it can join even where only
    /// the gradient is asked for.
    fn is_narrow(&self, layer: usize, transposed: bool) -> bool {
        match transposed {
            false => layer + 1 == self.last() && self.units(self.last()) <= NARROW,
            true => layer == 0 && self.units(0) <= NARROW && self.last() > 2,
        }
    }

    /// Inputs and outputs of a layer, or of its transpose.
    fn shape(&self, layer: usize, transposed: bool) -> (usize, usize) {
        let (inputs, outputs) = self.network.shape(layer);
        if transposed { (outputs, inputs) } else { (inputs, outputs) }
    }

    /// First vec4 of the weights of a layer, or of its transpose.
    fn weights_at(&self, layer: usize, transposed: bool) -> usize {
        let size = |layer, transposed| {
            let shape = self.shape(layer, transposed);
            if self.is_narrow(layer, transposed) { narrow_size(shape.0) } else { product::size(shape) }
        };
        let forward = |layers: usize| (0..layers).map(|layer| size(layer, false)).sum::<usize>();
        match transposed {
            false => forward(layer),
            true => forward(self.last()) + (0..layer).map(|layer| size(layer, true)).sum::<usize>(),
        }
    }

    /// The weights as the passes read them: all layers, then their transposes, which have no biases.
    pub(super) fn pack(&self, params: &[f32]) -> Vec<f32> {
        let mut packed = Vec::with_capacity(4 * self.weights_at(self.last(), true));
        for transposed in [false, true] {
            for layer in 0..self.last() {
                let (inputs, outputs) = self.network.shape(layer);
                let (weights, biases) = params[self.network.layer_range(layer)].split_at(inputs * outputs);
                let weight = |o: usize, k: usize| if transposed { weights[k * inputs + o] } else { weights[o * inputs + k] };
                let bias = |o: usize| if transposed { 0.0 } else { biases[o] };
                let shape = self.shape(layer, transposed);
                match self.is_narrow(layer, transposed) {
                    false => product::pack(shape, weight, bias, &mut packed),
                    true => pack_narrow(shape, weight, bias, &mut packed),
                }
            }
        }
        packed
    }

    /// The layers of a pass forwards, then of one backwards down to the input.
    pub(super) fn layers(&self) -> Vec<Layer> {
        let (forward, backward) = (0..self.last(), (0..self.last()).rev());
        if self.kind == Kind::Along {
            // Neither to the output nor to the input.
            let hidden = forward.take(self.last() - 1).map(|layer| self.forward(layer, 1));
            return hidden.chain(backward.take(self.last() - 1).map(|layer| self.backward(layer, 0))).collect();
        }
        // The adjoints of what comes before stand in the last rows of what is kept.
        let adjoint = usize::from(self.kind == Kind::Kept);
        forward.map(|layer| self.forward(layer, 0)).chain(backward.map(|layer| self.backward(layer, adjoint))).collect()
    }

    /// A layer forwards, between these rows of units.
    fn forward(&self, layer: usize, row: usize) -> Layer {
        let source = self.input(layer) + row;
        match layer + 1 == self.last() {
            true => self.layer(layer, false, source, self.output(), RAW),
            false => {
                let factors = self.factors(layer + 1) as u32;
                Layer { factors, ..self.layer(layer, false, source, self.input(layer + 1) + row, ACTIVATE) }
            }
        }
    }

    /// A layer backwards, between these rows of adjoints.
    fn backward(&self, layer: usize, row: usize) -> Layer {
        let source = self.adjoint(layer + 1) + row;
        match layer {
            0 => self.layer(layer, true, source, self.input_adjoint(), RAW),
            _ => {
                let factors = self.factors(layer) as u32;
                Layer { factors, ..self.layer(layer, true, source, self.adjoint(layer) + row, REVERSE) }
            }
        }
    }

    fn layer(&self, layer: usize, transposed: bool, source: usize, to: usize, finish: u32) -> Layer {
        let (inputs, outputs) = self.shape(layer, transposed);
        Layer {
            source: source as u32,
            inputs: inputs as u32,
            outputs: outputs as u32,
            weights_at: self.weights_at(layer, transposed) as u32,
            to: to as u32,
            finish,
            factors: 0,
            narrow: self.is_narrow(layer, transposed).into(),
        }
    }

    /// What all programs stand on.
    fn base(&self) -> String {
        let Self { kind, stride, form: Form { across, shares, .. }, .. } = self;
        format!(
            "const PARTS = {}u;\nconst STRIDE = {stride}u;\nconst QUADS = {}u;\nconst GROUP = {across}u;\nconst SHARES = {shares}u;\n\
             fn activation(z: f32) -> vec4<f32> {{ return net_{}(z); }}\n{}{}{}",
            kind.parts(),
            self.quads(),
            self.network.activation().name(),
            include_str!("../../shaders/net/activation.wgsl"),
            include_str!("../../shaders/proof.wgsl"),
            include_str!("../../shaders/net/passes.wgsl"),
        )
    }

    /// What passes stand on.
    fn through(&self) -> String {
        let narrow = self.units(self.last()).max(self.units(0)).min(NARROW);
        let (finish, narrow) = match self.kind {
            Kind::Jets(_) => (include_str!("../../shaders/net/jets.wgsl"), narrow),
            Kind::Gradient => (include_str!("../../shaders/net/gradient.wgsl"), narrow),
            Kind::Kept => (include_str!("../../shaders/net/kept.wgsl"), narrow),
            Kind::Along => (include_str!("../../shaders/net/along.wgsl"), 0),
        };
        [
            self.base(),
            format!("const GRADIENT = {};\n\n", self.kind.is_gradient()),
            finish.into(),
            product::apply(self.form, self.kind.parts(), narrow, self.kind != Kind::Along),
            include_str!("../../shaders/net/through.wgsl").into(),
        ]
        .concat()
    }

    /// The program that takes columns through layers.
    pub(super) fn pass(&self) -> String {
        [
            self.through(),
            self.form.head("pass_of_layers"),
            "    take_columns(group.x, local);\n    let turns = through(settings.first_layer, settings.last_layer);\n    \
             prove(group.x * GROUP * SHARES + local, turns.x, turns.y);\n}\n"
                .into(),
        ]
        .concat()
    }

    /// The program of Langevin steps.
    pub(super) fn langevin(&self) -> String {
        [
            self.through(),
            include_str!("../../shaders/threefry.wgsl").into(),
            include_str!("../../shaders/normal.wgsl").into(),
            include_str!("../../shaders/net/langevin.wgsl").into(),
            self.form.head("langevin"),
            "    take_columns(group.x, local);
    var turns = vec2<u32>(0u);
    var step = 0u;
    for (; step < settings.steps; step++) {
        turns += through(settings.first_layer, settings.last_layer);
        if (share == 0u) { langevin_step(settings.first_step + step); }
        meet();
    }
    prove(group.x * GROUP * SHARES + local, turns.x + step, turns.y + settings.steps);
}
"
            .into(),
        ]
        .concat()
    }

    /// The program of sums over points, so many rows a workgroup.
    pub(super) fn sum_over_points(&self, rows: usize) -> String {
        self.base() + &sums::sum_over_points(self.form, rows)
    }
}
