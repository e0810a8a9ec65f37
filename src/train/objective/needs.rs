//! What the terms ask of a step.

use super::spec::ObjectiveSpec;
use super::terms::Term;

impl Term {
    /// Returns `true` if it compares modalities, and so needs a head a modality.
    pub fn compares_modalities(self) -> bool {
        matches!(self, Self::Csc | Self::Cac | Self::CmcAsReleased)
    }

    /// Returns `true` if it needs a teacher, and so the section `pseudo_label`.
    pub fn needs_teacher(self) -> bool {
        matches!(
            self,
            Self::PseudoLabel | Self::MeanTeacher | Self::FeatureDropout | Self::Bcp
        )
    }

    /// Returns `true` if it learns from unlabelled rows and from nothing else.
    pub fn needs_unlabelled(self) -> bool {
        !matches!(self, Self::Supervised | Self::Csc | Self::Cac)
    }

    /// Returns `true` if it learns what labels say of labelled rows.
    pub fn learns_labels(self) -> bool {
        matches!(self, Self::Supervised | Self::Bcp)
    }

    /// Returns `true` if it looks at the unlabelled strong views.
    pub fn looks_at_strong_views(self) -> bool {
        matches!(
            self,
            Self::Csc | Self::Cac | Self::PseudoLabel | Self::MeanTeacher
        )
    }
}

impl ObjectiveSpec {
    /// Returns `true` if a term asks for pseudo-labels above a threshold.
    pub fn needs_pseudo_labels(&self) -> bool {
        self.pseudo_label.is_some() || self.feature_dropout.is_some()
    }

    /// The first given term for which `of` holds.
    pub fn first(&self, of: impl Fn(Term) -> bool) -> Option<Term> {
        let ramps = self.ramps();
        let mut all = Term::ALL.into_iter();
        all.find(|term| ramps[*term].is_some() && of(*term))
    }
}
