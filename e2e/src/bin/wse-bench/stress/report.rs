//! All of a stress run.

use std::collections::BTreeMap;

use serde::Serialize;

use super::advice::{Advice, advice};
use super::cell::Cell;
use super::degradation::{Degradation, First, degradations, first};
use super::dimension::Dimension;
use super::verdict::Bounds;
use crate::threshold::Judged;

/// Of the JSON. Fields may be added; a change of one that is there makes another number.
pub(crate) const SCHEMA: &str = "wse-stress/1";

#[derive(Debug, Serialize)]
pub(super) struct Report {
    pub(super) schema: &'static str,
    /// Of wse-bench.
    pub(super) version: &'static str,
    /// The server, as the user named it.
    pub(super) server: String,
    /// Of the machine that wse-bench runs on.
    pub(super) cores: usize,
    /// How long all of it took.
    pub(super) seconds: f64,
    pub(super) quick: bool,
    /// Whether it was ended before its time.
    pub(super) interrupted: bool,
    /// From which rates on a dimension is good, and fair.
    pub(super) bounds: BTreeMap<Dimension, Bounds>,
    pub(super) cells: Vec<Cell>,
    pub(super) degradation: Vec<Degradation>,
    pub(super) first_to_degrade: Option<First>,
    pub(super) recommendations: Vec<Advice>,
    pub(super) thresholds: Vec<Judged>,
    pub(super) notes: Vec<String>,
}

impl Report {
    /// What follows from the cells.
    pub(super) fn conclude(mut self) -> Self {
        self.degradation = degradations(&self.cells);
        self.first_to_degrade = first(&self.cells);
        self.recommendations = advice(&self.cells, self.first_to_degrade.as_ref());
        self
    }
}
