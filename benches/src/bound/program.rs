//! The linear program that finds good [`Prices`]; nothing of it has to be trusted.
//!
//! It is the dual of the program in the head of [`bound`](super), for the mean of the arrivals of all seeds. Its
//! variables are the price of a task of each kind, of the GPUs, the cpu and the memory of each shape, and a weight for
//! each [`Edge`]; there is a row for each [`Fill`] that is known, and the best fills at the prices found are added
//! until they change nothing any more (column generation: Gilmore and Gomory, "A Linear Programming Approach to the
//! Cutting-Stock Problem", Operations Research 9, 1961).

use std::collections::BTreeSet;

use clarabel::algebra::CscMatrix;
use clarabel::solver::{
    DefaultSettingsBuilder, DefaultSolver, IPSolver as _, NonnegativeConeT, SolverStatus,
};

use super::instance::Instance;
use super::order::Edge;
use super::prices::{Fill, Prices, UNITS_PER_MILLI};
use super::{at, real};

/// More rounds than were ever needed.
const ROUNDS: usize = 100;
/// Between the bound and what the known fills can reach, in shares of all GPUs: below this there is no more to gain.
const CLOSE: f64 = 1e-5;
/// A kind of which fewer come than this counts as if so many came: a price for nothing could be anything.
const SCARCE: f64 = 1e-3;

/// What the program is made of.
pub(super) struct Program<'a> {
    pub(super) instance: &'a Instance,
    /// How many tasks of each kind come.
    pub(super) supply: &'a [f64],
    pub(super) edges: &'a [Edge],
}

/// The best prices that were found, and for each edge how much of the bound hangs on it.
pub(super) struct Found {
    pub(super) prices: Prices,
    pub(super) weights: Vec<f64>,
}

/// A solution of the solver: an objective in GPUs, and the values of the variables.
struct Solution {
    objective: f64,
    values: Vec<f64>,
}

