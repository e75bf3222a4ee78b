//! What becomes of rented machines. The provider lies, so the model learns from the rows how far each rental is, and checks that it could
//! come so far; what follows from that for leases and runs it expects.

use super::Checked;
use super::facts::Rows;
use super::state::Model;
use crate::entity::{Rental, RentalState, RunCause};

impl Model {
    /// Takes in how far each rental is, and what follows from it.
    pub(super) fn learn_rentals(&mut self, rows: &Rows) -> Checked {
        for at in 0..self.rentals.len() {
            let known = self.rentals[at].clone();
            let Some(row) = rows.rentals.iter().find(|row| row.id == known.id) else {
                return Err(format!("rental {at} is gone"));
            };
            if row.state != known.state {
                self.turn_rental(at, row)?;
            }
            let lease = &mut self.leases[known.lease];
            let has =
                |id| row.instance_id.as_deref().is_some_and(|name| rows_of_machine(rows, name).contains(&id));
            if self.rentals[at].gpus.is_empty() && row.state == RentalState::Rented {
                let held = rows.held.iter().filter(|held| held.lease_id == lease.id);
                let gpus: Vec<_> = held.map(|held| (held.of_gpu, held.milli.get())).collect();
                let whole = gpus.iter().all(|(gpu, milli)| *milli == 1000 && has(*gpu));
                if gpus.len() != known.gpu_count || !whole {
                    return Err(format!(
                        "{} gpus were rented for {lease:?}, and it has {gpus:?}",
                        known.gpu_count
                    ));
                }
                self.rentals[at].gpus = gpus.iter().map(|(gpu, _)| *gpu).collect();
                lease.gpus = gpus;
            }
            if !self.rentals[at].state.may_be_there() {
                self.rentals[at].gpus.clear();
            }
        }
        if let Some(row) = rows.rentals.iter().find(|row| self.rentals.iter().all(|it| it.id != row.id)) {
            return Err(format!("a rental that nobody has asked for: {row:?}"));
        }
        Ok(())
    }

    fn turn_rental(&mut self, at: usize, row: &Rental) -> Checked {
        use RentalState::{Failed, Lost, Released, Releasing, Rented, Renting};
        let (from, to) = (self.rentals[at].state, row.state);
        // In one pass it may be found, be unwanted, and be gone.
        let may = match from {
            Renting => to != Renting,
            Rented => matches!(to, Releasing | Released | Lost),
            Releasing => matches!(to, Released),
            Released | Failed | Lost => false,
        };
        if !may {
            return Err(format!("rental {at} was {from} and is {to}"));
        }
        self.rentals[at].state = to;
        let lease = self.rentals[at].lease;
        if !to.may_be_there() && self.leases[lease].holds() {
            let was_there = row.rented_at.is_some();
            self.lost(lease, if was_there { RunCause::Hardware } else { RunCause::NotRented });
        }
        Ok(())
    }
}

fn rows_of_machine(rows: &Rows, name: &str) -> Vec<crate::entity::GpuId> {
    let of = |of: &str| of == name || of.strip_prefix(name).is_some_and(|rest| rest.starts_with('/'));
    let gpus = rows.gpus.iter().filter(|gpu| gpu.node_id.is_none());
    gpus.filter(|gpu| gpu.instance_id.as_deref().is_some_and(of)).map(|gpu| gpu.id).collect()
}
