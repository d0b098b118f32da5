//! Joins WGSL parts to one program, checks it before any device sees it, and reports a mistake in the part's own lines.
//!
//! A program is plain concatenation: a generated header (`const DIM`, …), the contract, the random numbers, the energy's parts,
//! the kernel and the two entry points of `shaders/main.wgsl`. No template language.

use std::fmt::Write as _;

use naga::{
    front::wgsl,
    valid::{Capabilities, ValidationFlags, Validator},
};

use crate::{Error, Result, energy::Energy, kernel::Kernel};

/// WGSL grants a function 8,192 bytes of variables; three positions of f32 fit.
pub(crate) const MAX_DIM: usize = 8192 / 4 / 3 / 4 * 4;
/// Up to this dimension, loops over coordinates have a constant trip count and are unrolled; above, compiling takes too long.
const UNROLLED_DIM: usize = 128;
/// More parameters than this are not worth a private copy.
const MAX_CACHED_PARAMS: usize = 512;

/// One WGSL text with a name.
#[derive(Debug, Clone)]
struct Part {
    name: String,
    source: String,
}

/// Collects the WGSL parts of an energy; equal parts enter a program once.
#[derive(Debug, Default)]
pub struct Composer {
    parts: Vec<Part>,
    generated: usize,
}

impl Composer {
    /// Adds a part. Each name that it declares at module scope must begin with the stem and an underscore, so that parts cannot
    /// collide with each other, with the contract or with WGSL's builtin functions.
    ///
    /// # Errors
    /// [`Error::Shader`] where another part of this name has a different text.
    pub fn add(&mut self, stem: &str, source: &str) -> Result<()> {
        match self.parts.iter().find(|part| part.name == stem) {
            None => self.parts.push(Part { name: stem.into(), source: source.into() }),
            Some(part) if part.source == source => {}
            Some(_) => {
                return Err(shader_error(stem, format!("two different WGSL parts are both named `{stem}`; rename one")));
            }
        }
        Ok(())
    }

    /// A stem that no other part of this program has, for generated code.
    pub fn unique(&mut self, stem: &str) -> String {
        self.generated += 1;
        format!("{stem}_{}", self.generated)
    }
}

fn shader_error(part: &str, message: String) -> Error {
    Error::Shader { part: part.into(), line: 0, column: 0, rendered: format!("error in `{part}`: {message}"), message }
}

/// What a program is compiled for, besides its energy and kernel. The results do not depend on it but for `collect`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Collect the moments of every step.
    pub collect: bool,
    /// Read the step size and its like from a table, a row a step; else they never change.
    pub scheduled: bool,
    /// Copy few parameters into variables (for software adapters).
    pub cache_params: bool,
}

/// A checked WGSL program for one energy, one kernel, and with or without moments.
#[derive(Debug)]
pub struct Program {
    source: String,
    module: naga::Module,
    info: naga::valid::ModuleInfo,
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

        let (lanes, blocks) = lanes(dim);
        let tail: Vec<_> = (0..lanes).map(|l| if (blocks - 1) * lanes + l < dim { "1.0" } else { "0.0" }).collect();
        let unrolled = dim <= UNROLLED_DIM;
        let points = 1 + usize::from(kernel.carries_momentum());
        let mut header = String::new();
        let _ = write!(
            header,
            "const DIM = {dim}u;\nconst BLOCKS = {blocks}u;\nconst TAIL_MASK = Lane({tail});\nconst KERNEL_AT = {kernel_at}u;\n\
             const SLOTS = {slots}u;\nconst VARIANT = {variant}u;\nconst USES_GRAD = {grad};\nconst CARRIES_MOMENTUM = {momentum};\nconst UNADJUSTED = {unadjusted};\n\
             const STOPPED_ROW = {stopped}u;\nconst COLLECT = {collect};\nconst SCHEDULED = {scheduled};\nconst NOISY = {noisy};\n\
             fn blocks() -> u32 {{ return {blocks_expression}; }}\n\
             fn energy(x: ptr<function, Point>) -> f32 {{ return {energy}; }}\n\
             fn energy_and_grad(x: ptr<function, Point>, grad: ptr<function, Point>) -> f32 {{ return {energy_and_grad}; }}\n",
            tail = tail.join(", "),
            slots = kernel.slots(dim),
            variant = kernel.variant(),
            grad = kernel.uses_grad(),
            momentum = kernel.carries_momentum(),
            unadjusted = kernel.is_unadjusted(),
            stopped = 1 + points * dim,
            scheduled = options.scheduled,
            collect = options.collect,
            noisy = kernel.noise_level().is_some(),
            blocks_expression = if unrolled { "BLOCKS" } else { "run.blocks" },
            energy = call.energy("0u", "x"),
            energy_and_grad = call.energy_and_grad("0u", "x", "grad"),
        );

