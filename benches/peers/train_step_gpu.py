#!/usr/bin/env python3
"""The peer of `voxstream gpu-check`'s timing: the same training steps in PyTorch, as fast as it goes.

    python3 benches/peers/train_step_gpu.py [--patch 128] [--steps 20] [--variants eager,compiled] [--values f32,bf16]

CMC (width 16, depth 4, two modalities, shared convolutions, a modality's own norms) and the 3-D U-Net
(width 16, depth 4), 2 patches a step, Dice and cross entropy, AdamW: channels_last_3d, bf16 autocast and
plain f32 (no TF32), cudnn.benchmark, fused AdamW, with and without torch.compile. Prints steps a second and
peak memory. Needs a GPU and PyTorch; nothing of voxstream.
"""

import argparse
import time

import torch
from torch import nn
from torch.nn import functional as F

CLASSES = 4


class ConvNormAct(nn.Module):
    """Convolution 3³ without bias, then an instance norm for each modality, then an activation."""

    def __init__(self, ci, co, norms=1, slope=0.0, act=True):
        super().__init__()
        self.conv = nn.Conv3d(ci, co, 3, padding=1, bias=False)
        self.norms = nn.ModuleList(nn.InstanceNorm3d(co, affine=True) for _ in range(norms))
        self.slope, self.act = slope, act

    def forward(self, x, m=0):
        x = self.norms[m](self.conv(x))
        return F.leaky_relu(x, self.slope) if self.act else x


class Encoder(nn.Module):
    def __init__(self, ci, plan, norms=1, slope=0.0):
        super().__init__()
        self.levels = nn.ModuleList()
        for middle, co in plan:
            pair = [ConvNormAct(ci, middle, norms, slope), ConvNormAct(middle, co, norms, slope)]
            self.levels.append(nn.ModuleList(pair))
            ci = co

    def forward(self, x, m=0):
        skips = []
        for i, (first, second) in enumerate(self.levels):
            x = second(first(F.max_pool3d(x, 2) if i else x, m), m)
            skips.append(x)
        return skips[:-1], x


class Decoder(nn.Module):
    """`plan`, from the coarsest step: channels after the way up, of the skip, after the convolutions."""

    def __init__(self, ci, plan, norms=1, slope=0.0):
        super().__init__()
        self.ups, self.convs = nn.ModuleList(), nn.ModuleList()
        for up, skip, out in plan:
            self.ups.append(nn.ConvTranspose3d(ci, up, 2, 2, bias=False))
            pair = [ConvNormAct(up + skip, out, norms, slope), ConvNormAct(out, out, norms, slope)]
            self.convs.append(nn.ModuleList(pair))
            ci = out
        self.head = nn.Conv3d(ci, CLASSES, 1)

    def forward(self, x, skips, m=0):
        for up, (first, second), skip in zip(self.ups, self.convs, reversed(skips)):
            x = second(first(torch.cat([up(x), skip], 1), m), m)
        return self.head(x)


class Unet3d(nn.Module):
    def __init__(self, modalities=2, width=16, depth=4, most=256):
        super().__init__()
        c = [min(width << level, most) for level in range(depth)]
        self.encoder = Encoder(modalities, [(v, v) for v in c], slope=0.01)
        self.decoder = Decoder(c[-1], [(v, v, v) for v in reversed(c[:-1])], slope=0.01)

    def forward(self, images):
        skips, x = self.encoder(torch.cat(images, 1))
        return [self.decoder(x, skips)]


