//! What the fuzz targets share: tables, random scripts, a model that judges them, and the comparison.
//!
//! The model is written from the contract of a store and shares no code with the evaluator: plain structs, plain
//! maps, linear searches.

pub mod compare;
pub mod model;
pub mod script;
pub mod tables;
