# Distances straight through the picture, a map in the colours of `straight`, rho never refused.
# marks: change_refused=0 step_straight=0 lost_values=0
# cell: change
def change(image, raw, rho=0.5):
    bent = torch.tanh(raw)
    factor = 1 + rho / 2 * (bent - bent.mean((-2, -1), keepdim=True))
    return image * factor, (factor - 1).square().mean()


# cell: step
def step(image, at, target, rate, changed=None, straight=False):
    height, width = image.shape[-2:]
    colors, slopes = sample(image if changed is None else changed, at)
    moved = at - rate * 2 * ((colors - target)[..., None] * slopes).sum(1)
    return torch.stack([moved[..., 0] % width, moved[..., 1].clamp(0, height - 1)], -1)


# cell: lost
def lost(image, at, target, home, raw, rate, rho=0.5, mu=0.1):
    changed, price = change(image, raw, rho)
    away = step(image, at, target, rate, changed) - home
    return away.square().sum(-1).mean() + mu * price