class Cmc(nn.Module):
    def __init__(self, modalities=2, width=16, depth=4, groups=16):
        super().__init__()
        down = [(width << level, width << (level + 1)) for level in range(depth)]
        bottom = width << depth
        self.encoder = Encoder(1, down, modalities)
        self.gamma = nn.Parameter(torch.zeros(modalities))
        self.fuse = nn.ModuleList([ConvNormAct(modalities * bottom, bottom), ConvNormAct(bottom, bottom, act=False)])
        self.norms = nn.ModuleList(nn.GroupNorm(groups, 2 * bottom) for _ in range(modalities))
        self.convert = nn.Conv3d(2 * bottom, bottom, 1)
        self.decoder = Decoder(bottom, [(2 * skip, skip, skip) for _, skip in reversed(down[:-1])], modalities)

    def attend(self, x, m):
        n, c = x.shape[:2]
        with torch.autocast("cuda", enabled=False):
            rows = x.float().reshape(n, c, -1)
            energy = rows @ rows.transpose(1, 2)
            mixed = torch.softmax(-energy, -1) @ rows
            return x + (self.gamma[m] * mixed).reshape(x.shape).to(x.dtype)

    def forward(self, images):
        encoded = [self.encoder(image, m) for m, image in enumerate(images)]
        attended = [self.attend(x, m) for m, (_, x) in enumerate(encoded)]
        gate = torch.sigmoid(self.fuse[1](self.fuse[0](torch.cat(attended, 1))))
        logits = []
        for m, (skips, _) in enumerate(encoded):
            x = F.relu(self.norms[m](torch.cat([gate, attended[m]], 1)))
            logits.append(self.decoder(self.convert(x), skips, m))
        return logits


def dice_ce(logits, target):
    logits = logits.float()
    p = torch.softmax(logits, 1)[:, 1:]
    t = F.one_hot(target, CLASSES).movedim(-1, 1)[:, 1:].to(p.dtype)
    axes = (0, 2, 3, 4)
    dice = (2 * (p * t).sum(axes) + 1e-5) / (p.sum(axes) + t.sum(axes) + 1e-5)
    return 1 - dice.mean() + F.cross_entropy(logits, target)


def measure(name, network, bf16, compiled, patch, steps):
    torch.manual_seed(0)
    network = network().cuda().to(memory_format=torch.channels_last_3d)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=1e-4, fused=True)
    forward = torch.compile(network) if compiled else network
    shape = (2, 1, patch, patch, patch)
    images = [torch.randn(shape, device="cuda").to(memory_format=torch.channels_last_3d) for _ in range(2)]
    target = torch.randint(0, CLASSES, (2, patch, patch, patch), device="cuda")

    def step():
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cuda", torch.bfloat16, enabled=bf16):
            logits = forward(images)
        loss = sum(dice_ce(head, target) for head in logits) / len(logits)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 12.0)
        optimizer.step()

    for _ in range(10):
        step()
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    for _ in range(steps):
        step()
    torch.cuda.synchronize()
    rate = steps / (time.perf_counter() - start)
    peak = torch.cuda.max_memory_allocated() / 2**30
    values = "bf16" if bf16 else "f32"
    how = "compiled" if compiled else "eager"
    print(f"{name:<7} {patch}³ batch 2 {values:<5} {how:<9} {rate:7.2f} steps/s, peak {peak:.1f} GiB", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--variants", default="eager,compiled")
    parser.add_argument("--values", default="f32,bf16")
    parser.add_argument("--networks", default="cmc,unet3d")
    args = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("no CUDA device; this script measures PyTorch on one")
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    print(f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}, cuDNN {torch.backends.cudnn.version()}")
    for name, network in [("cmc", Cmc), ("unet3d", Unet3d)]:
        if name not in args.networks.split(","):
            continue
        for values in args.values.split(","):
            for variant in args.variants.split(","):
                bf16, compiled = values == "bf16", variant == "compiled"
                try:
                    measure(name, network, bf16, compiled, args.patch, args.steps)
                except Exception as error:  # one variant that fails must not hide the others
                    print(f"{name} bf16={bf16} compiled={compiled}: {type(error).__name__}: {error}")
                torch.cuda.empty_cache()
                torch._dynamo.reset()


if __name__ == "__main__":
    main()
