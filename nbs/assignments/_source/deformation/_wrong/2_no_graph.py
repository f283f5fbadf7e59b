# Derivatives without their graph: the values are right, and nothing can learn from them.
# marks: jacobian_tables=0 slope_tables=0 slope_flat=0
# cell: jacobian
def jacobian(g, x):
    with torch.enable_grad():
        place = x.detach().clone().requires_grad_()
        way = bend(g, place)
        rows = [
            torch.autograd.grad(way[..., c].sum(), place, retain_graph=True)[0] for c in range(2)
        ]
    return torch.stack(rows, -2)


# cell: slope_cost
def slope_cost(g, h, x):
    with torch.enable_grad():
        place = x.detach().clone().requires_grad_()
        s = blobs(to_canonical(g, h, place))
        (slope,) = torch.autograd.grad(s.sum(), place)
        return (slope.norm(dim=-1) - 1).square().mean()
