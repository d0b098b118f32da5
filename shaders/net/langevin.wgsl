// Unadjusted Langevin steps of a network's energy, all layers at once: x' = x - h grad E(x) + noise z. The same random numbers as
// shaders/kernel/ula.wgsl. A chain whose energy or gradient is not usable goes back to where it last was, and stops.
// Rows from state_at: the position before the last step, [dim]; then 1 where the chain has stopped.

fn usable(energy: vec4<f32>, size: vec4<f32>) -> vec4<bool> {
    let e = bitcast<vec4<u32>>(energy) & vec4<u32>(0x7f800000u);
    let s = bitcast<vec4<u32>>(size) & vec4<u32>(0x7f800000u);
    return (e < vec4<u32>(0x7f800000u)) & (s < vec4<u32>(0x7f800000u)) & (abs(energy) < vec4<f32>(1e30));
}

fn langevin_step(step: u32) {
    let dim = settings.dim;
    let slots = (dim + 1u) / 2u;
    for (var quad = 0u; quad < QUADS; quad++) {
        var square = vec4<f32>(0.0);
        var size = vec4<f32>(0.0);
        for (var i = 0u; i < dim; i++) {
            let x = work[own(i) + quad];
            let grad = work[own(settings.grad_at + i) + quad] + settings.confinement * x;
            square += x * x;
            size += grad * grad;
        }
        // The network's output stands before its gradient.
        let energy = work[own(settings.grad_at - 1u) + quad] + 0.5 * settings.confinement * square;
        let good = usable(energy, size);
        let stopped = work[own(settings.state_at + dim) + quad];
        let goes = good & (stopped == vec4<f32>(0.0));
        work[own(settings.state_at + dim) + quad] = select(vec4<f32>(1.0), vec4<f32>(0.0), goes);
        let chain = settings.first_chain + 4u * (known_at + quad);
        for (var pair = 0u; pair < slots; pair++) {
            let index = step * slots + pair;
            let a = random_normal_pair(threefry(settings.key, vec2<u32>(chain, index)));
            let b = random_normal_pair(threefry(settings.key, vec2<u32>(chain + 1u, index)));
            let c = random_normal_pair(threefry(settings.key, vec2<u32>(chain + 2u, index)));
            let d = random_normal_pair(threefry(settings.key, vec2<u32>(chain + 3u, index)));
            for (var half = 0u; half < 2u; half++) {
                let i = 2u * pair + half;
                if (i < dim) {
                    let z = select(vec4<f32>(a.y, b.y, c.y, d.y), vec4<f32>(a.x, b.x, c.x, d.x), half == 0u);
                    let x = work[own(i) + quad];
                    let before = work[own(settings.state_at + i) + quad];
                    let grad = work[own(settings.grad_at + i) + quad] + settings.confinement * x;
                    let moved = x - settings.step_size * grad + settings.noise * z;
                    let kept = select(before, x, good);
                    work[own(settings.state_at + i) + quad] = kept;
                    work[own(i) + quad] = select(kept, moved, goes);
                }
            }
        }
    }
}
