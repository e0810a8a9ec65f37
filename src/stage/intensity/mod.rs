//! Steps that change values and leave labels alone.
