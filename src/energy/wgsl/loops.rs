//! Whether a loop can end at all.

use naga::{Block, Expression, Function, Handle, Literal, Module, Statement};

/// Whether a way leads out of the loop whose body this is; `nested` within a switch or an inner loop, whose breaks end that.
pub(super) fn leaves(module: &Module, function: &Function, block: &Block, nested: bool) -> bool {
    let leaves = |block: &Block, nested: bool| leaves(module, function, block, nested);
    for statement in block.iter() {
        let found = match statement {
            Statement::Return { .. } => return true,
            Statement::Break => return !nested,
            Statement::Continue => return false,
            Statement::Block(block) => leaves(block, nested),
            Statement::If { condition, accept, reject } => match constant(module, function, *condition) {
                Some(true) => leaves(accept, nested),
                Some(false) => leaves(reject, nested),
                None => leaves(accept, nested) || leaves(reject, nested),
            },
            Statement::Switch { cases, .. } => cases.iter().any(|case| leaves(&case.body, true)),
            Statement::Loop { body, .. } => leaves(body, true),
            _ => false,
        };
        if found {
            return true;
        }
    }
    false
}

/// The value of a condition that does not change.
pub(super) fn constant(module: &Module, function: &Function, condition: Handle<Expression>) -> Option<bool> {
    let literal = match &function.expressions[condition] {
        Expression::Constant(constant) => &module.global_expressions[module.constants[*constant].init],
        expression => expression,
    };
    match literal {
        Expression::Literal(Literal::Bool(value)) => Some(*value),
        _ => None,
    }
}
