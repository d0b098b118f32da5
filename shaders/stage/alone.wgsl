// What is done around the transitions of a chain that goes alone: nothing. The other stages, one of which a program has, are in
// this folder.

fn stage_begin(index: u32, local: u32) {}

// Before a transition: may change the step's control, and the energy and gradient where the energy itself has changed.
fn stage_before(k: u32, control: ptr<function, Control>, x: ptr<function, Point>, grad: ptr<function, Point>, e: ptr<function, f32>) {}

// After a transition, and before its draw is counted.
fn stage_after(chain: u32, step: u32, control: Control, x: ptr<function, Point>, grad: ptr<function, Point>, e: ptr<function, f32>) {}

fn stage_end(index: u32) {}
