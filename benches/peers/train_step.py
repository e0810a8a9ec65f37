"""The PyTorch side of benches/train_step.rs: the public CMC network, one thread, batch 1, f32.

    CMC_REPO=/path/to/med-air/CMC python3 benches/peers/train_step.py [--side 48] [--repeats 3]

Needs torch and monai. Each mode runs in a process of its own, so that peak memory is its own.
`infer`: forward of one pair without a graph; `sup`: forward, Dice and cross entropy on both
modalities, backward, AdamW; `semi`: `sup` with the unlabelled pair's forward and both consistency
terms, one backward pass over all of it, as the public trainer meant it.
"""
import argparse
import os
import resource
import subprocess
import sys
import time


def one(side, mode, repeats):
    import torch

    torch.set_num_threads(1)
    sys.path.insert(0, os.environ["CMC_REPO"])
    from model.Semi_SM_model_MIA import Semi_SM_model
    from monai.losses import ContrastiveLoss, DiceCELoss

    torch.manual_seed(0)
    net = Semi_SM_model(img_size=side, n_class=14)
    count = sum(p.numel() for p in net.parameters()) / 1e6
    opt = torch.optim.AdamW(net.parameters(), lr=1e-4, weight_decay=1e-5)
    dice_ce = DiceCELoss(to_onehot_y=True, softmax=True, squared_pred=True, smooth_nr=0.0, smooth_dr=1e-6)
    contrast = ContrastiveLoss(temperature=0.5)
    x = [torch.rand(1, 1, side, side, side) for _ in range(4)]
    y = [torch.randint(0, 14, (1, 1, side, side, side)).float() for _ in range(2)]

    def infer():
        with torch.no_grad():
            net(x[0], x[1])

    def step(semi):
        opt.zero_grad(set_to_none=True)
        _, _, a, b = net(x[0], x[1])
        loss = (dice_ce(a, y[0]) + dice_ce(b, y[1])) / 2
        if semi:
            fa, fb, ua, ub = net(x[2], x[3])
            csc = contrast(fa[0].reshape(-1, fa.shape[1]), fb[0].reshape(-1, fb.shape[1]))
            d = (2, 3, 4)
            cac = ((2 * (ua * ub).sum(d) + 1e-6) / ((ua * ua).sum(d) + (ub * ub).sum(d) + 1e-6)).mean()
            loss = loss + csc + (1 - cac)
        loss.backward()
        opt.step()

    run = {"infer": infer, "sup": lambda: step(False), "semi": lambda: step(True)}[mode]
    run()
    times = []
    for _ in range(repeats):
        cpu, wall = time.process_time(), time.perf_counter()
        run()
        times.append((time.process_time() - cpu, time.perf_counter() - wall))
    times.sort()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"torch {torch.__version__} {mode:5} {side}^3  {count:.2f} M parameters  "
        f"CPU s median {times[len(times) // 2][0]:.2f} least {times[0][0]:.2f}  "
        f"steps/s {1 / min(t[1] for t in times):.3f}  peak RSS {peak:.0f} MiB",
        flush=True,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--side", type=int, default=48)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--mode", nargs="*", default=["infer", "sup", "semi"])
    parser.add_argument("--one", action="store_true")
    a = parser.parse_args()
    if a.one:
        one(a.side, a.mode[0], a.repeats)
    else:
        if not os.environ.get("CMC_REPO"):
            sys.exit("set CMC_REPO to a checkout of med-air/CMC")
        env = dict(os.environ, OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")
        for m in a.mode:
            command = [sys.executable, __file__, "--one", "--side", str(a.side), "--repeats", str(a.repeats)]
            subprocess.run(command + ["--mode", m], check=True, env=env)
