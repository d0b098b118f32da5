// An invocation holds every block of its points, so that its sums are whole. The counterpart of spread.wgsl.

fn totals(parts: vec2<f32>) -> vec2<f32> { return parts; }

fn totals4(parts: vec4<f32>) -> vec4<f32> { return parts; }

fn total(part: f32) -> f32 { return part; }

fn once(whole: f32) -> f32 { return whole; }

fn agreed(word: u32) -> bool { return true; }
