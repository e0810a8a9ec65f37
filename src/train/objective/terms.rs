//! The names of the terms, and one value for each.

use std::ops::{Index, IndexMut};

macro_rules! terms {
    ($($(#[$doc:meta])* $term:ident $name:literal $figure:literal $norm:literal,)+) => {
        /// A term of the objective.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Term {
            $($(#[$doc])* $term,)+
        }

        impl Term {
            /// Every term, in the order of the objective's documentation.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$term),+];

            /// Key in YAML.
            pub fn name(self) -> &'static str {
                match self { $(Self::$term => $name,)+ }
            }

            /// Name of its row in `metrics.parquet`.
            pub fn figure(self) -> &'static str {
                match self { $(Self::$term => $figure,)+ }
            }

            /// Name of the row of its gradient's norm.
            pub fn gradient_figure(self) -> &'static str {
                match self { $(Self::$term => $norm,)+ }
            }
        }
    };
}

terms! {
    /// Dice and cross-entropy against labels.
    Supervised "supervised" "loss_supervised" "grad_norm_supervised",
    /// Consistency of channels between modalities.
    Csc "csc" "loss_csc" "grad_norm_csc",
    /// Consistency of predictions between modalities.
    Cac "cac" "loss_cac" "grad_norm_cac",
    /// Pseudo-labels for the strong views.
    PseudoLabel "pseudo_label" "loss_pseudo_label" "grad_norm_pseudo_label",
    /// Squared distance to the teacher's probabilities.
    MeanTeacher "mean_teacher" "loss_mean_teacher" "grad_norm_mean_teacher",
    /// Pseudo-labels for the weak view with dropped channels.
    FeatureDropout "feature_dropout" "loss_feature_dropout" "grad_norm_feature_dropout",
    /// Bidirectional copy-paste of labelled and unlabelled patches.
    Bcp "bcp" "loss_bcp" "grad_norm_bcp",
    /// Cross pseudo supervision of two networks.
    Cps "cps" "loss_cps" "grad_norm_cps",
    /// The released CMC losses, without gradient.
    CmcAsReleased "cmc_as_released" "loss_cmc_as_released" "grad_norm_cmc_as_released",
}

/// One value a term: the losses of a step, or their weights.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Terms<T>([T; Term::ALL.len()]);

impl<T> Terms<T> {
    /// The value of each term.
    pub fn from_fn(of: impl FnMut(Term) -> T) -> Self {
        Self(Term::ALL.map(of))
    }
}

impl<T> Index<Term> for Terms<T> {
    type Output = T;
    fn index(&self, term: Term) -> &T {
        &self.0[term as usize]
    }
}

impl<T> IndexMut<Term> for Terms<T> {
    fn index_mut(&mut self, term: Term) -> &mut T {
        &mut self.0[term as usize]
    }
}
