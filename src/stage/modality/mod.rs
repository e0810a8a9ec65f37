//! Steps that decide which modalities a row has.

pub mod drop_modality;
