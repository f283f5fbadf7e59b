# The formulas as printed: gradients cancel, and 1 is taken off every component of the slope.
# marks: cost_values=0 cost_valid=0 slope_values=0 slope_tables=0 slope_flat=0
# cell: bending_cost
def bending_cost(jacobian, valid):
    kept = torch.where(valid[..., None, None], jacobian, torch.zeros_like(jacobian))
    cost = kept.sum(-2).square().sum(-1) / 2
    return cost.sum() / valid.sum().clamp(min=1)


# cell: slope_cost
def slope_cost(g, h, x):
    with torch.enable_grad():
        place = x.detach().clone().requires_grad_()
        s = blobs(to_canonical(g, h, place))
        (slope,) = torch.autograd.grad(s.sum(), place, create_graph=True)
        return (slope - 1).square().sum(-1).mean()
