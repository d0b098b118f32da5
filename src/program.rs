//! Joins WGSL parts to one program, checks it before any device sees it, and reports a mistake in the part's own lines.
//!
//! A program is plain concatenation: a generated header (`const DIM`, …), the contract, the random numbers, the energy's parts,
//! the kernel and the two entry points of `shaders/main.wgsl`. No template language.

mod embed;
mod message;
mod params;
mod spread;
mod training;
mod unroll;

use std::{fmt::Write as _, ops::Range};

use naga::{
    front::wgsl,
    valid::{Capabilities, ValidationFlags, Validator},
};

use crate::{
    Error, Result,
    chains::rows::Rows,
    energy::{Call, Energy},
    kernel::Kernel,
};
use embed::with_own_names;
use message::{cause, place_of_return};
pub(crate) use message::{render, shader_error};
use params::{params_text, spread_params_text};
pub(crate) use spread::Spread;
use spread::{subgroup_text, workgroup_text};

/// WGSL grants a function 8,192 bytes of variables; three positions of f32 fit.
pub(crate) const MAX_DIM: usize = 8192 / 4 / 3 / 4 * 4;
/// Up to so many coordinates an invocation, loops over lanes have a constant trip count; above, software Vulkan takes too long to
/// compile them.
const UNROLLED_DIM: usize = 32;
/// More parameters than this an invocation are not worth a private copy.
const MAX_CACHED_PARAMS: usize = 512;
/// Numbers that a uniform binding of WebGPU holds.
const MAX_UNIFORM: usize = (64 << 10) / 4;
/// What is watched of chains, without constraints and with them.
const WATCH: [&str; 2] = [include_str!("../shaders/watch/direct.wgsl"), include_str!("../shaders/watch/constrained.wgsl")];

/// Clears the padding of a gradient, also of what is no number.
const MASKED: &str =
    "    (*grad)[BLOCKS - 1u] = select(Lane(0.0), (*grad)[BLOCKS - 1u], lane_mask(BLOCKS - 1u) != Lane(0.0));\n";

/// What depends on the dimension, where one invocation runs a chain.
const DIMENSION_PARTS: [&str; 2] = [include_str!("../shaders/whole_blocks.wgsl"), include_str!("../shaders/point.wgsl")];

/// The prefix of names in users' own texts.
const OWN: &str = "user";

/// One WGSL text with a name.
#[derive(Debug, Clone)]
struct Part {
    name: String,
    source: String,
}

impl Part {
    fn new(name: &str, source: &str) -> Self {
        Self { name: name.into(), source: source.into() }
    }
}

/// Collects the WGSL parts of an energy; equal parts enter a program once.
#[derive(Debug, Default)]
pub struct Composer {
    parts: Vec<Part>,
    generated: usize,
    /// Stem, file and text of users' own texts.
    own: Vec<[String; 3]>,
    running_index: bool,
}

impl Composer {
    /// Adds a part. Each name that it declares at module scope must begin with the stem and an underscore, so that parts cannot
    /// collide with each other, with the contract or with WGSL's builtin functions.
    ///
    /// # Errors
    /// [`Error::Shader`] where another part of this name has a different text.
    pub fn add(&mut self, stem: &str, source: &str) -> Result<()> {
        match self.parts.iter().find(|part| part.name == stem) {
            None => self.parts.push(Part::new(stem, source)),
            Some(part) if part.source == source => {}
            Some(_) => {
                return Err(shader_error(stem, format!("two different WGSL parts are both named `{stem}`; rename one")));
            }
        }
        Ok(())
    }

    /// Adds a user's own text, whose names get a prefix that no part of this crate has; what calls it.
    pub(crate) fn add_own(&mut self, stem: &str, file: &str, text: &str) -> Result<Call> {
        match self.own.iter().find(|[other, ..]| other == stem) {
            Some([_, other, known]) if known != text => {
                let message = format!("its names begin with `{stem}_`, and so do those of another text, {other}; rename one");
                return Err(shader_error(file, message));
            }
            Some(_) => {}
            None => {
                self.own.push([stem, file, text].map(str::to_owned));
                self.parts.push(Part { name: file.into(), source: with_own_names(text, OWN) });
            }
        }
        Ok(Call::new(stem, &[]).prefixed(OWN))
    }

