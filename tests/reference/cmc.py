"""The released CMC network's forward pass at width 1, by PyTorch in float64.

    python3 tests/reference/cmc.py        writes tests/reference/cmc.json and tests/reference/clip.pth

Needs torch (made with 2.15.0). Weights and images are integers over powers of two, computed from
names and positions here and in the test alike, so that none is stored. The module below follows the
public med-air/CMC model (model/Semi_SM_model_MIA.py) with its width made a parameter; with
CMC_REPO=/path/to/checkout the script also loads that model's own state into it and compares.
`clip.pth` is a few tensors named and nested as in the weights of CLIP-Driven Universal Model.
"""
import json
import os
import sys
from pathlib import Path

import torch
import torch.nn as nn
import torch.nn.functional as F

HERE = Path(__file__).parent


class BatchNorm(nn.BatchNorm3d):
    def forward(self, x):
        return F.batch_norm(x, None, None, self.weight, self.bias, True, 0.1, self.eps)


class Conv(nn.Module):
    def __init__(self, ci, co):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv3d(ci, co, 3, padding=1), BatchNorm(co)

    def forward(self, x):
        return torch.relu(self.bn1(self.conv1(x)))


class Ops(nn.Module):
    def __init__(self, ci, middle, co):
        super().__init__()
        self.ops = nn.Sequential(Conv(ci, middle), Conv(middle, co))


class Up(Ops):
    def __init__(self, c, skip):
        super().__init__(c + skip, skip, skip)
        self.up_conv = nn.ConvTranspose3d(c, c, 2, stride=2)

    def forward(self, x, skip):
        return self.ops(torch.cat([self.up_conv(x), skip], 1))


class Encoder(nn.Module):
    def __init__(self, w):
        super().__init__()
        for i, name in enumerate([64, 128, 256, 512]):
            setattr(self, f"down_tr{name}", Ops(1 if i == 0 else w << i, w << i, w << (i + 1)))

    def forward(self, x):
        skips = []
        for name in [64, 128, 256]:
            skips.append(getattr(self, f"down_tr{name}").ops(x))
            x = F.max_pool3d(skips[-1], 2)
        return self.down_tr512.ops(x), skips


class Head(nn.Module):
    def __init__(self, w, classes):
        super().__init__()
        self.conv = nn.Module()
        self.conv.conv = nn.Conv3d(2 * w, classes, 1)


class Decoder(nn.Module):
    def __init__(self, w, classes):
        super().__init__()
        self.up_tr256, self.up_tr128, self.up_tr64 = Up(16 * w, 8 * w), Up(8 * w, 4 * w), Up(4 * w, 2 * w)
        self.out_tr = Head(w, classes)

    def forward(self, x, skips):
        x = self.up_tr256(x, skips[2])
        x = self.up_tr128(x, skips[1])
        return self.out_tr.conv.conv(self.up_tr64(x, skips[0]))


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        rows = x.flatten(2)
        e = rows @ rows.transpose(1, 2)
        a = torch.softmax(e.max(-1, keepdim=True)[0] - e, -1)
        return self.gamma * (a @ rows).view_as(x) + x


class Fusion(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.layer1, self.layer2 = Conv(2 * c, c), Conv(c, c)

    def forward(self, a, b):
        return torch.sigmoid(self.layer2(self.layer1(torch.cat([a, b], 1))))


class Cmc(nn.Module):
    def __init__(self, width, classes):
        super().__init__()
        c = 16 * width
        self.image_encoder, self.decoder = Encoder(width), Decoder(width, classes)
        self.MIA_module, self.fusion_layer = Attention(), Fusion(c)
        self.conv3d_convert = nn.Sequential(nn.GroupNorm(16, 2 * c), nn.ReLU(), nn.Conv3d(2 * c, c, 1))

    def forward(self, *images):
        maps, skips = zip(*[self.image_encoder(x) for x in images])
        attended = [self.MIA_module(x) for x in maps]
        gate = self.fusion_layer(*attended)
        return [self.decoder(self.conv3d_convert(torch.cat([gate, x], 1)), s) for x, s in zip(attended, skips)]


def fill(name, shape):
    """Integers -128..128 over a power of two near the He scale; scales of norms are near 1."""
    count = int(torch.Size(shape).numel())
    key = sum((i + 1) * b for i, b in enumerate(name.encode()))
    at = torch.arange(count, dtype=torch.int64)
    value = ((at * 7919 + (at // 11) * 104729 + key * 31) % 257 - 128).double()
    if len(shape) > 1:
        fan_in = count // shape[0]
        shift = 6 + (fan_in.bit_length() - 1) // 2
        return (value / 2**shift).reshape(shape)
    one = name.endswith("weight")
    return (value / 512 + (1.0 if one else 0.0)).reshape(shape)


def reference():
    model = Cmc(1, 3).double()
    state = {n: fill(n, list(t.shape)) if t.dtype.is_floating_point else t for n, t in model.state_dict().items()}
    model.load_state_dict(state)
    images = [fill(f"image{m}", [2, 1, 16, 16, 16]) for m in range(2)]
    with torch.no_grad():
        logits = [x.movedim(1, -1).flatten() for x in model(*images)]
    index = [int(i) for i in torch.linspace(0, logits[0].numel() - 1, 400).tolist()]
    names = [[n, list(t.shape)] for n, t in state.items() if t.dtype.is_floating_point]
    out = {
        "torch": torch.__version__, "width": 1, "classes": 3, "names": names, "index": index,
        "logits": [[float(f"{v:.9g}") for v in x[index].tolist()] for x in logits],
        "rms": [float(x.square().mean().sqrt()) for x in logits],
    }
    (HERE / "cmc.json").write_text(json.dumps(out, separators=(",", ":")) + "\n")
    level = {n.replace("image_encoder", "module.backbone"): t.half() if t.dtype.is_floating_point else t
             for n, t in state.items() if "down_tr64." in n}
    level["module.backbone.up_tr64.up_conv.weight"] = state["decoder.up_tr64.up_conv.weight"].float()
    level["module.organ_embedding"] = torch.zeros(2, 3)
    torch.save({"net": level, "epoch": 1}, HERE / "clip.pth")


def compare():
    sys.path.insert(0, os.environ["CMC_REPO"])
    from model.Semi_SM_model_MIA import Semi_SM_model

    theirs = Semi_SM_model(img_size=32, n_class=14).double()
    theirs.MIA_module.gamma.data.fill_(0.5)
    ours = Cmc(32, 14).double()
    ours.load_state_dict(theirs.state_dict())
    x = [torch.randn(1, 1, 32, 32, 32, dtype=torch.double) for _ in range(2)]
    with torch.no_grad():
        a, b = theirs(*x)[2:], ours(*x)
    print("largest difference from the public model", max((p - q).abs().max().item() for p, q in zip(a, b)))


if __name__ == "__main__":
    reference()
    if os.environ.get("CMC_REPO"):
        compare()
