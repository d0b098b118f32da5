//! What is refused in a user's WGSL although it parses and is valid: everything but arithmetic on its own variables.

use std::{collections::BTreeMap, ops::Range};

use naga::{
    AddressSpace, Arena, Block, Expression, Function, GlobalVariable, Handle, Module, Scalar, ScalarKind, Span, Statement,
    Type, TypeInner,
};

use super::{
    loops::{constant, leaves},
    scan::{ARITHMETIC, Declared, Mistake},
};

/// What an energy may call of the contract.
const CONTRACT: [&str; 14] = [
    "param",
    "param_lane",
    "blocks",
    "lane_mask",
    "lane_sum",
    "lane_of_params",
    "coordinate",
    "set_coordinate",
    "clear",
    "copy",
    "is_finite",
    "is_nan",
    "is_usable",
    "infinity",
];
/// WGSL's limit for the variables of a function; a driver may crash on more.
const MAX_VARIABLES: u64 = 8192;
/// The largest constant or value: a table larger than this belongs into the parameters.
const MAX_VALUE: u64 = 65_536;
/// Expressions and statements of an energy once all calls are inlined, as drivers do: a function that calls another twice,
/// which calls another twice, and so on, would never be compiled.
const MAX_INLINED: u64 = 65_536;
/// Calls within calls, which compilers follow by recursion.
const MAX_CALLS: usize = 32;

/// Audits the user's functions, those whose text lies before `end`.
pub(super) fn audit(module: &Module, stem: &str, end: usize, declared: &[Declared]) -> Result<(), Mistake> {
    let own = |span: Span| span.to_range().is_some_and(|range| range.start < end);
    let too_large = |bytes: u64, at: Range<usize>| {
        let message = format!("a value of {bytes} bytes is too large: at most {MAX_VALUE} are allowed");
        Err(Mistake::new(at, message).note("put large tables into the parameters: `param(at + i)`"))
    };
    let large = module.constants.iter().find(|(_, constant)| size(module, constant.ty) > MAX_VALUE);
    if let Some((handle, constant)) = large {
        return too_large(size(module, constant.ty), range(module.constants.get_span(handle)));
    }
    for (handle, ty) in module.types.iter() {
        let at = range(module.types.get_span(handle));
        match ty.inner {
            TypeInner::Pointer { .. } | TypeInner::Scalar(_) | TypeInner::Vector { .. } | TypeInner::Matrix { .. } => {}
            TypeInner::Array { .. } | TypeInner::Struct { .. } if size(module, handle) <= MAX_VALUE => {}
            TypeInner::Array { .. } | TypeInner::Struct { .. } => return too_large(size(module, handle), at),
            _ => return Err(Mistake::new(at, "this type is not allowed in an energy").note(ARITHMETIC)),
        }
    }
    // Functions stand before their callers.
    let mut known: Vec<Known> = Vec::new();
    for (handle, function) in module.functions.iter() {
        let name = declared.iter().find(|(name, _)| Some(name) == function.name.as_ref());
        let at = name.map_or_else(|| range(module.functions.get_span(handle)), |(_, at)| at.clone());
        let is_own = own(module.functions.get_span(handle));
        let found = Known { operations: function.expressions.len() as u64, ..Known::default() };
        let mut walk = Walk { module, function, end, own: is_own, known: &known, found };
        if is_own {
            variables(module, function, &at)?;
            expressions(module, function)?;
        }
        walk.block(&function.body)?;
        let found = walk.found;
        if is_own && (found.operations > MAX_INLINED || found.calls > MAX_CALLS) {
            let message = format!(
                "with all functions that it calls this is too long: {} operations, {} calls deep",
                found.operations, found.calls
            );
            return Err(Mistake::new(at, message).note(format!(
                "drivers inline all calls; at most {MAX_INLINED} operations and {MAX_CALLS} calls are allowed"
            )));
        }
        let is_energy =
            name.is_some_and(|(name, _)| [format!("{stem}_energy"), format!("{stem}_energy_and_grad")].contains(name));
        if let (true, Some(write)) = (is_energy, found.writes.get(&POSITION)) {
            return Err(Mistake::new(write.clone(), "an energy may not change its position")
                .note("copy it: `var y = *x;`, or what is needed of it"));
        }
        known.push(found);
    }
    Ok(())
}

/// The index of the argument `x` of an energy.
const POSITION: u32 = 1;

/// What is known of a function once it has been walked through.
#[derive(Debug, Default)]
struct Known {
    /// Expressions and statements, those of all callees included.
    operations: u64,
    /// Calls within calls.
    calls: usize,
    /// The arguments through which it, or a callee, writes, and where.
    writes: BTreeMap<u32, Range<usize>>,
}

