//! What was learned, as a file in the safetensors format: the length of a header, the header as JSON, and the numbers.

use serde_json::{Map, Value, json};

use super::Config;
use super::lora::{Lora, Matrix};

pub(super) fn file(lora: &Lora, config: &Config) -> Vec<u8> {
    let (mut header, mut numbers) = (Map::new(), Vec::new());
    let about = json!({ "format": "pt", "rank": config.rank.to_string(), "seed": config.seed.to_string() });
    header.insert("__metadata__".to_owned(), about);
    for (name, matrix) in [("lora_A.weight", &lora.a), ("lora_B.weight", &lora.b)] {
        header.insert(name.to_owned(), entry(matrix, &mut numbers));
    }
    let mut header = Value::Object(header).to_string().into_bytes();
    // The numbers begin at a multiple of eight.
    header.resize(header.len().next_multiple_of(8), b' ');
    let length = u64::try_from(header.len()).unwrap_or(u64::MAX);
    [&length.to_le_bytes(), header.as_slice(), numbers.as_slice()].concat()
}

fn entry(matrix: &Matrix, numbers: &mut Vec<u8>) -> Value {
    let begin = numbers.len();
    numbers.extend(matrix.cells.iter().flat_map(|cell| cell.to_le_bytes()));
    json!({ "dtype": "F32", "shape": [matrix.rows, matrix.columns], "data_offsets": [begin, numbers.len()] })
}