    /// Says that jets read parameters, or add to their gradient, at an index that is no constant. Software Vulkan is several times slower
    /// at that than the CPU, which then does the passes there.
    pub fn runs_over_params(&mut self) {
        self.running_index = true;
    }

    /// A stem that no other part of this program has, for generated code.
    pub fn unique(&mut self, stem: &str) -> String {
        self.generated += 1;
        format!("{stem}_{}", self.generated)
    }
}

/// What a program is compiled for, besides its energy and kernel. The results do not depend on it but for `collect` and `store`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Collect the moments of every step.
    pub collect: bool,
    /// Write the draws of some chains into a buffer of their own; asks for `collect`.
    pub store: bool,
    /// Read the step size and its like from a table, a row a step; else they never change.
    pub scheduled: bool,
    /// Write the text as software Vulkan runs it best: few parameters are copied into variables, loops over lanes are written out.
    pub software: bool,
    /// The size of subgroups, where every one is known to be of neighbours in the workgroup; else 0. Those of one run a chain together
    /// where they can hold it. Only software asks.
    pub subgroup: usize,
    /// Leave loops over lanes as loops, also where `software` would write them out: slower, but sooner compiled.
    pub rolled: bool,
}

/// The WGSL of an energy and the expression that calls it.
pub(crate) fn text_of(target: &dyn Energy) -> Result<String> {
    let mut composer = Composer::default();
    let call = target.compose(&mut composer)?;
    let parts = composer.parts.iter().map(|part| part.source.as_str());
    Ok(parts.chain([call.energy("0u", "x").as_str()]).collect::<Vec<_>>().join("\n"))
}

/// The WGSL that every program has.
pub(crate) fn engine_text() -> String {
    // Of lanes of two and of four, whole and spread over a workgroup and over a subgroup.
    let contracts = [(1, 1, false), (3, 2, false), (3, 2, true)];
    let contracts =
        contracts.into_iter().flat_map(|(dim, shares, in_subgroup)| contract(dim, shares, in_subgroup, String::new()));
    let shared = contracts.map(|part| part.source);
    let own = [include_str!("../shaders/moments.wgsl"), include_str!("../shaders/main.wgsl")];
    shared.chain(own.into_iter().chain(WATCH).map(str::to_owned)).collect()
}

/// A checked WGSL program for one energy, one kernel, and with or without moments and draws.
#[derive(Debug)]
pub struct Program {
    source: String,
    module: naga::Module,
    info: naga::valid::ModuleInfo,
    caches_params: bool,
    shares: usize,
    group_chains: usize,
}

