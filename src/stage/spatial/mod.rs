//! Steps that move voxels.
