// The random bits that all else is made of. Twin: src/random.rs.

fn threefry_round(x: vec2<u32>, left: u32) -> vec2<u32> {
    let sum = x.x + x.y;
    return vec2<u32>(sum, ((x.y << left) | (x.y >> (32u - left))) ^ sum);
}

// Threefry2x32 with 20 rounds (Salmon et al. 2011).
fn threefry(key: vec2<u32>, counter: vec2<u32>) -> vec2<u32> {
    let last = 0x1bd11bdau ^ key.x ^ key.y;
    var x = counter + key;
    x = threefry_round(x, 13u); x = threefry_round(x, 15u); x = threefry_round(x, 26u); x = threefry_round(x, 6u);
    x += vec2<u32>(key.y, last + 1u);
    x = threefry_round(x, 17u); x = threefry_round(x, 29u); x = threefry_round(x, 16u); x = threefry_round(x, 24u);
    x += vec2<u32>(last, key.x + 2u);
    x = threefry_round(x, 13u); x = threefry_round(x, 15u); x = threefry_round(x, 26u); x = threefry_round(x, 6u);
    x += vec2<u32>(key.x, key.y + 3u);
    x = threefry_round(x, 17u); x = threefry_round(x, 29u); x = threefry_round(x, 16u); x = threefry_round(x, 24u);
    x += vec2<u32>(key.y, last + 4u);
    x = threefry_round(x, 13u); x = threefry_round(x, 15u); x = threefry_round(x, 26u); x = threefry_round(x, 6u);
    return x + vec2<u32>(last, key.x + 5u);
}