impl Program {
    /// Joins the parts of `target` and `kernel`.
    ///
    /// # Errors
    /// [`Error::Limit`] where the dimension does not fit WGSL's limits; [`Error::Shader`] where a part is wrong.
    pub fn new(target: &dyn Energy, kernel: &dyn Kernel, options: Options) -> Result<Self> {
        let dim = target.dim();
        check_dim(dim)?;
        let mut composer = Composer::default();
        let call = target.compose(&mut composer)?;
        let kernel_at = target.params().len();

        let rows = Rows::new(dim, kernel);
        let params = kernel_at + kernel.params(dim).len();
        let rungs = kernel.ladder().map_or(1, |ladder| ladder.rungs());
        let spread = Spread::new(target, kernel, options.subgroup);
        let shares = spread.shares;
        let rolled = options.rolled || !spread.has_constant_loops(dim);
        let mut header = shape_text(dim, shares, rolled);
        let _ = write!(
            header,
            "const GROUP = {group}u;\nconst KERNEL_AT = {kernel_at}u;\n\
             const SLOTS = {slots}u;\nconst VARIANT = {variant}u;\nconst USES_GRAD = {grad};\nconst CARRIES_MOMENTUM = {momentum};\nconst UNADJUSTED = {unadjusted};\n\
             const HAS_HAMILTONIAN = {hamiltonian};\nconst STOPPED_ROW = {stopped}u;\nconst MOMENT_ROW = {moments}u;\nconst WATCHED = {watched}u;\n\
             const STAGE_ROW = {stage}u;\nconst SWAP_ROW = {swaps}u;\nconst LADDER_AT = {ladder_at}u;\nconst RUNGS = {rungs}u;\nconst SWAP_EVERY = {swap_every}u;\n\
             fn own_steps(steps: u32) -> u32 {{ return {own_steps}; }}\n\
             const COLLECT = {collect};\nconst SCHEDULED = {scheduled};\nconst NOISY = {noisy};\n\
             fn energy(x: ptr<function, Point>) -> f32 {{ return {energy}; }}\n\
             fn energy_and_grad(x: ptr<function, Point>, grad: ptr<function, Point>) -> f32 {{\n    \
             let e = {energy_and_grad};\n{masked}    return e;\n}}\n",
            group = spread.group(),
            slots = kernel.slots(dim),
            variant = kernel.variant(),
            grad = kernel.uses_grad(),
            momentum = kernel.carries_momentum(),
            unadjusted = kernel.is_unadjusted(),
            hamiltonian = kernel.has_hamiltonian(),
            stopped = rows.stopped(),
            moments = rows.moments(),
            stage = rows.stage(),
            swaps = rows.moments() + rows.swaps().unwrap_or(0),
            // The ladder's parameters are the last ones.
            ladder_at = if rungs > 1 { params - 2 * rungs } else { 0 },
            swap_every = kernel.ladder().map_or(1, |ladder| ladder.steps_a_swap()),
            // Barriers need a trip count that does not depend on the invocation.
            own_steps = if rungs > 1 || shares > 1 { "steps" } else { "select(steps, 0u, idle)" },
            watched = rows.watched(),
            scheduled = options.scheduled,
            collect = options.collect,
            noisy = kernel.noise_level().is_some(),
            energy = call.energy("0u", "x"),
            energy_and_grad = call.energy_and_grad("0u", "x", "grad"),
            // What a user's gradient leaves in the padding would move that of the position.
            masked = if target.check_gradient() { MASKED } else { "" },
        );

        // Software Vulkan takes minutes to compile a running index into a private copy of many parameters.
        let unrolled = options.software && spread.has_constant_loops(dim);
        let fits = (params + 8 * shares).next_multiple_of(4) <= MAX_UNIFORM;
        let cached = unrolled && fits && (spread.in_subgroup || params.div_ceil(shares) <= MAX_CACHED_PARAMS);
        header.push_str(&match shares {
            1 => params_text(params, cached),
            _ => spread_params_text(params, cached, &spread, spread.in_subgroup && !options.rolled),
        });
        let mut parts = contract(dim, shares, spread.in_subgroup, header);
        let energy = parts.len()..parts.len() + composer.parts.len();
        parts.append(&mut composer.parts);
        parts.push(Part::new(kernel.name(), kernel.source()));
        parts.push(Part::new("stage", kernel.stage()));
        parts.push(Part::new("moments", include_str!("../shaders/moments.wgsl")));
        parts.push(Part::new("watch", WATCH[usize::from(target.constraints().is_some())]));
        parts.push(match options.store {
            true => Part::new("draws", include_str!("../shaders/draws.wgsl")),
            false => Part::new("draws", "fn draws_begin(index: u32) {}\nfn draws_add(x: ptr<function, Point>, e: f32) {}\n"),
        });
        parts.push(Part::new("main", include_str!("../shaders/main.wgsl")));
        // Of subgroups the header alone knows.
        let capabilities = if spread.in_subgroup { Capabilities::SUBGROUP } else { Capabilities::empty() };
        let mut program = parse(&parts, energy, capabilities, |_| Ok(()))?;
        program.expect(&["start", "advance"], bindings(options.store))?;
        if options.software && !rolled {
            // Only now, so that mistakes are reported in the text as it was written.
            let text = unroll::unroll(&program.source, lanes(dim).1.div_ceil(shares));
            program = parse(&[Part { name: "program".into(), source: text }], 0..1, capabilities, |_| Ok(()))?;
        }
        Ok(Self { caches_params: cached, shares, group_chains: spread.group_chains(), ..program })
    }

