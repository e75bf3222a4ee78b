//! The score of a node, and the GPUs on it, under one policy: [`Scorer`].

use super::class::{Class, WHOLE};
use super::cluster::Cluster;
use super::demand::{Demand, GpuDemand};
use super::explain::Terms;
use super::fragment::{Level, Table};
use super::mix::TaskMix;
use super::outlook::scarcity::Scarcity;
use super::outlook::{Cell, Outlook};
use super::policy::opportunity::Cost;
use super::policy::{Policy, best_fit, clustering, dot_product, fgd, opportunity, packing};
use super::rows::{Rows, Verdict};

/// Scores nodes; what it keeps saves work and changes no outcome.
#[derive(Debug, Clone)]
pub(super) struct Scorer {
    policy: Policy,
    mix: TaskMix,
    /// The mix made ready for each GPU model, by the cluster's number of the model.
    tables: Vec<Option<Table>>,
    /// What gradient descent needs of each class, by the number of the class.
    prepared: Vec<Prepared>,
    /// The levels of these classes, [`width`](Self::width) of them each.
    levels: Vec<Level>,
    scratch: Vec<Level>,
    width: usize,
    outlook: Outlook,
    scarcity: Scarcity,
    rows: Rows,
}

/// What is the same for every demand on a class.
#[derive(Debug, Clone, Copy, Default)]
struct Prepared {
    /// The class that it was made for; 0 for none.
    stamp: u64,
    /// What is served of it, see [`Table::served`].
    served: i64,
    levels: usize,
}

impl Scorer {
    pub(super) fn new(policy: Policy, mix: TaskMix) -> Self {
        let width = Table::most_levels(&mix);
        let (tables, prepared, levels, scratch) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        // Only one policy looks ahead.
        let known = if policy == Policy::OpportunityCost { mix.clone() } else { TaskMix::default() };
        let (outlook, scarcity) = (Outlook::new(&known), Scarcity::new(&known));
        Self {
            policy,
            mix,
            tables,
            prepared,
            levels,
            scratch,
            width,
            outlook,
            scarcity,
            rows: Rows::default(),
        }
    }

    pub(super) const fn policy(&self) -> Policy {
        self.policy
    }

    pub(super) const fn mix(&self) -> &TaskMix {
        &self.mix
    }

    /// Forgets what belongs to a cluster: another one numbers its models and classes otherwise.
    pub(super) fn forget(&mut self) {
        self.tables.clear();
        self.prepared.clear();
        self.levels.clear();
        self.outlook.forget();
        self.scarcity.forget();
        self.rows.forget();
    }

    /// Forgets which shape has which number.
    pub(super) fn forget_shapes(&mut self) {
        self.rows.forget();
    }

    /// Whether a demand fits the nodes of a class, and its score there. `shape` is the number of the demand.
    #[inline]
    pub(super) fn verdict(
        &mut self,
        cluster: &Cluster,
        number: u32,
        class: &Class,
        demand: &Demand,
        shape: u32,
    ) -> Verdict {
        if self.policy != Policy::OpportunityCost {
            // Sooner computed than looked up.
            let admits = cluster.admits(&class.state, demand);
            return Verdict::new(admits, || self.score(cluster, number, class, demand));
        }
        if cluster.is_hopeless(&class.state, demand) {
            return Verdict::None;
        }
        let shape = usize::try_from(shape).unwrap_or(usize::MAX);
        let row = self.rows.row(number, class);
        if let Some(known) = self.rows.recall(row, shape) {
            return known;
        }
        let admits = cluster.admits(&class.state, demand);
        let verdict = Verdict::new(admits, || {
            let (outlook, model) = (&mut self.outlook, || cluster.model(&class.state));
            let cell = Cell::of(&class.state);
            let before = self.rows.outlook(row, || outlook.left_over(&cell, model));
            score_of(-opportunity::cost(outlook, &cell, before, demand, model).all)
        });
        self.rows.remember(row, shape, verdict);
        verdict
    }

    /// What a demand pays on nodes of each GPU model, by the cluster's number of the model, off their scores; nothing
    /// where the model has no price.
    pub(super) fn prices(&mut self, cluster: &Cluster, demand: &Demand) -> Vec<i64> {
        self.scarcity.prices(cluster, demand)
    }

    /// The score of the nodes of a class, on which the demand fits.
    pub(super) fn score(&mut self, cluster: &Cluster, number: u32, class: &Class, demand: &Demand) -> i32 {
        let score = match self.policy {
            Policy::Random => 0,
            Policy::DotProduct => dot_product::score(&class.state, demand),
            Policy::Clustering => clustering::score(&class.state, demand),
            Policy::Packing => packing::score(&class.state, demand),
            Policy::BestFit => best_fit::score(&class.state, demand),
            Policy::Fgd => self
                .gradient(cluster, number, class, demand)
                .map_or(0, |gradient| gradient.score(&class.state, demand)),
            Policy::OpportunityCost => -self.cost(cluster, class, demand).all,
        };
        score_of(score)
    }

