//! Reports as folds over records.
