//! The ratios that the benches exist for.
