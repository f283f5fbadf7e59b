# The slope at the canonical point instead of the object's, its square for its length, and the
# caller's own points asked for gradients.
# marks: jacobian_values=0 slope_values=0 slope_tables=0 slope_flat=0
# cell: jacobian
def jacobian(g, x):
    x.requires_grad_()
    way = bend(g, x)
    rows = [torch.autograd.grad(way[..., c].sum(), x, create_graph=True)[0] for c in range(2)]
    return torch.stack(rows, -2)


# cell: slope_cost
def slope_cost(g, h, x):
    with torch.enable_grad():
        canonical = to_canonical(g, h, x).detach().requires_grad_()
        (slope,) = torch.autograd.grad(blobs(canonical).sum(), canonical, create_graph=True)
        return (slope.square().sum(-1) - 1).square().mean()
