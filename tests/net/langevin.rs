//! Langevin chains over the layers against the engine's own chains, from the same random numbers.

use ergodic::{
    Backend, Error, Start,
    energy::Energy as _,
    kernel::Ula,
    net::{Activation, Langevin, Mlp, Walk},
};

use crate::{
    common::{Suite, as_hardware, gpu},
    mlp, numbers,
};

const WALK: Walk = Walk { step_size: 0.05, temperature: 1.0, steps: 12, seed: 9, first_step: 0, first_chain: 0 };

/// Makes the chains of a network.
type Make = fn(&Mlp) -> Langevin;
/// A test of any chains.
type Test = fn(Make);

pub(crate) fn add(mut suite: Suite) -> Suite {
    let tests: [(&str, Test); 5] = [
        ("the same steps as the kernel Ula, and not those of another seed", as_ula),
        ("chains are the same bits however many and however cut into runs", cut),
        ("more chains than a batch holds are those of several runs", many),
        ("chains that leave the finite range stop and are counted", stopping),
        ("wrong walks are typed errors, and no step is none", wrong),
    ];
    for (name, test) in tests {
        suite = suite
            .gpu(name, move |_| test(|mlp| Langevin::new(&gpu(), mlp)))
            .gpu(format!("{name}, on other devices"), move |_| test(|mlp| Langevin::new(&as_hardware(&gpu()), mlp)))
            .test(format!("{name}, on threads"), move || test(Langevin::on_threads));
    }
    suite
        .gpu("chains on threads and on the GPU take the same steps", |gpu| {
            let mlp = mlp(3, &[30, 40], Activation::Silu, 4);
            let x = start(3, 300);
            let of =
                |mut langevin: Langevin| langevin.run(&x, Walk { temperature: 0.4, first_step: 7, first_chain: 90, ..WALK });
            let (found, expected) = (of(Langevin::on_threads(&mlp)).unwrap(), of(Langevin::new(&gpu, &mlp)).unwrap());
            let apart = found.positions.iter().zip(&expected.positions).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(apart < 1e-4, "{apart}");
        })
        .test("steps that cannot be counted are refused", || {
            let mut langevin = Langevin::on_threads(&Mlp::new(2, &[4], Activation::Silu, 4).unwrap());
            let refused = langevin.run(&start(2, 9), Walk { first_step: u64::MAX - 3, steps: 4, ..WALK });
            assert!(matches!(refused, Err(Error::Setting { .. })), "{refused:?}");
        })
        .test("a chain that is not usable goes back to where it last was, and those beside it go on", || {
            let mlp = Mlp::new(2, &[20, 20], Activation::Silu, 4).unwrap().confined(1e3).unwrap();
            let mut langevin = Langevin::on_threads(&mlp);
            let near = start(2, 9);
            // Steps so long that the squares of coordinates pass f32's range after one from 10¹³, after four from 1.
            let walk = Walk { step_size: 1e3, steps: 3, ..WALK };
            let others = langevin.run(&near, walk).unwrap();
            assert_eq!(others.stopped, 0);
            for far in [1e13, f32::NAN] {
                let mut x = near.clone();
                x[4] = far;
                let found = langevin.run(&x, walk).unwrap();
                assert_eq!(found.stopped, 1);
                for at in 0..18 {
                    let expected = if at % 9 == 4 { &x } else { &others.positions };
                    assert_eq!(found.positions[at].to_bits(), expected[at].to_bits(), "{far} {at}");
                }
            }
        })
}

fn as_ula(make: Make) {
    for (dim, hidden, activation) in
        [(2, vec![30, 40], Activation::Silu), (3, vec![20], Activation::Tanh), (5, vec![9, 33, 8], Activation::Softplus)]
    {
        let mlp = mlp(dim, &hidden, activation, 4);
        let x = start(dim, 100);
        let mut chains = Backend::cpu()
            .chains(mlp.clone(), Ula::new(WALK.step_size))
            .count(100)
            .start(Start::array(x.clone()))
            .seed(WALK.seed)
            .build()
            .unwrap();
        chains.advance(WALK.steps).unwrap();
        let expected = chains.positions().unwrap();
        let apart = |walk| {
            let found = make(&mlp).run(&x, walk).unwrap();
            assert_eq!(found.stopped, 0);
            found.positions.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
        };
        // Twelve steps of rounding of numbers of the size of one.
        assert!(apart(WALK) < 1e-4, "{}", apart(WALK));
        assert!(apart(Walk { seed: 8, ..WALK }) > 0.1);
    }
}

fn cut(make: Make) {
    let mlp = mlp(2, &[20, 20], Activation::Silu, 4);
    let mut langevin = make(&mlp);
    let x = start(2, 200);
    let whole = langevin.run(&x, Walk { steps: 70, ..WALK }).unwrap().positions;
    let first = langevin.run(&x, Walk { steps: 33, ..WALK }).unwrap().positions;
    let second = langevin.run(&first, Walk { steps: 37, first_step: 33, ..WALK }).unwrap().positions;
    assert_eq!(second, whole);
    let part = [&x[150..200], &x[350..400]].concat();
    let part = langevin.run(&part, Walk { steps: 70, first_chain: 150, ..WALK }).unwrap().positions;
    assert_eq!(part, [&whole[150..200], &whole[350..400]].concat());
    let few = langevin.run(&[&x[150..153], &x[350..353]].concat(), Walk { steps: 70, first_chain: 150, ..WALK });
    assert_eq!(few.unwrap().positions, [&whole[150..153], &whole[350..353]].concat());
}

fn many(make: Make) {
    let mlp = mlp(2, &[8], Activation::Silu, 4);
    let mut langevin = make(&mlp);
    let x = start(2, 5000);
    let whole = langevin.run(&x, WALK).unwrap().positions;
    let last = [&x[4900..5000], &x[9900..10_000]].concat();
    let last = langevin.run(&last, Walk { first_chain: 4900, ..WALK }).unwrap().positions;
    assert_eq!(last, [&whole[4900..5000], &whole[9900..10_000]].concat());
}

fn stopping(make: Make) {
    let mlp = Mlp::new(2, &[20, 20], Activation::Silu, 4).unwrap().confined(1e3).unwrap();
    let mut langevin = make(&mlp);
    let x = start(2, 50);
    let walked = langevin.run(&x, Walk { steps: 100, step_size: 1.0, ..WALK }).unwrap();
    assert_eq!(walked.stopped, 50);
    assert!(walked.positions.iter().all(|x| x.is_finite()));
}

fn wrong(make: Make) {
    let mlp = mlp(2, &[4], Activation::Silu, 3);
    let mut langevin = make(&mlp);
    assert!(matches!(langevin.run(&[0.0; 3], WALK), Err(Error::Shape { .. })));
    assert!(matches!(langevin.run(&[0.0; 4], Walk { step_size: 0.0, ..WALK }), Err(Error::Setting { .. })));
    assert!(matches!(langevin.run(&[0.0; 4], Walk { temperature: -1.0, ..WALK }), Err(Error::Setting { .. })));
    assert!(matches!(langevin.set_params(&mlp.params()[1..]), Err(Error::Shape { .. })));
    let x = start(2, 10);
    assert_eq!(langevin.run(&x, Walk { steps: 0, ..WALK }).unwrap().positions, x);
}

fn start(dim: usize, chains: usize) -> Vec<f32> {
    numbers(dim * chains, 6).into_iter().map(|x| x as f32).collect()
}
