use std::io::Write as _;

use super::*;

const NODES: &str = "sn,cpu_milli,memory_mib,gpu,model\n";
const PODS: &str = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,deletion_time,scheduled_time\n";

fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

fn known() -> BTreeSet<String> {
    ["T4", "G2"].map(str::to_owned).into()
}

/// The message without the file's own name, which differs from run to run.
fn refusal<T: std::fmt::Debug>(path: &Path, result: Result<T, TraceError>) -> String {
    let message = result.unwrap_err().to_string();
    message.strip_prefix(&path.display().to_string()).expect("names the file").to_owned()
}

fn nodes_refusal(text: &str) -> String {
    let file = file(text.as_bytes());
    refusal(file.path(), read_nodes(file.path()))
}

fn pods_refusal(text: &str) -> String {
    let file = file(text.as_bytes());
    refusal(file.path(), read_pods(file.path(), &known()))
}

#[test]
fn a_node_list_is_read_as_it_is() {
    let file = file(format!("{NODES}n1,96000,393216,8,G2\nn2,32000,262144,0,\n").as_bytes());
    let nodes = read_nodes(file.path()).unwrap();
    assert_eq!(nodes.len(), 2);
    assert_eq!(nodes[0].name, "n1");
    assert_eq!(nodes[0].cpu_milli, CpuMilli::from_u32(96_000));
    assert_eq!(nodes[0].memory_mib, MemoryMib::from_u32(393_216));
    assert_eq!((nodes[0].gpus, nodes[0].model.as_deref()), (8, Some("G2")));
    assert_eq!((nodes[1].gpus, nodes[1].model.as_deref()), (0, None));
    assert_eq!(models(&nodes), BTreeSet::from(["G2".to_owned()]));
}

#[test]
fn a_pod_list_is_read_as_it_is() {
    let file =
        file(format!("{PODS}p1,6000,12288,1,460,G2|T4,LS,Running,5,70,6\np2,1,1,8,1000,,,,9,,\n").as_bytes());
    let pods = read_pods(file.path(), &known()).unwrap();
    assert_eq!(pods[0].gpu_spec, ["G2", "T4"]);
    assert_eq!((pods[0].num_gpu, pods[0].gpu_milli.get(), pods[0].total_gpu_milli()), (1, 460, 460));
    assert_eq!((pods[0].qos.as_deref(), pods[0].pod_phase.as_deref()), (Some("LS"), Some("Running")));
    assert_eq!(
        (pods[0].creation_time, pods[0].deletion_time, pods[0].scheduled_time),
        (Some(5), Some(70), Some(6))
    );
    assert_eq!((pods[1].total_gpu_milli(), pods[1].deletion_time), (8000, None));
    assert_eq!((&pods[1].gpu_spec, pods[1].qos.as_ref()), (&Vec::new(), None));
}

#[test]
fn a_pod_list_of_five_columns_has_no_times() {
    let file = file(b"name,cpu_milli,memory_mib,num_gpu,gpu_milli\np1,12000,16384,1,1000\n");
    let pods = read_pods(file.path(), &known()).unwrap();
    assert_eq!((pods[0].creation_time, pods[0].deletion_time, pods[0].qos.as_ref()), (None, None, None));
}

#[test]
fn a_pod_may_end_in_the_second_it_began() {
    let file = file(format!("{PODS}p,1,1,0,0,,,,7,7,\n").as_bytes());
    assert_eq!(read_pods(file.path(), &known()).unwrap()[0].deletion_time, Some(7));
}

#[test]
fn a_missing_file_is_named() {
    let path = Path::new("no/such/nodes.csv");
    let error = read_nodes(path).unwrap_err();
    assert_eq!(error.to_string(), "no/such/nodes.csv: cannot be read");
    let TraceError::Unreadable { source, .. } = error else { panic!("{error}") };
    assert_eq!(source.kind(), std::io::ErrorKind::NotFound);
}

#[test]
fn a_bad_node_list_is_refused_with_line_and_column() {
    let cases = [
        ("", ": has no rows"),
        (NODES, ": has no rows"),
        ("sn,cpu_milli,gpu,model\nn,1,0,\n", ": line 1: column memory_mib is missing"),
        ("sn,cpu_milli,memory_mib,gpu\nn,1,1,0\n", ": line 1: column model is missing"),
        ("n,-1,1,0,", ": line 2: column cpu_milli: `-1` is negative"),
        ("n,1.5,1,0,", ": line 2: column cpu_milli: `1.5` is not a whole number"),
        ("n,,1,0,", ": line 2: column cpu_milli: `` is not a whole number"),
        ("n,1,many,0,", ": line 2: column memory_mib: `many` is not a whole number"),
        ("n,1,9007199254740993,0,", ": line 2: column memory_mib: `9007199254740993` is too large"),
        ("n,1,1,9,G2", ": line 2: column gpu: `9` is more than 8 GPUs"),
        ("n,1,1,-1,G2", ": line 2: column gpu: `-1` is negative"),
        (",1,1,0,", ": line 2: column sn: `` must not be empty"),
        ("n,1,1,0", ": line 2: 4 fields, but the header has 5 columns"),
        ("a,1,1,0,\nb,1,1,0,\na,1,1,0,", ": line 4: column sn: `a` is already on line 2"),
    ];
    for (text, message) in cases {
        let whole = text.is_empty() || text.starts_with("sn,");
        let text = if whole { text.to_owned() } else { format!("{NODES}{text}\n") };
        assert_eq!(nodes_refusal(&text), message, "{text}");
    }
}

