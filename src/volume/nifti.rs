//! NIfTI in and out.
