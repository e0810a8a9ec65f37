"""Writes residual_unet.json: nnU-Net's residual-encoder U-Net on a fixed input, with its weights.

pip install torch dynamic-network-architectures; then: python3 tests/reference/residual_unet.py
"""

import json
import pathlib
import re

import torch
from dynamic_network_architectures.architectures.unet import ResidualEncoderUNet

torch.manual_seed(3)
FEATURES, BLOCKS = [2, 4, 4], [1, 2, 1]
network = ResidualEncoderUNet(
    1, 3, FEATURES, torch.nn.Conv3d, 3, [1, 2, 2], BLOCKS, 2, [1, 1], conv_bias=False,
    norm_op=torch.nn.InstanceNorm3d, norm_op_kwargs={"eps": 1e-5, "affine": True},
    nonlin=torch.nn.LeakyReLU, nonlin_kwargs={"inplace": True}, deep_supervision=False,
)
levels = len(FEATURES)


def ours(name):
    """Our name of a tensor, or None for one that is not used or is a second name of another."""
    if ".all_modules." in name or name.startswith("decoder.encoder."):
        return None
    if match := re.fullmatch(r"encoder\.stem\.convs\.0\.(conv|norm)\.(\w+)", name):
        return f"encoder.stem.{match[1]}1.{match[2]}"
    if match := re.fullmatch(r"encoder\.stages\.(\d)\.blocks\.(\d)\.conv(\d)\.(conv|norm)\.(\w+)", name):
        return f"encoder.level{match[1]}.block{match[2]}.{match[4]}{match[3]}.{match[5]}"
    if match := re.fullmatch(r"encoder\.stages\.(\d)\.blocks\.(\d)\.skip\.\d\.(conv|norm)\.(\w+)", name):
        part = "shortcut" if match[3] == "conv" else "shortcut.norm"
        return f"encoder.level{match[1]}.block{match[2]}.{part}.{match[4]}"
    if match := re.fullmatch(r"decoder\.transpconvs\.(\d)\.weight", name):
        return f"decoder.level{levels - 2 - int(match[1])}.up.weight"
    if match := re.fullmatch(r"decoder\.stages\.(\d)\.convs\.0\.(conv|norm)\.(\w+)", name):
        return f"decoder.level{levels - 2 - int(match[1])}.{match[2]}1.{match[3]}"
    if match := re.fullmatch(r"decoder\.seg_layers\.(\d)\.(\w+)", name):
        return f"decoder.head.{match[2]}" if int(match[1]) == levels - 2 else None
    raise ValueError(name)


def entry(tensor):
    return {"shape": list(tensor.shape), "values": [float(f"{v:.7g}") for v in tensor.flatten().tolist()]}


weights = {}
for name, tensor in network.state_dict().items():
    target = ours(name)
    if target is None:
        continue
    with torch.no_grad():
        # Norms other than 1 and 0, so that each is seen to be in its place.
        if "norm" in name:
            tensor.add_(torch.randn_like(tensor) * 0.3)
    if tensor.dim() == 5:
        axes = (1, 2, 3, 4, 0) if ".up." in target else (0, 2, 3, 4, 1)
        tensor = tensor.permute(axes)
    weights[target] = entry(tensor.contiguous())

image = torch.randn(1, 1, 8, 4, 8)
with torch.no_grad():
    logits = network(image)
out = {
    "weights": weights,
    "image": entry(image.permute(0, 2, 3, 4, 1).contiguous()),
    "logits": entry(logits.permute(0, 2, 3, 4, 1).contiguous()),
}
path = pathlib.Path(__file__).with_suffix(".json")
path.write_text(json.dumps(out) + "\n")
print(len(weights), "tensors,", path.stat().st_size, "bytes")

presets = ResidualEncoderUNet(
    1, 6, [32, 64, 128, 256, 320, 320], torch.nn.Conv3d, 3, [1, 2, 2, 2, 2, 2], [1, 3, 4, 6, 6, 6], 3,
    [1] * 5, conv_bias=False, norm_op=torch.nn.InstanceNorm3d, norm_op_kwargs={"affine": True},
    nonlin=torch.nn.LeakyReLU, deep_supervision=True,
)
used = {id(p): p.numel() for p in presets.parameters()}
print("parameters at nnU-Net's widths:", sum(used.values()))
