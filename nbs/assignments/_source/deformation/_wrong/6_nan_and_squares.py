# NaN times 0 is NaN; a square root without a guard; a Jacobian that is never refused.
# marks: cost_valid=0 folds_refused=0 slope_flat=0
# cell: bending_cost
def bending_cost(jacobian, valid):
    cost = jacobian.square().sum(-1).mean(-1) * valid
    return cost.sum() / valid.sum().clamp(min=1)


# cell: folds
def folds(jacobian):
    volume = torch.linalg.det(jacobian + torch.eye(jacobian.shape[-1]).to(jacobian))
    return (volume < 0).to(jacobian).mean(-1), volume.amin(-1)


# cell: slope_cost
def slope_cost(g, h, x):
    with torch.enable_grad():
        place = x.detach().clone().requires_grad_()
        s = blobs(to_canonical(g, h, place))
        (slope,) = torch.autograd.grad(s.sum(), place, create_graph=True)
        return (slope.square().sum(-1).sqrt() - 1).square().mean()
