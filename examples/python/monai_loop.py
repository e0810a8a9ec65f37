"""How do I train MONAI's network with MONAI's loss on a stream, and validate with its metric?

    python monai_loop.py [PIPELINE] [STEPS]

Needs torch and monai. The stream has no end; a validation follows every 20 steps on whole prepared subjects.
"""
import sys
from pathlib import Path

import torch
import voxstream
from monai.inferers import sliding_window_inference
from monai.losses import DiceCELoss
from monai.metrics import DiceMetric
from monai.networks.nets import UNet
from monai.networks.utils import one_hot

path = sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_name("phantom.yaml")
steps = int(sys.argv[2]) if len(sys.argv) > 2 else 60
CLASSES = 3

torch.manual_seed(0)
net = UNet(spatial_dims=3, in_channels=2, out_channels=CLASSES, channels=(8, 16, 32), strides=(2, 2), num_res_units=1)
optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
loss_of = DiceCELoss(to_onehot_y=True, softmax=True)


@torch.no_grad()
def validate():
    """Mean Dice of the classes beside the background."""
    metric = DiceMetric(include_background=False)
    for batch in voxstream.stream(path, split="validation"):
        t = batch.to_torch()
        found = sliding_window_inference(t.image, (32, 32, 32), 4, net, overlap=0.5).argmax(1, keepdim=True)
        metric(one_hot(found, CLASSES), one_hot(t.label.long(), CLASSES))
    return metric.aggregate().item()


with voxstream.stream(path, epochs=None, batch=2) as stream:
    for step, batch in zip(range(1, steps + 1), stream):
        t = batch.to_torch()
        loss = loss_of(net(t.image), t.label.long())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 20 == 0:
            print(f"step {step}: loss {loss.item():.4f}, validation Dice {validate():.4f}", flush=True)