    /// The slots that a demand takes on a node on which it fits, ascending.
    ///
    /// Whole GPUs are the first that are entirely free. A share goes to the GPU with the least but sufficient room, the
    /// first on ties; under gradient descent to the one with the best score, the first on ties. `pick` chooses among
    /// so many GPUs with room under the random policy.
    pub(super) fn choose_gpus(
        &mut self,
        cluster: &Cluster,
        node: u32,
        demand: &Demand,
        pick: impl FnOnce(u64) -> u64,
    ) -> Vec<u32> {
        let Some(slots) = cluster.node(node).map(|node| node.slots) else {
            return Vec::new();
        };
        let each = match demand.gpu() {
            GpuDemand::None => return Vec::new(),
            GpuDemand::Whole(count) => {
                let idle = (0..).zip(slots.iter()).filter(|(_, slot)| slot.usable() == WHOLE);
                let count = usize::try_from(count).unwrap_or(usize::MAX);
                return idle.map(|(slot, _)| slot).take(count).collect();
            }
            GpuDemand::Share(milli) => u16::try_from(milli.get()).unwrap_or(WHOLE),
        };
        let roomy =
            (0..).zip(slots.iter()).map(|(at, slot)| (at, slot.usable())).filter(|(_, free)| *free >= each);
        let chosen = match self.policy {
            Policy::Random => {
                let count = u64::try_from(roomy.clone().count()).unwrap_or(u64::MAX);
                let place = usize::try_from(pick(count)).unwrap_or(usize::MAX);
                roomy.map(|(slot, _)| slot).nth(place)
            }
            Policy::Fgd => self.best_by_gradient(cluster, node, demand, roomy),
            Policy::OpportunityCost => {
                let class = cluster.class_of(node);
                let taken = class.and_then(|class| self.cost(cluster, class, demand).from);
                roomy.map(|(slot, free)| (Some(free) != taken, slot)).min().map(|(_, slot)| slot)
            }
            Policy::DotProduct | Policy::Clustering | Policy::Packing | Policy::BestFit => {
                roomy.min_by_key(|(_, free)| *free).map(|(slot, _)| slot)
            }
        };
        chosen.into_iter().collect()
    }

    /// What the score of a class is made of, if it is told; `price` is for the model of its GPUs.
    pub(super) fn terms(
        &mut self,
        cluster: &Cluster,
        class: &Class,
        demand: &Demand,
        price: i64,
    ) -> Option<Terms> {
        if self.policy != Policy::OpportunityCost {
            return None;
        }
        let Cost { all, stays, .. } = self.cost(cluster, class, demand);
        Some(Terms { left_over: all - stays, scarcity: price, stays })
    }

    fn cost(&mut self, cluster: &Cluster, class: &Class, demand: &Demand) -> Cost {
        let model = || cluster.model(&class.state);
        let cell = Cell::of(&class.state);
        let before = self.outlook.left_over(&cell, model);
        opportunity::cost(&mut self.outlook, &cell, before, demand, model)
    }

    fn best_by_gradient(
        &mut self,
        cluster: &Cluster,
        node: u32,
        demand: &Demand,
        roomy: impl Iterator<Item = (u32, u16)>,
    ) -> Option<u32> {
        let number = cluster.node(node)?.class();
        let gradient = self.gradient(cluster, number, cluster.class(number)?, demand)?;
        let mut best: Option<(i64, u32)> = None;
        for (slot, free) in roomy {
            let score = gradient.share(free);
            if best.is_none_or(|(highest, _)| score > highest) {
                best = Some((score, slot));
            }
        }
        best.map(|(_, slot)| slot)
    }

    /// The gradient for a demand on a class, reading what was made ready for the class or making it ready.
    fn gradient(
        &mut self,
        cluster: &Cluster,
        number: u32,
        class: &Class,
        demand: &Demand,
    ) -> Option<fgd::Gradient<'_>> {
        let model = usize::try_from(class.state.model).ok()?;
        if self.tables.len() <= model {
            self.tables.resize(model + 1, None);
        }
        let table = self
            .tables
            .get_mut(model)?
            .get_or_insert_with(|| Table::new(&self.mix, cluster.model(&class.state)));
        let at = usize::try_from(number).ok()?;
        if self.prepared.len() <= at {
            self.prepared.resize(at + 1, Prepared::default());
            self.levels.resize((at + 1) * self.width, Level::default());
        }
        let prepared = self.prepared.get_mut(at)?;
        let levels = self.levels.get_mut(at * self.width..(at + 1) * self.width)?;
        if prepared.stamp != class.stamp {
            table.levels_of(class.state.gpus(), &mut self.scratch);
            levels.iter_mut().zip(&self.scratch).for_each(|(to, level)| *to = *level);
            prepared.stamp = class.stamp;
            prepared.levels = self.scratch.len();
            prepared.served = table.served(table.row(class.state.free.cpu), levels);
        }
        Some(fgd::Gradient::new(&class.state, demand, table, levels.get(..prepared.levels)?, prepared.served))
    }
}

/// Amounts are bounded before they enter a score, which is therefore far from the limits.
fn score_of(score: i64) -> i32 {
    i32::try_from(score).unwrap_or(if score < 0 { i32::MIN } else { i32::MAX })
}
