# One mean for the whole batch, a length for its square, and the 2 of the squared error forgotten.
# marks: change_values=0 step_values=0 step_straight=0 lost_values=0
# cell: change
def change(image, raw, rho=0.5):
    if not 0 <= rho <= 1:
        raise refuse("rho", "a number from 0 to 1", rho)
    factor = 1 + rho / 2 * (torch.tanh(raw) - torch.tanh(raw).mean())
    return image * factor, (factor - 1).square().mean()


# cell: step
def step(image, at, target, rate, changed=None, straight=False):
    height, width = image.shape[-2:]
    colors, slopes = sample(image if changed is None else changed, at)
    if straight:
        colors, _ = sample(image, at)
    moved = at - rate * ((colors - target)[..., None] * slopes).sum(1)
    return torch.stack([moved[..., 0] % width, moved[..., 1].clamp(0, height - 1)], -1)


# cell: lost
def lost(image, at, target, home, raw, rate, rho=0.5, mu=0.1):
    width = image.shape[-1]
    changed, price = change(image, raw, rho)
    away = step(image, at, target, rate, changed) - home
    across = (away[..., 0] + width / 2) % width - width / 2
    return (across.square() + away[..., 1].square() + 1e-12).sqrt().mean() + mu * price