fn range(span: Span) -> Range<usize> {
    span.to_range().unwrap_or(0..0)
}

fn size(module: &Module, ty: Handle<Type>) -> u64 {
    module.types[ty].inner.try_size(module.to_ctx()).map_or(u64::MAX, u64::from)
}

/// The type of pointers to a position, from a function of the contract.
fn point_type(module: &Module) -> Option<Handle<Type>> {
    let clear = module.functions.iter().find(|(_, f)| f.name.as_deref() == Some("clear"));
    clear.and_then(|(_, f)| f.arguments.first()).map(|argument| argument.ty)
}

/// Asks for the two functions of an energy.
pub(super) fn signatures(module: &Module, stem: &str, declared: &[Declared]) -> Result<(), Mistake> {
    let point = point_type(module);
    signature(module, &format!("{stem}_energy"), &[point], declared)?;
    signature(module, &format!("{stem}_energy_and_grad"), &[point, point], declared)
}

/// Refuses a missing function, or one of other arguments than (at: u32, positions…) -> f32.
fn signature(module: &Module, name: &str, positions: &[Option<Handle<Type>>], declared: &[Declared]) -> Result<(), Mistake> {
    let names = ["x", "grad"].iter().take(positions.len()).map(|x| format!(", {x}: ptr<function, Point>")).collect::<String>();
    let wanted = format!("fn {name}(at: u32{names}) -> f32");
    let Some((_, at)) = declared.iter().find(|(own, _)| own == name) else {
        return Err(Mistake::new(0..0, format!("there is no function `{name}`")).note(format!("write `{wanted}`")));
    };
    let scalar = |ty: Handle<Type>, kind: ScalarKind| module.types[ty].inner == TypeInner::Scalar(Scalar { kind, width: 4 });
    let fits = |function: &Function| {
        let [at, rest @ ..] = function.arguments.as_slice() else { return false };
        scalar(at.ty, ScalarKind::Uint)
            && rest.iter().map(|argument| Some(argument.ty)).eq(positions.iter().copied())
            && function.result.as_ref().is_some_and(|result| scalar(result.ty, ScalarKind::Float))
    };
    if module.functions.iter().any(|(_, function)| function.name.as_deref() == Some(name) && fits(function)) {
        return Ok(());
    }
    Err(Mistake::new(at.clone(), format!("`{name}` has the wrong arguments or result")).label(format!("expected `{wanted}`")))
}

fn variables(module: &Module, function: &Function, at: &Range<usize>) -> Result<(), Mistake> {
    let locals: u64 = function.local_variables.iter().map(|(_, local)| size(module, local.ty)).fold(0, u64::saturating_add);
    if locals > MAX_VARIABLES {
        let message = format!("the variables of this function take {locals} bytes; WGSL grants a function {MAX_VARIABLES}");
        return Err(Mistake::new(at.clone(), message));
    }
    Ok(())
}

/// Refuses expressions that reach beyond the function's own values.
fn expressions(module: &Module, function: &Function) -> Result<(), Mistake> {
    for (handle, expression) in function.expressions.iter() {
        let at = range(function.expressions.get_span(handle));
        match *expression {
            Expression::GlobalVariable(global) => return Err(global_variable(&module.global_variables, global, at)),
            Expression::Literal(_)
            | Expression::Constant(_)
            | Expression::ZeroValue(_)
            | Expression::Compose { .. }
            | Expression::Access { .. }
            | Expression::AccessIndex { .. }
            | Expression::Splat { .. }
            | Expression::Swizzle { .. }
            | Expression::FunctionArgument(_)
            | Expression::LocalVariable(_)
            | Expression::Load { .. }
            | Expression::Unary { .. }
            | Expression::Binary { .. }
            | Expression::Select { .. }
            | Expression::Relational { .. }
            | Expression::Math { .. }
            | Expression::As { .. }
            | Expression::CallResult(_) => {}
            _ => return Err(Mistake::new(at, "this is not allowed in an energy").note(ARITHMETIC)),
        }
    }
    for argument in &function.arguments {
        if let TypeInner::Pointer { space, .. } = module.types[argument.ty].inner
            && space != AddressSpace::Function
        {
            let at = range(module.types.get_span(argument.ty));
            return Err(Mistake::new(at, "pointers must be of the form `ptr<function, T>`"));
        }
    }
    Ok(())
}