#[test]
fn a_bad_pod_is_refused_with_line_and_column() {
    let cases = [
        ("p,-6000,1,0,0,,,,,,", "column cpu_milli: `-6000` is negative"),
        ("p,x,1,0,0,,,,,,", "column cpu_milli: `x` is not a whole number"),
        ("p,1,-1,0,0,,,,,,", "column memory_mib: `-1` is negative"),
        ("p,1,1,9,1000,,,,,,", "column num_gpu: `9` is more than 8 GPUs"),
        ("p,1,1,-1,1000,,,,,,", "column num_gpu: `-1` is negative"),
        ("p,1,1,one,1000,,,,,,", "column num_gpu: `one` is not a whole number"),
        ("p,1,1,0,500,,,,,,", "column gpu_milli: `500` must be 0 for a pod without GPUs"),
        ("p,1,1,1,0,,,,,,", "column gpu_milli: `0` must be from 1 to 1000 for one GPU"),
        ("p,1,1,1,1001,,,,,,", "column gpu_milli: `1001` must be from 1 to 1000 for one GPU"),
        (
            "p,1,1,2,500,,,,,,",
            "column gpu_milli: `500` must be 1000 for several GPUs: only one GPU can be shared",
        ),
        ("p,1,1,1,-5,,,,,,", "column gpu_milli: `-5` is negative"),
        ("p,1,1,1,500,G2|H900,,,,,", "column gpu_spec: no node has a GPU of model `H900`; known are G2, T4"),
        ("p,1,1,1,500,G2|,,,,,", "column gpu_spec: no node has a GPU of model ``; known are G2, T4"),
        ("p,1,1,0,0,,,,soon,,", "column creation_time: `soon` is not a whole number"),
        ("p,1,1,0,0,,,,-3,,", "column creation_time: `-3` is negative"),
        ("p,1,1,0,0,,,,9,8,", "column deletion_time: `8` is before creation_time 9"),
        ("p,1,1,0,0,,,,,8,", "column deletion_time: `8` has no creation_time before it"),
        ("p,1,1,0,0,,,,9,x,", "column deletion_time: `x` is not a whole number"),
        ("p,1,1,0,0,,,,9,,x", "column scheduled_time: `x` is not a whole number"),
        (",1,1,0,0,,,,,,", "column name: `` must not be empty"),
        ("p,1,1,0,0", "5 fields, but the header has 11 columns"),
        ("p,1,1,0,0,,,,,,,", "12 fields, but the header has 11 columns"),
    ];
    for (line, message) in cases {
        assert_eq!(pods_refusal(&format!("{PODS}{line}\n")), format!(": line 2: {message}"), "{line}");
    }
}

#[test]
fn a_pod_list_is_refused_as_a_whole_with_line_and_column() {
    assert_eq!(pods_refusal("name,cpu_milli,memory_mib,num_gpu\n"), ": line 1: column gpu_milli is missing");
    assert_eq!(pods_refusal(PODS), ": has no rows");
    let twice = format!("{PODS}p,1,1,0,0,,,,,,\nq,1,1,0,0,,,,,,\np,1,1,0,0,,,,,,\n");
    assert_eq!(pods_refusal(&twice), ": line 4: column name: `p` is already on line 2");
    let half = format!("{PODS}p,1,1,0,0,,,,4,,\nq,1,1,0,0,,,,,,\n");
    assert_eq!(
        pods_refusal(&half),
        ": line 3: column creation_time: `` must be given for all pods or for none"
    );
}

#[test]
fn bytes_that_are_no_text_are_refused_with_line_and_column() {
    let mut bytes = NODES.as_bytes().to_vec();
    bytes.extend(b"n,1,1,0,\xff\xfe\n");
    let nodes = file(&bytes);
    assert_eq!(refusal(nodes.path(), read_nodes(nodes.path())), ": line 2: column model is not valid UTF-8");
    let header = file(b"sn,\xff\n");
    assert_eq!(refusal(header.path(), read_nodes(header.path())), ": line 1: column 2 is not valid UTF-8");
}

#[test]
fn line_numbers_count_lines_not_records() {
    let text = format!("{NODES}\n\"a\nb\",1,1,0,\n\nc,x,1,0,\n");
    assert_eq!(nodes_refusal(&text), ": line 6: column cpu_milli: `x` is not a whole number");
}
