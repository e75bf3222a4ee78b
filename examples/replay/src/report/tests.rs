use super::series::{MAX_POINTS, thin_out};
use super::*;

fn data() -> ReportData {
    ReportData {
        title: "Replay".into(),
        subtitle: "3 pods".into(),
        summary: vec![("Launched".into(), "2".into())],
        refused: vec![("no node has room".into(), 1), ("quota".into(), 0)],
        series: vec![
            Sample::default(),
            Sample { at_s: 100, allocation_pct: 40.0, running: 2, ..Sample::default() },
            Sample {
                at_s: 200,
                allocation_pct: 20.0,
                fragmentation_pct: 12.5,
                refused: 1,
                running: 1,
                pending: 0,
            },
        ],
        nodes: vec![
            NodeHeat { name: "n1".into(), model: "T4".into(), gpus: 2, peak_milli: 1_460, end_milli: 0 },
            NodeHeat { name: "n2".into(), model: "G2".into(), gpus: 8, peak_milli: 8_000, end_milli: 1 },
        ],
        peak_at_s: 100,
        figures: vec![("digest".into(), "ab12".into())],
    }
}

#[test]
fn the_page_shows_what_it_was_given() {
    let page = render(&data());
    for part in [
        "<dt>Launched</dt><dd>2</dd>",
        "<span>no node has room</span><b>1</b>",
        "GPU allocation. allocated: at most 40.0 %, at the end 20.0 %",
        "<span class=\"mark\" style=\"bottom:40.00%\">mean 20.0 %</span>",
        "<title>second 100: 40.0 % allocated</title>",
        "<i class=\"h7\" title=\"n1: 1.46 of 2 GPUs\"></i>",
        "<i class=\"h10\" title=\"n2: 8 of 8 GPUs\"></i>",
        "<i class=\"h1\" title=\"n2: 0.001 of 8 GPUs\"></i>",
        "<dt>digest</dt><dd>ab12</dd>",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("quota"), "a reason that nobody met is not shown");
}

#[test]
fn the_page_loads_nothing_and_runs_nothing() {
    let page = render(&data());
    for part in ["http:", "https:", "//", "<script", "<link", "@import", "url(", "<img"] {
        assert!(!page.contains(part), "{part}");
    }
}

#[test]
fn hostile_text_stays_text() {
    let evil = "<script>alert('x')</script>\"&";
    let mut data = data();
    data.title = evil.into();
    data.subtitle = evil.into();
    data.summary = vec![(evil.into(), evil.into())];
    data.figures = vec![(evil.into(), evil.into())];
    data.refused = vec![(evil.into(), 3)];
    for node in &mut data.nodes {
        node.name = evil.into();
        node.model = evil.into();
    }
    let page = render(&data);
    assert!(!page.contains("<script") && !page.contains("'x'") && !page.contains("\"&\""));
    assert!(page.contains("&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot;&amp;"));
}

#[test]
fn a_replay_of_nothing_still_has_a_page() {
    let page = render(&ReportData { title: "Nothing".into(), ..ReportData::default() });
    assert!(page.contains("None: every pod was placed.") && page.ends_with("</html>\n"));
}

#[test]
fn thinning_out_keeps_every_peak_the_ends_and_the_order() {
    let points: Vec<(i64, f64)> = (0_i32..100_000)
        .map(|at| (i64::from(at), if at == 54_321 { 99.0 } else { f64::from(at % 7) }))
        .collect();
    let thin = thin_out(&points, MAX_POINTS);
    assert!(thin.len() <= MAX_POINTS && thin.len() > MAX_POINTS / 2, "{}", thin.len());
    assert!(thin.contains(&(54_321, 99.0)));
    assert_eq!((thin.first(), thin.last()), (points.first(), points.last()));
    assert!(thin.is_sorted_by_key(|point| point.0));
    assert_eq!(thin_out(&points[..10], MAX_POINTS), &points[..10]);
}

#[test]
fn a_huge_cluster_has_several_nodes_to_a_cell() {
    let node = |at: u32| NodeHeat {
        name: format!("n{at}"),
        model: "G2".into(),
        gpus: 8,
        peak_milli: 4_000,
        end_milli: 0,
    };
    let page = render(&ReportData { nodes: (0..100_000).map(node).collect(), ..data() });
    assert!(page.contains("One cell is 25 nodes"));
    assert!(page.contains("title=\"n0 and 24 more: 100 of 200 GPUs\""));
    assert!(page.matches("<i class=\"h5\"").count() <= 4_001);
}

#[test]
fn a_page_that_cannot_be_written_names_its_file() {
    let path = Path::new("no/such/folder/report.html");
    let error = write(path, &data()).unwrap_err();
    assert_eq!(error.to_string(), "no/such/folder/report.html: the report cannot be written");
}
