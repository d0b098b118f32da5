//! Where everything of a network stands in the buffers of its passes, and the programs of the passes.

use bytemuck::{Pod, Zeroable};

use super::{
    Network,
    product::{self, Form, NARROW},
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

/// The rows of `work` for jets of so many parts, and the passes over them.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    network: Network,
    form: Form,
    pub(super) parts: usize,
    /// vec4s of points of an invocation.
    quads: usize,
}

impl Plan {
    /// For jets of `parts` parts.
    pub(super) fn new(network: &Network, form: Form, parts: usize) -> Self {
        Self { network: network.clone(), form, parts, quads: if parts == 1 { 2 } else { 1 } }
    }

    /// Points of a workgroup.
    pub(super) fn points_a_group(&self) -> usize {
        4 * self.quads * self.form.workgroup
    }

    fn units(&self, layer: usize) -> usize {
        self.network.sizes()[layer]
    }

    fn last(&self) -> usize {
        self.network.layers()
    }

    /// What goes into layer `layer` of weights, `[unit][part]`.
    pub(super) fn input(&self, layer: usize) -> usize {
        let rows = |layer: usize| self.parts * 3 * self.units(layer);
        if layer == 0 { 0 } else { HIDDEN + (1..layer).map(rows).sum::<usize>() }
    }

    /// What the reverse pass multiplies by at a hidden layer of units: derivatives of the activation.
    fn factors(&self, layer: usize) -> usize {
        self.input(layer) + self.parts * self.units(layer)
    }

    /// The output.
    pub(super) fn output(&self) -> usize {
        self.parts * self.units(0)
    }

    /// The adjoint of the input: of an energy, its gradient.
    pub(super) fn input_adjoint(&self) -> usize {
        self.output() + self.parts * self.units(self.last())
    }

    /// The adjoint of what layer `layer` of units had before the activation; of the last, of the output.
    pub(super) fn adjoint(&self, layer: usize) -> usize {
        match layer == self.last() {
            true => self.input_adjoint() + self.parts * self.units(0),
            false => self.factors(layer) + self.parts * self.units(layer),
        }
    }

    /// Where rows for other uses begin, after those that the host writes and reads.
    pub(super) fn known_rows(&self) -> usize {
        self.adjoint(self.last()) + self.parts * self.units(self.last())
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
            let (inputs, outputs) = self.shape(layer, transposed);
            if self.is_narrow(layer, transposed) { product::narrow_size(inputs) } else { product::size(inputs, outputs) }
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
                    true => product::pack_narrow(shape, weight, bias, &mut packed),
                }
            }
        }
        packed
    }

    /// The layers of a pass forwards, then of one backwards down to the input.
    pub(super) fn layers(&self) -> Vec<Layer> {
        let last = self.last();
        let forward = (0..last).map(|layer| match layer + 1 == last {
            false => {
                let factors = self.factors(layer + 1) as u32;
                Layer { factors, ..self.layer(layer, false, self.input(layer), self.input(layer + 1), ACTIVATE) }
            }
            true => self.layer(layer, false, self.input(layer), self.output(), RAW),
        });
        let reverse = (0..last).rev().map(|layer| match layer {
            0 => self.layer(layer, true, self.adjoint(1), self.input_adjoint(), RAW),
            _ => {
                let factors = self.factors(layer) as u32;
                Layer { factors, ..self.layer(layer, true, self.adjoint(layer + 1), self.adjoint(layer), REVERSE) }
            }
        });
        forward.chain(reverse).collect()
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

    /// What all programs stand on. `gradient`: the passes are of one part, from an energy, which is the output, to its gradient; of what
    /// is in between, only what they need is stored.
    fn base(&self, gradient: bool) -> String {
        let Self { form: Form { workgroup, .. }, parts, quads, .. } = self;
        format!(
            "const PARTS = {parts}u;\nconst QUADS = {quads}u;\nconst GROUP = {workgroup}u;\nconst GRADIENT = {gradient};\n\
             fn activation(z: f32) -> vec4<f32> {{ return net_{}(z); }}\n{}{}{}",
            self.network.activation().name(),
            include_str!("../../shaders/net/activation.wgsl"),
            include_str!("../../shaders/proof.wgsl"),
            include_str!("../../shaders/net/passes.wgsl"),
        )
    }

    /// What passes stand on.
    fn through(&self, gradient: bool) -> String {
        let narrow = self.units(self.last()).max(self.units(0)).min(NARROW);
        [
            self.base(gradient),
            product::apply(self.form, self.parts, self.quads, narrow),
            include_str!("../../shaders/net/through.wgsl").into(),
        ]
        .concat()
    }

    /// The program that takes columns through layers.
    pub(super) fn pass(&self, gradient: bool) -> String {
        [
            self.through(gradient),
            self.form.head("pass_of_layers"),
            "    take_columns(group.x, local);\n    let turns = through(settings.first_layer, settings.last_layer);\n    \
             prove(group.x * GROUP + local, turns.x, turns.y);\n}\n"
                .into(),
        ]
        .concat()
    }

    /// The program of Langevin steps.
    pub(super) fn langevin(&self) -> String {
        [
            self.through(true),
            include_str!("../../shaders/threefry.wgsl").into(),
            include_str!("../../shaders/normal.wgsl").into(),
            include_str!("../../shaders/net/langevin.wgsl").into(),
            self.form.head("langevin"),
            "    take_columns(group.x, local);
    var turns = vec2<u32>(0u);
    var step = 0u;
    for (; step < settings.steps; step++) {
        turns += through(settings.first_layer, settings.last_layer);
        langevin_step(settings.first_step + step);
    }
    prove(group.x * GROUP + local, turns.x + step, turns.y + settings.steps);
}
"
            .into(),
        ]
        .concat()
    }

    /// The program of sums over points, so many rows a workgroup.
    pub(super) fn sum_over_points(&self, rows: usize) -> String {
        self.base(false) + &sums::sum_over_points(self.form, rows)
    }
}
