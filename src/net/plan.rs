//! Where everything of a network stands in the buffers of its passes, and the programs of the passes.

use bytemuck::{Pod, Zeroable};

use super::{
    Network,
    product::{self, Form},
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
    other: u32,
    padding: u32,
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

    /// What goes into layer `layer` of weights, `[unit][part]`, and, after its units, a row of ones for the biases.
    pub(super) fn input(&self, layer: usize) -> usize {
        let rows = |layer: usize| self.parts * (3 * self.units(layer) + 1);
        if layer == 0 { 0 } else { HIDDEN + (1..layer).map(rows).sum::<usize>() }
    }

    /// What a hidden layer of units had before the activation.
    fn before(&self, layer: usize) -> usize {
        self.input(layer) + self.parts * (self.units(layer) + 1)
    }

    /// The output.
    pub(super) fn output(&self) -> usize {
        self.parts * (self.units(0) + 1)
    }

    /// The adjoint of the input: of an energy, its gradient.
    pub(super) fn input_adjoint(&self) -> usize {
        self.output() + self.parts * self.units(self.last())
    }

    /// The adjoint of what layer `layer` of units had before the activation; of the last, of the output.
    pub(super) fn adjoint(&self, layer: usize) -> usize {
        match layer == self.last() {
            true => self.input_adjoint() + self.parts * self.units(0),
            false => self.before(layer) + self.parts * self.units(layer),
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

    /// First vec4 of the weights of a layer, or of its transpose.
    fn weights_at(&self, layer: usize, transposed: bool) -> usize {
        // The biases are the weights of the row of ones.
        let size = |(inputs, outputs)| product::size(inputs + 1, outputs);
        let flipped = |(inputs, outputs)| product::size(outputs, inputs);
        let forward = |layers: usize| (0..layers).map(|layer| size(self.network.shape(layer))).sum::<usize>();
        match transposed {
            false => forward(layer),
            true => forward(self.last()) + (0..layer).map(|layer| flipped(self.network.shape(layer))).sum::<usize>(),
        }
    }

    /// The weights as the passes read them: all layers, then their transposes.
    pub(super) fn pack(&self, params: &[f32]) -> Vec<f32> {
        let mut packed = Vec::with_capacity(4 * self.weights_at(self.last(), true));
        for transposed in [false, true] {
            for layer in 0..self.last() {
                let (inputs, outputs) = self.network.shape(layer);
                let (weights, biases) = params[self.network.layer_range(layer)].split_at(inputs * outputs);
                match transposed {
                    false => {
                        let weight = |o: usize, k: usize| if k < inputs { weights[o * inputs + k] } else { biases[o] };
                        product::pack((inputs + 1, outputs), weight, &mut packed);
                    }
                    true => product::pack((outputs, inputs), |k, o| weights[o * inputs + k], &mut packed),
                }
            }
        }
        packed
    }

    /// The layers of a pass forwards, then of one backwards down to the input.
    pub(super) fn layers(&self) -> Vec<Layer> {
        let last = self.last();
        let forward = (0..last).map(|layer| {
            let (inputs, outputs) = self.network.shape(layer);
            let is_last = layer + 1 == last;
            let (to, other) = if is_last { (self.output(), 0) } else { (self.before(layer + 1), self.input(layer + 1)) };
            let finish = if is_last { RAW } else { ACTIVATE };
            self.layer(self.input(layer), (inputs + 1, outputs), self.weights_at(layer, false), to, finish, other)
        });
        let reverse = (0..last).rev().map(|layer| {
            let (inputs, outputs) = self.network.shape(layer);
            let (to, other) = if layer == 0 { (self.input_adjoint(), 0) } else { (self.adjoint(layer), self.before(layer)) };
            let finish = if layer == 0 { RAW } else { REVERSE };
            self.layer(self.adjoint(layer + 1), (outputs, inputs), self.weights_at(layer, true), to, finish, other)
        });
        forward.chain(reverse).collect()
    }

    fn layer(
        &self,
        source: usize,
        (inputs, outputs): (usize, usize),
        weights_at: usize,
        to: usize,
        finish: u32,
        other: usize,
    ) -> Layer {
        Layer {
            source: source as u32,
            inputs: inputs as u32,
            outputs: outputs as u32,
            weights_at: weights_at as u32,
            to: to as u32,
            finish,
            other: other as u32,
            padding: 0,
        }
    }

    /// What all programs stand on.
    fn base(&self) -> String {
        let Self { form: Form { workgroup, .. }, parts, quads, .. } = self;
        format!(
            "const PARTS = {parts}u;\nconst QUADS = {quads}u;\nconst GROUP = {workgroup}u;\n\
             fn activation(z: f32) -> vec4<f32> {{ return net_{}(z); }}\n{}{}{}",
            self.network.activation().name(),
            include_str!("../../shaders/net/activation.wgsl"),
            include_str!("../../shaders/proof.wgsl"),
            include_str!("../../shaders/net/passes.wgsl"),
        )
    }

    /// The program that takes columns through layers.
    pub(super) fn pass(&self) -> String {
        [
            self.base(),
            product::apply(self.form, self.parts, self.quads),
            include_str!("../../shaders/net/through.wgsl").into(),
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
            self.base(),
            product::apply(self.form, self.parts, self.quads),
            include_str!("../../shaders/net/through.wgsl").into(),
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

    /// The program of sums over points.
    pub(super) fn sum_over_points(&self) -> String {
        self.base() + &product::sum_over_points(self.form)
    }
}
