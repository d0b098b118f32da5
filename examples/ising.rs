//! Where does a magnet lose its order? Energy and magnetisation of the Ising model on a torus over temperature, against Onsager.

mod common;

use std::f64::consts::PI;

use anyhow::Result;
use common::{
    Options, Picture,
    canvas::{Align, COLOURS, FAINT},
};
use ergodic::ising::Ising;
use serde::Serialize;

#[derive(Serialize)]
struct Row {
    #[serde(rename = "L")]
    side: usize,
    temperature: f64,
    energy: f64,
    energy_mcse: f64,
    heat_capacity: f64,
    heat_capacity_mcse: f64,
    magnetisation: f64,
    /// Of the infinite lattice.
    onsager_energy: f64,
}

fn main() -> Result<()> {
    let options = Options::read("Where does a magnet lose its order? The Ising model on a torus against Onsager's curve");
    let backend = options.open()?;
    let sides: &[usize] = if options.quick { &[16] } else { &[16, 32, 64] };
    let chains = options.count(&backend, 256, 64);
    let temperatures = [1.2, 1.5, 1.8, 2.0, 2.1, 2.2, 2.269, 2.35, 2.5, 2.7, 3.0, 3.5, 4.0];
    let (warm_up, draws) = if options.quick { (200, 30) } else { (2_000, 200) };
    let mut rows = Vec::new();
    println!(
        "{:>4} {:>11} {:>20} {:>20} {:>13} {:>9}",
        "L", "temperature", "energy", "heat capacity", "magnetisation", "Onsager"
    );
    for &side in sides {
        for temperature in temperatures {
            let mut run = Ising::new(&backend, side, temperature, chains, options.seed)?;
            run.advance(warm_up)?;
            let found = run.collect(draws, 5)?;
            let row = Row {
                side,
                temperature,
                energy: found.energy,
                energy_mcse: found.energy_mcse,
                heat_capacity: found.heat_capacity,
                heat_capacity_mcse: found.heat_capacity_mcse,
                magnetisation: found.magnetisation,
                onsager_energy: onsager_energy(temperature),
            };
            println!(
                "{side:>4} {temperature:>11.3} {:>11.5} ± {:.5} {:>11.4} ± {:.4} {:>14.4} {:>9.5}",
                row.energy, row.energy_mcse, row.heat_capacity, row.heat_capacity_mcse, row.magnetisation, row.onsager_energy
            );
            rows.push(row);
        }
    }

    let side = if options.quick { 64 } else { 128 };
    let critical = 2.0 / (1.0 + 2f64.sqrt()).ln();
    let mut lattice = Ising::new(&backend, side, critical, 32, options.seed)?;
    lattice.advance(warm_up * 5)?;
    let spins = lattice.spins()?.row(0);

    let says = format!(
        "heat-bath Gibbs in checkerboard order, {chains} chains a temperature; lines: the infinite lattice (Onsager, Yang)"
    );
    let mut picture = Picture::grid("The Ising model on a torus", &says, 3, 1, [640, 640], true)?;
    let range = [1.0, 4.2];
    let grid: Vec<_> = (0..=320).map(|i| 1.0 + 0.01 * f64::from(i)).collect();
    let curve = |f: &dyn Fn(f64) -> f64| -> Vec<_> { grid.iter().map(|&t| [t, f(t)]).collect() };
    let mut panel = picture.panel(0, 0, range, [-2.05, -0.4]);
    panel.line(&curve(&onsager_energy), 2.5, FAINT, 1.0);
    for ((i, side), colour) in sides.iter().enumerate().zip(COLOURS) {
        panel.dots(rows.iter().filter(|r| r.side == *side).map(|r| [r.temperature, r.energy]), 6.0, colour, 1.0);
        panel.note(&format!("L = {side}"), [1.2, -0.6 - 0.12 * i as f64], Align::Left, colour);
    }
    panel.axes("energy", "a site").labels("temperature", "");
    let mut panel = picture.panel(1, 0, range, [0.0, 1.05]);
    panel.line(&curve(&spontaneous_magnetisation), 2.5, FAINT, 1.0);
    for (side, colour) in sides.iter().zip(COLOURS) {
        panel.dots(rows.iter().filter(|r| r.side == *side).map(|r| [r.temperature, r.magnetisation]), 6.0, colour, 1.0);
    }
    panel.axes("magnetisation", "mean of |Σ s| / N").labels("temperature", "");
    let size = side as f64;
    let mut panel = picture.panel(2, 0, [0.0, size], [0.0, size]);
    panel.field(|x, y| 0.08 + 0.72 * spins[y as usize % side * side + x as usize % side]);
    panel.axes(&format!("a lattice of {side} × {side}"), "at the critical temperature").labels("", "");
    picture.save("ising")?;

    // Away from the critical temperature a finite torus differs from the infinite lattice by less than 1e-4.
    let far = rows.iter().filter(|r| !(1.7..2.9).contains(&r.temperature));
    let right = far.clone().all(|r| (r.energy - r.onsager_energy).abs() < 5.0 * r.energy_mcse + 1e-4);
    options.finish(&rows, [(right, "far from the critical temperature, energies are Onsager's within five standard errors")])
}

/// −coth 2K (1 + (2/π) (2 tanh² 2K − 1) K₁(κ)), κ = 2 sinh 2K / cosh² 2K, K₁ the complete elliptic integral by the
/// arithmetic–geometric mean.
fn onsager_energy(temperature: f64) -> f64 {
    let k = 2.0 / temperature;
    let modulus = 2.0 * k.sinh() / k.cosh().powi(2);
    let (mut a, mut g) = (1.0, (1.0 - modulus * modulus).max(1e-300).sqrt());
    for _ in 0..60 {
        (a, g) = (0.5 * (a + g), (a * g).sqrt());
    }
    -(1.0 + 2.0 / PI * (2.0 * k.tanh().powi(2) - 1.0) * PI / (2.0 * a)) / k.tanh()
}

/// (1 − sinh⁻⁴ 2K)^⅛ below the critical temperature.
fn spontaneous_magnetisation(temperature: f64) -> f64 {
    (1.0 - (2.0 / temperature).sinh().powi(-4)).max(0.0).powf(0.125)
}
