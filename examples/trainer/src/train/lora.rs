//! Learning a low-rank change of a frozen layer by stochastic gradient descent.
//!
//! There is a frozen layer `W`, and examples of a layer `W + D` whose difference `D` has a low rank. What is learned is `B·A`, of that
//! rank, so that `W + B·A` answers as the examples do: LoRA (Hu et al., ICLR 2022), as small as it can be. Only operations that every
//! machine rounds alike are used, so that the same seed learns the same numbers everywhere.

use super::Config;

/// How far an example is off, at most: no loss falls to nothing.
const NOISE: f32 = 0.2;

/// Numbers that look random, the same ones for the same seed (`SplitMix64`).
#[derive(Clone, Debug)]
struct Numbers(u64);

impl Numbers {
    /// The next number, between -1 and 1.
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let bits = u16::try_from((mixed ^ (mixed >> 31)) >> 48).unwrap_or(u16::MAX);
        f32::from(bits) / 32_767.5 - 1.0
    }
}

/// A matrix, row by row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Matrix {
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) cells: Vec<f32>,
}

impl Matrix {
    fn filled(rows: usize, columns: usize, mut cell: impl FnMut() -> f32) -> Self {
        Self { rows, columns, cells: (0..rows * columns).map(|_| cell()).collect() }
    }

    fn row(&self, of: usize) -> &[f32] {
        self.cells.get(of * self.columns..(of + 1) * self.columns).unwrap_or_default()
    }

    fn row_mut(&mut self, of: usize) -> &mut [f32] {
        self.cells.get_mut(of * self.columns..(of + 1) * self.columns).unwrap_or_default()
    }

    /// This times a column.
    fn times(&self, column: &[f32]) -> Vec<f32> {
        (0..self.rows).map(|row| dot(self.row(row), column)).collect()
    }

    /// A row times this.
    fn times_left(&self, row: &[f32]) -> Vec<f32> {
        let mut sum = vec![0.0; self.columns];
        for (of, by) in row.iter().enumerate() {
            add(&mut sum, self.row(of), *by);
        }
        sum
    }

    /// Adds a column times a row, times `by`.
    fn add_outer(&mut self, column: &[f32], row: &[f32], by: f32) {
        for (of, value) in column.iter().enumerate() {
            add(self.row_mut(of), row, value * by);
        }
    }
}

fn dot(one: &[f32], other: &[f32]) -> f32 {
    one.iter().zip(other).map(|(one, other)| one * other).sum()
}

fn add(to: &mut [f32], what: &[f32], by: f32) {
    for (to, what) in to.iter_mut().zip(what) {
        *to += what * by;
    }
}

/// A layer that is learned.
#[derive(Clone, Debug)]
pub(super) struct Lora {
    frozen: Matrix,
    /// The layer from which the examples are.
    meant: (Matrix, Matrix),
    pub(super) a: Matrix,
    pub(super) b: Matrix,
    numbers: Numbers,
    rate: f32,
    steps: u32,
}

impl Lora {
    pub(super) fn new(config: &Config) -> Self {
        let (width, rank) = (usize::from(config.width), usize::from(config.rank));
        let mut numbers = Numbers(config.seed);
        // What is sought differs from the frozen layer by numbers that are about as large for every width and rank.
        let scale = 3.0 / (f32::from(config.width) * f32::from(config.rank)).sqrt();
        let frozen = Matrix::filled(width, width, || numbers.next());
        let up = Matrix::filled(width, rank, || numbers.next());
        let down = Matrix::filled(rank, width, || numbers.next() * scale);
        let mean = 1.0 / f32::from(config.width);
        let a = Matrix::filled(rank, width, || numbers.next() * mean * 4.0);
        // Of zeros: it begins as the frozen layer.
        let b = Matrix::filled(width, rank, || 0.0);
        Self { frozen, meant: (up, down), a, b, numbers, rate: config.rate, steps: config.steps }
    }

    /// Goes over so many examples, and answers the mean loss over them.
    pub(super) fn epoch(&mut self) -> f32 {
        let (mut sum, mut count) = (0.0, 0.0);
        for _ in 0..self.steps {
            let example: Vec<f32> = (0..self.frozen.columns).map(|_| self.numbers.next()).collect();
            sum += self.step(&example);
            count += 1.0;
        }
        if count > 0.0 { sum / count } else { 0.0 }
    }

    /// Learns from one example, and answers the loss before.
    fn step(&mut self, example: &[f32]) -> f32 {
        let base = self.frozen.times(example);
        let inner = self.a.times(example);
        let change = self.b.times(&inner);
        let mut wrong = self.meant.0.times(&self.meant.1.times(example));
        for (meant, (base, change)) in wrong.iter_mut().zip(base.iter().zip(&change)) {
            // What the layer answers, less what the example says.
            *meant = (base + change) - (base + *meant + NOISE * self.numbers.next());
        }
        let back = self.b.times_left(&wrong);
        self.b.add_outer(&wrong, &inner, -self.rate);
        self.a.add_outer(&back, example, -self.rate);
        dot(&wrong, &wrong) / count(wrong.len())
    }
}

fn count(of: usize) -> f32 {
    f32::from(u16::try_from(of).unwrap_or(u16::MAX))
}
