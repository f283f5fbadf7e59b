# The point is mirrored and the way is not; and no wrap-around on the ring.
# marks: pieces_ring=0 bend_mirror=0 canonical_values=0 jacobian_values=0
# marks: jacobian_tables=0 slope_values=0 slope_tables=0
# cell: pieces
def pieces(s, ring=False):
    inside = s < 0
    before = torch.cat([torch.zeros_like(inside[:, :1]), inside[:, :-1]], -1)
    return (inside & ~before).sum(-1)


# cell: bend
def bend(g, x):
    mirror = torch.tensor([-1.0, 1.0]).to(x)
    return (field(g, x) + field(g, x * mirror)) / 2