fn global_variable(globals: &Arena<GlobalVariable>, global: Handle<GlobalVariable>, at: Range<usize>) -> Mistake {
    let name = globals[global].name.as_deref().unwrap_or("this variable");
    Mistake::new(at, format!("`{name}` belongs to the program, not to an energy")).note("read parameters with `param(at + i)`")
}

/// A walk over the statements of a function.
struct Walk<'a> {
    module: &'a Module,
    function: &'a Function,
    end: usize,
    own: bool,
    known: &'a [Known],
    found: Known,
}

impl Walk<'_> {
    fn block(&mut self, block: &Block) -> Result<(), Mistake> {
        block.span_iter().try_for_each(|(statement, span)| self.statement(statement, range(*span)))
    }

    fn statement(&mut self, statement: &Statement, at: Range<usize>) -> Result<(), Mistake> {
        self.found.operations = self.found.operations.saturating_add(1);
        match statement {
            Statement::Block(block) => self.block(block),
            Statement::If { accept, reject, .. } => {
                self.block(accept)?;
                self.block(reject)
            }
            Statement::Switch { cases, .. } => cases.iter().try_for_each(|case| self.block(&case.body)),
            Statement::Loop { body, continuing, break_if } => {
                let out = leaves(self.module, self.function, body, false);
                let ends = match break_if {
                    Some(condition) => constant(self.module, self.function, *condition) != Some(false) || out,
                    None => out,
                };
                if self.own && !ends {
                    return Err(Mistake::new(at, "this loop never ends").note("give it a condition, a `break` or a `return`"));
                }
                self.block(body)?;
                self.block(continuing)
            }
            Statement::Call { function, arguments, .. } => self.call(*function, arguments, at),
            Statement::Emit(_) | Statement::Break | Statement::Continue | Statement::Return { .. } => Ok(()),
            Statement::Store { pointer, .. } => {
                self.write(*pointer, &at);
                Ok(())
            }
            _ if self.own => Err(Mistake::new(at, "this is not allowed in an energy").note(ARITHMETIC)),
            _ => Ok(()),
        }
    }

    fn call(&mut self, callee: Handle<Function>, arguments: &[Handle<Expression>], at: Range<usize>) -> Result<(), Mistake> {
        let known = self.known;
        if let Some(callee) = known.get(callee.index()) {
            self.found.operations = self.found.operations.saturating_add(callee.operations);
            self.found.calls = self.found.calls.max(callee.calls + 1);
            for &argument in callee.writes.keys() {
                if let Some(&pointer) = arguments.get(argument as usize) {
                    self.write(pointer, &at);
                }
            }
        }
        if !self.own {
            return Ok(());
        }
        let name = self.module.functions[callee].name.as_deref().unwrap_or_default();
        let is_own = range(self.module.functions.get_span(callee)).start < self.end;
        if !is_own && !CONTRACT.contains(&name) {
            return Err(Mistake::new(at, format!("`{name}` belongs to the program, not to an energy")));
        }
        // WGSL wants whole variables here, and naga's writer of SPIR-V panics on others.
        let is_whole = |argument: &Handle<Expression>| match self.function.expressions[*argument] {
            Expression::Access { base, .. } | Expression::AccessIndex { base, .. } => !self.is_pointer(base),
            _ => true,
        };
        match arguments.iter().find(|argument| !is_whole(argument)) {
            None => Ok(()),
            Some(&argument) => {
                let at = range(self.function.expressions.get_span(argument));
                let message = "a pointer argument must point to a whole variable";
                Err(Mistake::new(at, message).label("a part of one").note("copy the part into a `var` and pass `&` of it"))
            }
        }
    }

    /// The variable or argument that an expression is (a part of), if it is a pointer.
    fn root(&self, expression: Handle<Expression>) -> Option<&Expression> {
        match &self.function.expressions[expression] {
            variable @ (Expression::LocalVariable(_) | Expression::GlobalVariable(_)) => Some(variable),
            argument @ Expression::FunctionArgument(i) => {
                let ty = self.function.arguments.get(*i as usize).map(|argument| argument.ty);
                ty.is_some_and(|ty| matches!(self.module.types[ty].inner, TypeInner::Pointer { .. })).then_some(argument)
            }
            Expression::Access { base, .. } | Expression::AccessIndex { base, .. } => self.root(*base),
            _ => None,
        }
    }

    fn is_pointer(&self, expression: Handle<Expression>) -> bool {
        self.root(expression).is_some()
    }

    /// Notes a write through a pointer.
    fn write(&mut self, pointer: Handle<Expression>, at: &Range<usize>) {
        if let Some(&Expression::FunctionArgument(i)) = self.root(pointer) {
            self.found.writes.entry(i).or_insert(at.clone());
        }
    }
}