        // Software Vulkan takes minutes to compile a running index into a private copy of many parameters.
        let cache = options.cache_params && unrolled;
        header.push_str(&params_text(kernel_at + kernel.params(dim).len(), cache));
        let lane = if lanes == 2 { include_str!("../shaders/lane2.wgsl") } else { include_str!("../shaders/lane4.wgsl") };
        let own = |name: &str, source: &str| Part { name: name.into(), source: source.into() };
        let mut parts = vec![
            own("header", &header),
            own("lane", lane),
            own("contract", include_str!("../shaders/contract.wgsl")),
            own("random", include_str!("../shaders/random.wgsl")),
        ];
        parts.append(&mut composer.parts);
        parts.push(own(kernel.name(), kernel.source()));
        parts.push(own("main", include_str!("../shaders/main.wgsl")));
        Self::join(&parts)
    }

    fn join(parts: &[Part]) -> Result<Self> {
        let mut source = String::new();
        let mut starts = Vec::with_capacity(parts.len());
        for part in parts {
            starts.push(source.len());
            source.push_str(&part.source);
            source.push('\n');
        }
        let locate = |offset: usize, message: String, label: &str| {
            let index = starts.partition_point(|&start| start <= offset).saturating_sub(1);
            render(&parts[index].name, &parts[index].source, offset - starts[index], message, label)
        };
        let module = wgsl::parse_str(&source).map_err(|e| {
            let offset = e.labels().next().and_then(|(span, _)| span.to_range()).map_or(0, |range| range.start);
            let label = e.labels().next().map(|(_, label)| label.to_owned()).unwrap_or_default();
            locate(offset, e.message().to_owned(), &label)
        })?;
        let info = validator().validate(&module).map_err(|e| {
            let offset = e.spans().next().and_then(|(span, _)| span.to_range()).map_or(0, |range| range.start);
            locate(offset, with_sources(e.as_inner()), "")
        })?;
        let names: Vec<_> = module.entry_points.iter().map(|entry| entry.name.as_str()).collect();
        let bindings = module.global_variables.iter().filter(|(_, global)| global.binding.is_some()).count();
        if names != ["start", "advance"] || bindings != 9 || !module.overrides.is_empty() {
            return Err(shader_error(
                "program",
                format!("unexpected entry points or bindings: {names:?}, {bindings} bindings"),
            ));
        }
        Ok(Self { source, module, info })
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

/// `param(i)`, from a private copy of the parameters or from the storage buffer.
///
/// On software Vulkan a load from a storage buffer in a loop costs as much as an exponential, so few parameters are copied into
/// variables, which the compiler keeps in registers or on the stack. On real GPUs such loads are cached and copies cost registers.
fn params_text(params: usize, cache: bool) -> String {
    if !cache || params > MAX_CACHED_PARAMS {
        return "fn param(i: u32) -> f32 { return params[i]; }\nfn fill_params() {}\n".into();
    }
    // Whole lanes are read past the last parameter.
    let n = params + 3;
    let fill: String = (0..n).map(|i| format!("    cached_params[{i}] = params[{i}];\n")).collect();
    format!(
        "var<private> cached_params: array<f32, {n}>;\nfn param(i: u32) -> f32 {{ return cached_params[i]; }}\n\
         fn fill_params() {{\n{fill}}}\n"
    )
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

pub(crate) fn validator() -> Validator {
    Validator::new(ValidationFlags::all(), Capabilities::empty())
}

/// A validation error with its causes, in one line.
pub(crate) fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let _ = write!(text, ": {cause}");
        source = cause.source();
    }
    text
}

/// An error at a byte of a part, shown as rustc would.
pub(crate) fn render(part: &str, source: &str, offset: usize, message: String, label: &str) -> Error {
    let offset = offset.min(source.len());
    let start = source[..offset].rfind('\n').map_or(0, |i| i + 1);
    let line = source[..offset].matches('\n').count() as u32 + 1;
    let column = source[start..offset].chars().count() as u32 + 1;
    let text = source[start..].lines().next().unwrap_or_default();
    let margin = " ".repeat(line.to_string().len());
    let indent: String = text.chars().take(column as usize - 1).map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
    let rendered = format!(
        "error: {message}\n{margin}--> {part}:{line}:{column}\n{margin} |\n{line} | {text}\n{margin} | {indent}^ {label}\n",
    );
    Error::Shader { part: part.into(), line, column, message, rendered }
}
