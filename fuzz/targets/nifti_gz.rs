#![no_main]
voxstream_fuzz::target!("nifti_gz");
