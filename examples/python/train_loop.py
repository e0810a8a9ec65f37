"""How do I train a PyTorch network of my own on a stream?

    python train_loop.py [PIPELINE] [EPOCHS]

Needs torch. Prints the mean loss of each epoch; on the default phantom it falls within the first ten.
"""
import sys
from pathlib import Path

import torch
import voxstream

path = sys.argv[1] if len(sys.argv) > 1 else Path(__file__).with_name("phantom.yaml")
epochs = int(sys.argv[2]) if len(sys.argv) > 2 else 10


def block(inputs, outputs):
    return torch.nn.Sequential(torch.nn.Conv3d(inputs, outputs, 3, padding=1), torch.nn.InstanceNorm3d(outputs), torch.nn.LeakyReLU())


torch.manual_seed(0)
net = torch.nn.Sequential(block(2, 16), block(16, 16), torch.nn.Conv3d(16, 3, 1))
optimizer = torch.optim.AdamW(net.parameters(), lr=3e-3)
for epoch in range(epochs):
    losses = []
    # Epochs differ in their draws, so each one begins where the last one ended.
    stream = voxstream.stream(path, epochs=epoch + 1, batch=2, start=stream.position if epoch else (0, 0))
    for batch in stream:
        t = batch.to_torch()  # image [n, c, z, y, x], label [n, 1, z, y, x]
        loss = torch.nn.functional.cross_entropy(net(t.image), t.label[:, 0].long())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    print(f"epoch {epoch}: loss {sum(losses) / len(losses):.4f} over {len(losses)} steps")
