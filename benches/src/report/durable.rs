//! Durable launches, and runs that are taken and ended, beside what they are compared with.

use benches::claims::{Life, WORKERS};
use benches::server::Cost;
use benches::stores::{Failed, SYNC_AT_LEAST};

use super::job_queue::Jobs;
use super::page::Page;
use crate::plot::{Axis, Chart, Series, Style, number};
use crate::tables::claims::Taken;
use crate::tables::{Launches, Way};

/// Writes the section of launches: those of each store.
pub(super) fn launches(
    page: &mut Page,
    stores: [(&str, &Vec<Launches>); 3],
    commit: Cost,
) -> Result<(), Failed> {
    page.section("Durable launches");
    page.text(&format!(
        "A launch through the whole control plane: the instance, its quota, a hundredth of a GPU, a port, a grant and the log, \
         eleven rows, durable before it is answered. A commit to a file that takes less than {} ms is delayed to take \
         that long, and a lone commit of the Postgres server takes {:.1} ms. By hand is one transaction of careful statements that \
         writes the same rows into the same tables: it takes the first node with room that nobody else is using, and a task beside it gives \
         the records their order; one that is told where to go is spared both.",
        SYNC_AT_LEAST.as_millis(),
        commit.median.as_secs_f64() * 1e3
    ));
    page.chart("launches", &launches_chart(&stores))?;
    let mut rows = Vec::new();
    for (store, launches) in stores {
        for it in launches {
            rows.push(vec![
                format!("{store}, {}", it.name()),
                number(it.figures.per_second()),
                it.figures.commits_each().map_or_else(String::new, |each| format!("{each:.3}")),
                it.figures.worked_each().map_or_else(String::new, |each| format!("{each:.2}")),
                format!("{:.2}", it.ratio()),
            ]);
        }
    }
    let head = ["", "launches/s", "commits a launch", "CPU ms a launch", "times one at a time, or by hand"];
    page.table(&head, &rows);
    Ok(())
}

fn launches_chart(stores: &[(&str, &Vec<Launches>)]) -> Chart {
    let mut series = Vec::new();
    for (colour, (store, launches)) in stores.iter().enumerate() {
        for (way, style) in [(Way::Groups, Style::Line), (Way::ByHand, Style::Dashed)] {
            let of = launches.iter().filter(|it| it.way == way && !it.some_refused);
            let points: Vec<_> = of.map(|it| (callers(it), it.figures.per_second())).collect();
            if !points.is_empty() {
                let name = if way == Way::ByHand { format!("{store}, by hand") } else { (*store).to_owned() };
                series.push(Series { name, colour, style, points });
            }
        }
    }
    let all: Vec<(f64, f64)> = series.iter().flat_map(|series| series.points.iter().copied()).collect();
    let mut at: Vec<f64> = all.iter().map(|point| point.0).collect();
    at.sort_unstable_by(f64::total_cmp);
    at.dedup();
    Chart {
        title: "Durable launches a second".into(),
        x: Axis::log_at("callers at once", &at),
        y: Axis::log("launches/s", all.iter().map(|point| point.1)),
        series,
    }
}

fn callers(launches: &Launches) -> f64 {
    u32::try_from(launches.callers).map_or(f64::MAX, f64::from)
}

/// Writes the section of runs and jobs that workers take.
pub(super) fn claims(
    page: &mut Page,
    taken: &[Taken],
    jobs: &Result<Vec<Jobs>, Failed>,
    runs: u32,
) -> Result<(), Failed> {
    page.section("Work that is taken and ended");
    page.text(&format!(
        "{WORKERS} workers take {runs} training runs, one at a time, each of which has been granted its own GPU. The shortest \
         life of a run is two durable commits: it is taken under a lease, and its worker says that it can never be done, which \
         frees the GPU. The whole life is five: taken, begun, told of, set to uploading, completed. Both keep quotas, the log and \
         the feed."
    ));
    page.text(
        "apalis is a job queue without any of that, for jobs of any kind: a worker takes a batch of jobs that nobody holds in one statement, marks them \
         as begun and, later, as done, many at a time. Its jobs do nothing; the time is until all are marked as done. SQLite \
         is opened in both with a write-ahead log and `synchronous=FULL`, and Postgres has its default durability. 64 × 1 is what is \
         nearest to ours: 64 workers, each of which takes one at a time.",
    );
    let none = Vec::new();
    let jobs = jobs.as_ref().unwrap_or_else(|error| {
        page.text(&format!("The comparison with apalis could not be built or run: {error}"));
        &none
    });
    page.chart("claims", &claims_chart(taken, jobs))?;
    let life = |life| if life == Life::Whole { "whole life" } else { "shortest life" };
    let mut rows: Vec<Vec<String>> = Vec::new();
    for it in taken {
        let name = format!("{}, {}", it.store, life(it.life));
        rows.push(vec![name, number(it.ended_per_s), number(it.granted_per_s)]);
    }
    for it in jobs {
        let name = format!("{}, apalis, {} × {}", it.store, it.workers, it.batch);
        rows.push(vec![name, number(it.per_second), String::new()]);
    }
    page.table(&["store (apalis: workers × jobs taken at once)", "taken and ended/s", "granted/s"], &rows);
    Ok(())
}

fn claims_chart(taken: &[Taken], jobs: &[Jobs]) -> Chart {
    let mut names: Vec<String> = Vec::new();
    for it in taken {
        if names.last().is_none_or(|last| last != it.store) {
            names.push(it.store.to_owned());
        }
    }
    let at =
        |store: &str| (0_u32..).map(f64::from).zip(&names).find(|(_, name)| *name == store).map(|it| it.0);
    let mut series = Vec::new();
    for (name, style, life) in [
        ("shortest life, 2 commits", Style::Filled, Life::Shortest),
        ("whole life, 5 commits", Style::Hollow, Life::Whole),
    ] {
        let of = taken.iter().filter(|it| it.life == life);
        let points = of.filter_map(|it| Some((at(it.store)?, it.ended_per_s))).collect();
        series.push(Series { name: name.into(), colour: 0, style, points });
    }
    let mut settings: Vec<(u32, u32)> = Vec::new();
    for it in jobs {
        if !settings.contains(&(it.workers, it.batch)) {
            settings.push((it.workers, it.batch));
        }
    }
    for (colour, (workers, batch)) in (1..).zip(settings) {
        let of = jobs.iter().filter(|it| (it.workers, it.batch) == (workers, batch));
        let points = of.filter_map(|it| Some((at(&it.store)?, it.per_second))).collect();
        series.push(Series {
            name: format!("apalis, {workers} × {batch}"),
            colour,
            style: Style::Filled,
            points,
        });
    }
    let values: Vec<f64> = series.iter().flat_map(|it| it.points.iter().map(|point| point.1)).collect();
    Chart {
        title: "Work that is taken and ended, a second".into(),
        x: Axis::names("store", &names),
        y: Axis::log("taken and ended/s", values.into_iter()),
        series,
    }
}
