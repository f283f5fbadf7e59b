# Right for a batch of one: the first picture's g for all, one share and one count for all.
# marks: pieces_line=0 pieces_ring=0 bend_mirror=0 canonical_values=0 jacobian_values=0
# marks: jacobian_tables=0 folds_values=0 folds_refused=0 slope_values=0 slope_tables=0
# cell: pieces
def pieces(s, ring=False):
    inside = s[:1] < 0
    before = inside.roll(1, -1)
    if not ring:
        before[:, 0] = False
    starts = (inside & ~before).sum(-1)
    return torch.where(inside.all(-1), torch.ones_like(starts), starts)


# cell: bend
def bend(g, x):
    mirror, first = torch.tensor([-1.0, 1.0]).to(x), {name: t[:1] for name, t in g.items()}
    return (field(first, x) + field(first, x * mirror) * mirror) / 2


# cell: folds
def folds(jacobian):
    if jacobian.shape[-1] != jacobian.shape[-2]:
        raise refuse("jacobian", "as many components as coordinates", tuple(jacobian.shape))
    volume = torch.linalg.det(jacobian + torch.eye(jacobian.shape[-1]).to(jacobian))
    return (volume < 0).to(jacobian).mean()[None], volume.amin()[None]