impl Program<'_> {
    /// Finds prices. Fills that are found on the way are added to the known ones, for the next program.
    ///
    /// Where the solver fails, what was found before holds; at worst that all GPUs may be allocated.
    pub(super) fn solve(&self, fills: &mut BTreeSet<Fill>) -> Found {
        let mut found =
            Found { prices: Prices::nothing(self.instance), weights: vec![0.0; self.edges.len()] };
        let mut lowest = f64::INFINITY;
        let gpus = real(self.instance.capacity_milli()) / 1000.0;
        for _ in 0..ROUNDS {
            let Some(solution) = self.optimum(fills) else { break };
            let prices = self.prices(&solution.values);
            let bound = self.bound(&prices);
            if bound < lowest {
                lowest = bound;
                found.weights = self.weights(&solution.values);
                found.prices.clone_from(&prices);
            }
            let known = fills.len();
            let shapes = 0..self.instance.shapes.len();
            fills.extend(shapes.map(|shape| prices.worth_of(self.instance, shape).fill));
            if fills.len() == known || lowest - solution.objective < CLOSE * gpus {
                break;
            }
        }
        found
    }

    /// The bound at some prices, were the arrivals exactly the supply, in GPUs.
    fn bound(&self, prices: &Prices) -> f64 {
        let unit = 1000.0 * real(UNITS_PER_MILLI);
        let tasks: f64 =
            prices.kinds.iter().zip(self.supply).map(|(price, count)| real(*price) * count).sum();
        (tasks + real(prices.worth_of_nodes(self.instance))) / unit
    }

    fn prices(&self, values: &[f64]) -> Prices {
        let (kinds, rest) = values.split_at(self.instance.kinds.len().min(values.len()));
        let shapes: Vec<(f64, f64)> = rest
            .chunks(3)
            .take(self.instance.shapes.len())
            .map(|shape| (at(shape, 1), at(shape, 2)))
            .collect();
        Prices::of(self.instance, kinds, &shapes)
    }

    fn weights(&self, values: &[f64]) -> Vec<f64> {
        let before = self.instance.kinds.len() + 3 * self.instance.shapes.len();
        let weights = values.iter().skip(before).zip(self.edges);
        weights.map(|(value, edge)| value * self.scarcer(edge)).collect()
    }

    fn count(&self, kind: usize) -> f64 {
        at(self.supply, kind).max(SCARCE)
    }

    /// The smaller of the two counts of an edge: the solver does better with numbers near one.
    fn scarcer(&self, edge: &Edge) -> f64 {
        self.count(edge.upper).min(self.count(edge.lower))
    }

    fn optimum(&self, fills: &BTreeSet<Fill>) -> Option<Solution> {
        let (kinds, shapes) = (self.instance.kinds.len(), self.instance.shapes.len());
        let variables = kinds + 3 * shapes + self.edges.len();
        let mut rows = Rows::default();
        // Beyond what its edges make of it, the price of a kind is not negative.
        for kind in 0..kinds {
            rows.add(kind, kind, 1.0);
        }
        for (edge, variable) in self.edges.iter().zip(kinds + 3 * shapes..) {
            let weight = self.scarcer(edge);
            rows.add(edge.upper, variable, -weight / self.count(edge.upper));
            rows.add(edge.lower, variable, weight / self.count(edge.lower));
        }
        rows.least = vec![0.0; kinds];
        for variable in kinds..variables {
            rows.add(rows.least.len(), variable, 1.0);
            rows.least.push(0.0);
        }
        for fill in fills {
            self.row(fill, &mut rows);
        }
        let mut costs: Vec<f64> = (0..kinds).map(|kind| self.count(kind)).collect();
        costs.extend(self.instance.shapes.iter().flat_map(|(shape, nodes)| [real(shape.gpus * nodes); 3]));
        costs.resize(variables, 0.0);
        rows.minimize(&costs)
    }

    /// No fill may be worth more than what it takes costs.
    fn row(&self, fill: &Fill, rows: &mut Rows) {
        let Some((shape, _)) = self.instance.shapes.get(fill.shape) else { return };
        let row = rows.least.len();
        let (mut value, mut cpu, mut memory) = (0, 0, 0);
        for &(kind, copies) in &fill.tasks {
            let Some(asked) = self.instance.kinds.get(kind) else { continue };
            rows.add(row, kind, real(copies));
            value += copies * asked.value_milli();
            cpu += copies * asked.cpu_milli;
            memory += copies * asked.memory_mib;
        }
        let first = self.instance.kinds.len() + 3 * fill.shape;
        let per_gpu = |taken: i64, of: i64| real(taken * shape.gpus) / real(of.max(1));
        rows.add(row, first, real(fill.gpus));
        rows.add(row, first + 1, per_gpu(cpu, shape.cpu_milli));
        rows.add(row, first + 2, per_gpu(memory, shape.memory_mib));
        rows.least.push(real(value) / 1000.0);
    }
}

/// Rows of a program, each with the least that it has to come to.
#[derive(Default)]
struct Rows {
    least: Vec<f64>,
    /// Of each factor, the row.
    places: Vec<usize>,
    /// Of each factor, the variable.
    variables: Vec<usize>,
    factors: Vec<f64>,
}

impl Rows {
    fn add(&mut self, row: usize, variable: usize, factor: f64) {
        self.places.push(row);
        self.variables.push(variable);
        // The solver wants what is left over to be added, not taken off.
        self.factors.push(-factor);
    }

    /// None where there is nothing to solve, or the solver gave up.
    fn minimize(self, costs: &[f64]) -> Option<Solution> {
        let (rows, variables) = (self.least.len(), costs.len());
        if variables == 0 {
            return None;
        }
        let matrix = CscMatrix::new_from_triplets(rows, variables, self.places, self.variables, self.factors);
        let quadratic = CscMatrix::zeros((variables, variables));
        let most: Vec<f64> = self.least.iter().map(|least| -least).collect();
        let settings = DefaultSettingsBuilder::default().verbose(false).build().ok()?;
        let cones = [NonnegativeConeT(rows)];
        let mut solver = DefaultSolver::new(&quadratic, costs, &matrix, &most, &cones, settings).ok()?;
        solver.solve();
        let solution = solver.solution;
        let good = matches!(solution.status, SolverStatus::Solved | SolverStatus::AlmostSolved);
        good.then_some(Solution { objective: solution.obj_val, values: solution.x })
    }
}
