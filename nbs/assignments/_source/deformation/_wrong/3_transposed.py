# Coordinate before component, and a determinant without the identity: g alone, not x + g.
# marks: jacobian_values=0 folds_values=0 folds_refused=0
# cell: jacobian
def jacobian(g, x):
    with torch.enable_grad():
        place = x.detach().clone().requires_grad_()
        way = bend(g, place)
        rows = [
            torch.autograd.grad(way[..., c].sum(), place, create_graph=True)[0] for c in range(2)
        ]
    return torch.stack(rows, -1)


# cell: folds
def folds(jacobian):
    if jacobian.shape[-1] != jacobian.shape[-2]:
        raise refuse("jacobian", "as many components as coordinates", tuple(jacobian.shape))
    volume = torch.linalg.det(jacobian)
    return (volume < 0).to(jacobian).mean(-1), volume.amin(-1)
