// Uniforms and normals from random bits. Twin: src/random.rs.
// Uniforms agree bit for bit with the twin everywhere. Normals are made from polynomials (not from the driver's log, sin and cos),
// so they agree to a few units in the last place.

// A uniform in (0, 1): an odd multiple of 2^-24, or, below 2^-18, of 2^-42 (nine more bits from the second word).
fn random_uniform(bits: vec2<u32>) -> f32 {
    let small = bits.x < 0x4000u;
    let word = select(bits.x >> 9u, (bits.x << 9u) | (bits.y & 511u), small);
    return random_odd(word) * select(0x1p-24, 0x1p-42, small);
}

// 2 word + 1 as f32, exact for 23-bit words. Through i32: many processors convert only signed integers in one instruction.
fn random_odd(word: u32) -> f32 { return f32(i32((word << 1u) | 1u)); }

// log(u) for a normal number u in (0, 1): u = 2^k m with m in [sqrt(1/2), sqrt(2)), log m by atanh's series in s = (m-1)/(m+1).
fn random_log(u: f32) -> f32 {
    let shifted = bitcast<u32>(u) - 0x3f3504f3u;
    let k = bitcast<i32>(shifted) >> 23u;
    let m = bitcast<f32>((shifted & 0x007fffffu) + 0x3f3504f3u);
    let f = m - 1.0;
    let s = f / (2.0 + f);
    let z = s * s;
    let r = z * (0.66666663 + z * (0.40000972 + z * (0.28498787 + z * 0.24279079)));
    let half = 0.5 * f * f;
    return f32(k) * 0.6931472 + (f - (half - s * (half + r)));
}

// Two standard normals by Box-Muller: the radius from one word (and the spare bits of the other), the angle from the other.
fn random_normal_pair(bits: vec2<u32>) -> vec2<f32> {
    let radius = sqrt(max(0.0, -2.0 * random_log(random_uniform(bits))));
    // The angle is quarter + t quarter-turns with t in (-1/2, 1/2).
    let word = bits.y >> 9u;
    let t = random_odd(word & 0x1fffffu) * 0x1p-22 - 0.5;
    let z = t * t;
    let s = t * (1.5707963 + z * (-0.6459641 + z * (0.07969262 + z * (-0.004681754 + z * 0.00016044119))));
    let c = 1.0 + z * (-1.2337006 + z * (0.25366950 + z * (-0.020863480 + z * 0.00091926021)));
    let swap = (word & 0x200000u) != 0u;
    let x = select(c, s, swap);
    let y = select(s, c, swap);
    // Quarter 0: (c, s); 1: (-s, c); 2: (-c, -s); 3: (s, -c).
    let negate_x = ((word >> 21u) ^ (word >> 22u)) << 31u;
    let negate_y = (word >> 22u) << 31u;
    return radius * vec2<f32>(bitcast<f32>(bitcast<u32>(x) ^ negate_x), bitcast<f32>(bitcast<u32>(y) ^ negate_y));
}