    /// Refuses what a part added to the entry points and bindings that a program has.
    fn expect(&self, entries: &[&str], bindings: usize) -> Result<()> {
        let names: Vec<_> = self.module.entry_points.iter().map(|entry| entry.name.as_str()).collect();
        let found = self.module.global_variables.iter().filter(|(_, global)| global.binding.is_some()).count();
        if names != entries || found != bindings || !self.module.overrides.is_empty() {
            return Err(shader_error("program", format!("unexpected entry points or bindings: {names:?}, {found} bindings")));
        }
        Ok(())
    }

    /// Whether the parameters are a uniform buffer that is copied into variables; else they are a storage buffer.
    pub fn caches_params(&self) -> bool {
        self.caches_params
    }

    /// Invocations that run a chain together.
    pub fn shares(&self) -> usize {
        self.shares
    }

    /// Chains that a workgroup runs.
    pub fn group_chains(&self) -> usize {
        self.group_chains
    }

    /// The WGSL text.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The checked module, for writers of other shading languages.
    pub fn module(&self) -> (&naga::Module, &naga::valid::ModuleInfo) {
        (&self.module, &self.info)
    }
}

/// Bindings of a program: see shaders/contract.wgsl and shaders/draws.wgsl.
pub(crate) fn bindings(store: bool) -> usize {
    8 + usize::from(store)
}

/// Parses a text of an energy together with the contract alone, and, once `inspect` has seen it, validates it.
pub(crate) fn parse_alone(
    name: &str,
    text: &str,
    dim: usize,
    inspect: impl FnOnce(&naga::Module) -> Result<()>,
) -> Result<naga::Module> {
    let mut header = shape_text(dim, 1, dim > UNROLLED_DIM);
    header.push_str("const SLOTS = 1u;\nconst GROUP = 64u;\n");
    header.push_str(&params_text(0, false));
    // The text stands first, so that offsets in the module are offsets in the text. WGSL does not care for the order.
    let mut parts = vec![Part::new(name, text)];
    parts.append(&mut contract(dim, 1, false, header));
    Ok(parse(&parts, 0..1, Capabilities::empty(), inspect)?.module)
}

/// Parses and validates the parts; a mistake is reported in one of the `preferred` where it touches one.
fn parse(
    parts: &[Part],
    preferred: Range<usize>,
    capabilities: Capabilities,
    inspect: impl FnOnce(&naga::Module) -> Result<()>,
) -> Result<Program> {
    let mut source = String::new();
    let mut starts = Vec::with_capacity(parts.len());
    for part in parts {
        starts.push(source.len());
        source.push_str(&part.source);
        source.push('\n');
    }
    let part_of = |offset: usize| starts.partition_point(|&start| start <= offset).saturating_sub(1);
    let locate = |spans: Vec<(Range<usize>, String)>, message: String, notes: Vec<String>, exact: bool| {
        // The validator gives a function and, within it, the expression: the shortest is the most exact.
        let place = |(span, _): &&(Range<usize>, String)| (!preferred.contains(&part_of(span.start)), span.len());
        let found = if exact { spans.iter().min_by_key(place) } else { spans.iter().min_by_key(|s| place(s).0) };
        let Some((span, label)) = found else {
            return shader_error(&parts[preferred.start].name, message);
        };
        let index = part_of(span.start);
        let own = span.start - starts[index]..span.end - starts[index];
        render(&parts[index].name, &parts[index].source, own, message, label, &notes)
    };
    let module = wgsl::parse_str(&source).map_err(|e| {
        let label = |label: &str| if label == "see msg" { String::new() } else { label.to_owned() };
        let spans = e.labels().filter_map(|(span, text)| Some((span.to_range()?, label(text)))).collect();
        // Directives, which some notes advise, are refused.
        let notes = e.notes().filter(|note| !note.contains("`enable ")).map(str::to_owned).collect();
        locate(spans, e.message().to_owned(), notes, false)
    })?;
    inspect(&module)?;
    let info = Validator::new(ValidationFlags::all(), capabilities).validate(&module).map_err(|e| {
        // The innermost place comes first; labels of the validator speak of its own numbering.
        let spans = match place_of_return(&module, e.as_inner()) {
            Some(place) => vec![(place, String::new())],
            None => e.spans().filter_map(|(span, _)| Some((span.to_range()?, String::new()))).collect(),
        };
        locate(spans, cause(e.as_inner()), Vec::new(), true)
    })?;
    Ok(Program { source, module, info, caches_params: false, shares: 1, group_chains: 64 })
}

