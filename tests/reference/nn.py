"""Values and gradients of nn/'s operators by PyTorch, in float64.

    python3 tests/reference/nn.py > tests/reference/nn.json

Needs torch (made with 2.15.0). Inputs are multiples of 1/64, which f32 holds exactly. Arrays are
channels last, as in nn/; gradients are those of sum(weights * output).
"""
import json

import torch
import torch.nn.functional as F

torch.manual_seed(7)
torch.set_default_dtype(torch.float64)
CASES = []


def draw(*shape, scale=1.0, shift=0.0):
    x = torch.randn(list(shape)) * scale + shift
    return (torch.round(x * 64) / 64).requires_grad_()


def array(x):
    x = x.detach()
    return {"shape": list(x.shape), "values": [float(f"{v:.9g}") for v in x.flatten().tolist()]}


def first(x):
    """Channels last to channels first."""
    return x.movedim(-1, 1)


def last(x):
    return x.movedim(1, -1)


def kernel(w):
    return w.permute(0, 4, 1, 2, 3)


def case(op, inputs, output, **options):
    weights = draw(*output.shape).detach()
    grads = torch.autograd.grad((output * weights).sum(), inputs)
    CASES.append({
        "op": op, "options": options, "inputs": [array(x) for x in inputs],
        "weights": array(weights), "output": array(output), "gradients": [array(g) for g in grads],
    })


def convolutions():
    for shape, k, co, stride in [
        ((1, 3, 4, 5, 2), (3, 3, 3), 3, 1), ((2, 3, 3, 4, 6), (3, 1, 3), 4, 1),
        ((1, 3, 4, 5, 3), (1, 1, 1), 2, 1), ((1, 4, 5, 6, 3), (3, 3, 3), 4, 2),
        ((2, 2, 4, 3, 2), (1, 3, 3), 3, 2),
    ]:
        x, w = draw(*shape), draw(co, *k, shape[-1], scale=0.3)
        y = F.conv3d(first(x), kernel(w), stride=stride, padding=[s // 2 for s in k])
        case("conv3d", [x, w], last(y), stride=stride)
    a, b, w = draw(1, 3, 4, 5, 2), draw(1, 3, 4, 5, 3), draw(4, 3, 3, 3, 5, scale=0.3)
    case("conv3d_joined", [a, b, w], last(F.conv3d(first(torch.cat([a, b], -1)), kernel(w), padding=1)))
    x, w = draw(1, 2, 3, 2, 4), draw(3, 2, 2, 2, 4, scale=0.5)
    y = F.conv_transpose3d(first(x), w.permute(4, 0, 1, 2, 3), stride=2)
    case("conv_transpose3d", [x, w], last(y))


def resampling():
    x = draw(1, 4, 2, 6, 3)
    case("max_pool3d", [x], last(F.max_pool3d(first(x), 2)))
    x = draw(2, 2, 3, 1, 2)
    case("upsample3d", [x], last(F.interpolate(first(x), scale_factor=2, mode="trilinear")))


def norms():
    for norm, groups in [("instance", 0), ("group", 2), ("batch", 0)]:
        x = draw(2, 2, 3, 3, 4, scale=2.0, shift=1.0)
        scale, shift = draw(4, scale=0.3, shift=1.0), draw(4)
        if norm == "instance":
            y = F.instance_norm(first(x), weight=scale, bias=shift)
        elif norm == "group":
            y = F.group_norm(first(x), groups, scale, shift)
        else:
            y = F.batch_norm(first(x), None, None, scale, shift, training=True)
        slope = 0.01 if norm == "group" else 0.0
        case("norm_act", [x, scale, shift], last(F.leaky_relu(y, slope)), norm=norm, groups=groups, slope=slope)


def attention():
    x, gamma = draw(2, 2, 2, 3, 4), draw(1)
    rows = first(x).flatten(2)
    energy = rows @ rows.transpose(1, 2)
    a = torch.softmax(energy.max(-1, keepdim=True)[0] - energy, -1)
    case("mia", [x, gamma], last((gamma * (a @ rows)).view_as(first(x)) + first(x)))
    x, mask = draw(2, 2, 2, 2, 4), torch.tensor([[0.0, 2.0, 2.0, 0.0], [1.0, 0.0, 2.0, 1.0]])
    case("channel_dropout", [x], last(first(x) * mask[:, :, None, None, None]), mask=array(mask)["values"])


def losses():
    for squared, background, weighted in [(False, False, False), (True, True, True)]:
        z = draw(2, 2, 3, 4, 4)
        t = torch.randint(0, 4, (2, 2, 3, 4))
        t[0, 0, 0, :2] = 255
        weights = torch.tensor([0.5, 1.0, 2.0, 1.5]) if weighted else torch.ones(4)
        entropy = F.cross_entropy(first(z), t, weight=weights, ignore_index=255)
        valid = (t != 255).unsqueeze(-1)
        hot = F.one_hot(torch.where(t == 255, 0, t), 4) * valid
        p = torch.softmax(z, -1) * valid
        over = (0, 1, 2, 3)
        q = p * p if squared else p
        dice = 1 - (2 * (p * hot).sum(over) + 1e-5) / (q.sum(over) + hot.sum(over) + 1e-5)
        loss = entropy + dice[0 if background else 1:].mean()
        case("dice_ce", [z], loss, target=t.flatten().tolist(), squared=squared, background=background,
             class_weights=weights.tolist() if weighted else None)
    u, v = draw(2, 2, 2, 3, 4), draw(2, 2, 2, 3, 4)
    rows = torch.cat([first(u).flatten(2), first(v).flatten(2)], 1)
    cosine = F.cosine_similarity(rows[:, :, None], rows[:, None], dim=-1) / 0.5
    cosine = cosine - 1e9 * torch.eye(8)
    partner = (torch.arange(8) + 4) % 8
    case("nt_xent", [u, v], F.cross_entropy(cosine.flatten(0, 1), partner.repeat(2)), temperature=0.5)


def optimizers():
    for name in ["adamw", "sgd"]:
        p = torch.nn.Parameter(draw(3, 2).detach().clone())
        start, grads = array(p), []
        if name == "adamw":
            opt = torch.optim.AdamW([p], lr=0.05, weight_decay=0.1)
        else:
            opt = torch.optim.SGD([p], lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.1)
        for _ in range(4):
            g = draw(3, 2).detach()
            grads.append(array(g))
            p.grad = g.clone()
            torch.nn.utils.clip_grad_norm_([p], 1.5)
            opt.step()
        CASES.append({"op": name, "options": {}, "inputs": [start] + grads, "weights": None,
                      "output": array(p), "gradients": []})
    teacher, student = draw(4).detach(), draw(4).detach()
    CASES.append({"op": "ema", "options": {"step": 4}, "inputs": [array(teacher), array(student)],
                  "weights": None, "output": array(0.8 * teacher + 0.2 * student), "gradients": []})


for make in [convolutions, resampling, norms, attention, losses, optimizers]:
    make()
print(json.dumps({"torch": torch.__version__, "cases": CASES}, separators=(",", ":")))
