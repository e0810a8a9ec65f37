#![no_main]
voxstream_fuzz::target!("safetensors");