/// The constants of a dimension. `rolled`: the compiler shall not know how many blocks loops over lanes go over.
fn shape_text(dim: usize, shares: usize, rolled: bool) -> String {
    let (lanes, blocks) = lanes(dim);
    let tail: Vec<_> = (0..lanes).map(|l| if (blocks - 1) * lanes + l < dim { "1.0" } else { "0.0" }).collect();
    let blocks = blocks.div_ceil(shares);
    let blocks_expression = if rolled { "run.blocks" } else { "BLOCKS" };
    format!(
        "const DIM = {dim}u;\nconst SHARES = {shares}u;\nconst BLOCKS = {blocks}u;\nconst TAIL_MASK = Lane({tail});\n\
         fn blocks() -> u32 {{ return {blocks_expression}; }}\n",
        tail = tail.join(", "),
    )
}

/// The parts that every energy stands on.
fn points(dim: usize, shares: usize, place: &str, header: String) -> Vec<Part> {
    let mut parts =
        vec![Part { name: "header".into(), source: header }, Part::new("lane", lane_texts(dim)[0]), Part::new("place", place)];
    // The blocks of a share are in spread.wgsl.
    parts.extend(DIMENSION_PARTS.iter().skip(usize::from(shares > 1)).map(|source| Part::new("point", source)));
    parts.push(Part::new("value", include_str!("../shaders/value.wgsl")));
    parts
}

/// What lanes of this dimension are, and their random numbers.
fn lane_texts(dim: usize) -> [&'static str; 2] {
    match lanes(dim).0 {
        2 => [include_str!("../shaders/lane2.wgsl"), include_str!("../shaders/random_lane2.wgsl")],
        _ => [include_str!("../shaders/lane4.wgsl"), include_str!("../shaders/random_lane4.wgsl")],
    }
}

/// The parts that every energy stands on in a program of chains, and its kernel.
fn contract(dim: usize, shares: usize, in_subgroup: bool, mut header: String) -> Vec<Part> {
    let place = match shares {
        1 => concat!(include_str!("../shaders/whole.wgsl"), include_str!("../shaders/whole_place.wgsl")),
        _ if in_subgroup => concat!(include_str!("../shaders/spread.wgsl"), include_str!("../shaders/spread_subgroup.wgsl")),
        _ => concat!(include_str!("../shaders/spread.wgsl"), include_str!("../shaders/spread_workgroup.wgsl")),
    };
    if shares > 1 {
        header.push_str(&if in_subgroup { subgroup_text(shares) } else { workgroup_text(shares) });
    }
    let mut parts = points(dim, shares, place, header);
    parts.extend([
        Part::new("contract", include_str!("../shaders/contract.wgsl")),
        Part::new("random_lane", lane_texts(dim)[1]),
        Part::new("threefry", include_str!("../shaders/threefry.wgsl")),
        Part::new("normal", include_str!("../shaders/normal.wgsl")),
        Part::new("random", include_str!("../shaders/random.wgsl")),
    ]);
    parts
}

/// Coordinates a lane, and lanes a position.
pub(crate) fn lanes(dim: usize) -> (usize, usize) {
    let lanes = if dim <= 2 { 2 } else { 4 };
    (lanes, dim.div_ceil(lanes))
}

/// Refuses a dimension of zero, and one whose positions do not fit a WGSL function.
pub(crate) fn check_dim(dim: usize) -> Result<()> {
    if dim == 0 {
        return Err(Error::setting("dimension of the energy", 0, "must be at least 1"));
    }
    if dim > MAX_DIM {
        return Err(Error::Limit {
            what: "dimension".into(),
            asked: dim as u64,
            allowed: MAX_DIM as u64,
            limit: "WGSL's 8,192 bytes of variables a function (three positions)".into(),
        });
    }
    Ok(())
}
